"""Between the vision tower and the language model: summaries, selection, pooling and projection.

Functions over the tower's output; all state is the model's. Sub-images stand in the layout's order;
`codes` (`SubImageLayout.codes`) is the layout in tensor form. Within one call every picture has the same number of
sub-images per level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dragonfly.models.shared_mean import SharedMean
from dragonfly.vision.pooling import mean_pool
from dragonfly.vision.selection import Selection, SelectionInputs, select
from dragonfly.vision.spec import LEVELS, EncoderSpec, LevelName

Project = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LevelCounts:
    """Sub-images per level of every picture in a call; `kept` high ones reach the language model."""

    low: int
    mid: int
    high: int
    kept: int

    @property
    def total(self) -> int:
        return self.low + self.mid + self.high


def connect(
    features: Tensor,
    codes: Tensor | None,
    counts: LevelCounts,
    spec: EncoderSpec,
    project: Project,
    shared_mean: SharedMean | None,
) -> tuple[Tensor, Selection | None]:
    """Select, pool and project.

    Pooling comes before projecting: the projector is linear, so the two commute, and pooled tokens are fewer. For the same
    reason summaries are projected means.

    Args:
        features: tower output (num_images, sub_images, tokens, vision hidden).
        codes: (num_images, sub_images) from the layout; needed where high sub-images are selected here.
        counts: sub-images per level in `features`; where `high` equals `kept` nothing is selected.
        spec: the encoder configuration.
        project: the projector.
        shared_mean: for policy `centred`.

    Returns:
        (num_images, features per picture, hidden), and the selection if one was made.
    """
    selection = None
    if counts.high > counts.kept:
        if codes is None:
            raise ValueError("selection needs sub_image_regions, which the image processor makes beside pixel_values")
        selection = _select(features, codes, counts, spec, project, shared_mean)
        features = keep_high(features, selection.indices, counts)
    parts: list[Tensor] = []
    start = 0
    for name, number in zip(LEVELS, (counts.low, counts.mid, counts.kept), strict=True):
        if number:
            tokens = features[:, start : start + number]  # (num_images, number, tokens, vision hidden)
            parts.append(_project_level(tokens, name, spec, project))
            start += number
    return torch.cat(parts, dim=1), selection


def keep_high(values: Tensor, indices: Tensor, counts: LevelCounts) -> Tensor:
    """Drop the high sub-images that are not in `indices` (num_images, kept) from (num_images, sub_images, ...)."""
    others = counts.low + counts.mid
    picture = torch.arange(values.shape[0], device=values.device).unsqueeze(1)
    return torch.cat([values[:, :others], values[picture, others + indices.to(values.device)]], dim=1)


def _project_level(tokens: Tensor, name: LevelName, spec: EncoderSpec, project: Project) -> Tensor:
    level = spec.level(name)
    assert level is not None
    return project(mean_pool(tokens, spec.num_prefix_tokens, level.pool)).flatten(1, 2)


def _select(
    features: Tensor, codes: Tensor, counts: LevelCounts, spec: EncoderSpec, project: Project, shared_mean: SharedMean | None
) -> Selection:
    """Score the high sub-images on projected tokens. Prefix tokens count in summaries, as in the released weights."""
    first = counts.low + counts.mid
    with torch.no_grad():  # no gradient passes through the choice
        if spec.selection.policy == "detail":
            inputs = SelectionInputs(high_patches=project(features[:, first:, spec.num_prefix_tokens :]))
        else:
            summaries = project(features[:, counts.low :].mean(dim=2))
            if shared_mean is not None:
                shared_mean.observe(summaries)
            shared = shared_mean.value() if shared_mean is not None else None
            inputs = SelectionInputs(summaries[:, : counts.mid], summaries[:, counts.mid :], shared_mean=shared)
        return select(inputs, codes[:, first:], spec.selection, counts.kept)
