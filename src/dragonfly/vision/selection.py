"""Zoom-in selection: which high sub-images reach the language model (paper, section 3.2).

`select(inputs, regions, spec, num_kept)` scores every high sub-image (`policies`) and keeps the best of each region, or of
the whole image (`choosing`).
A policy says what it needs: policies that need only the layout, the pixels or the evidence run before the vision tower, so
what they drop is never encoded; the others run on its tokens. Scores are float32, ties go to the lower index, rows do not
depend on their batch mates, and the number kept is known from the layout alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dragonfly.vision.layout import Box, SubImageLayout
from dragonfly.vision.scoring import SCORES, SelectionInputs
from dragonfly.vision.spec import NEEDS, SelectionSpec
from dragonfly.vision.top_k import choose, choose_diverse

__all__ = ["NEEDS", "Selection", "SelectionInputs", "runs_before_tower", "select", "select_before_tower"]


@dataclass(frozen=True)
class Selection:
    """The outcome: `indices` ascending into the high sub-images, `scores` of all of them (float32)."""

    indices: Int[Tensor, "images kept"]
    scores: Float[Tensor, "images high"]


def select(inputs: SelectionInputs, regions: Int[Tensor, "images high"], spec: SelectionSpec, num_kept: int) -> Selection:
    """Score all high sub-images and keep the best.

    Args:
        inputs: what the policy needs (`NEEDS`).
        regions: the region of every high sub-image, from the layout.
        spec: policy, scope, number kept per region or image, least number per region and diversity.
        num_kept: number kept of each image, from the layout (`num_kept_high`); no tensor is read to find it.

    Raises:
        ValueError: if an input that the policy needs is missing; the message names it and says what provides it.
    """
    scores = SCORES[spec.policy](inputs, regions, spec).float()
    if spec.diversity:
        if inputs.high is None:
            raise ValueError("selection.diversity compares the embeddings of high sub-images (high), and there are none")
        return Selection(choose_diverse(scores, inputs.high, regions, spec, num_kept), scores)
    return Selection(choose(scores, regions, spec, num_kept), scores)


def select_before_tower(
    layout: SubImageLayout,
    spec: SelectionSpec,
    *,
    checksum: int = 0,
    evidence: Sequence[Box] = (),
    residual: Float[Tensor, " high"] | None = None,
) -> tuple[int, ...]:
    """Kept high indices of one image for a policy that needs no tower; none where the layout has no high level."""
    if not layout.regions:
        return ()
    inputs = SelectionInputs(
        positions=torch.tensor([layout.positions[-len(layout.regions) :]])[..., 1:],
        residual=None if residual is None else residual.unsqueeze(0),
        boxes=[layout.level_boxes("high")],
        evidence=[list(evidence)],
        checksums=[checksum],
    )
    regions = torch.tensor([layout.regions])
    kept = select(inputs, regions, spec, layout.num_kept_high).indices[0]
    return tuple(int(index) for index in kept)


def runs_before_tower(spec: SelectionSpec) -> bool:
    """Whether the image processor can decide, so that what is dropped is never encoded."""
    return spec.early
