# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""Between the vision tower and the language model: embeddings, selection, pooling, projection and position.

Functions over the tower's output; what is learned belongs to the model (`optional_modules`). Sub-images stand in the layout's
order; codes and positions (`SubImageLayout`) are the layout in tensor form. Within one call every image has the same number of
sub-images per level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from dragonfly.models.mean_embedding import MeanEmbedding
from dragonfly.models.outputs import DragonflyImageFeatures
from dragonfly.models.query_projection import PatchQuery, QueryProjection, evidence_losses, query_module
from dragonfly.vision.inputs import reads_question
from dragonfly.vision.layout import LOW, MID, level_counts
from dragonfly.vision.pooling import mean_pool
from dragonfly.vision.scoring import asked_scores
from dragonfly.vision.selection import Selection, SelectionInputs, select
from dragonfly.vision.spec import LEVELS, EncoderSpec, Grid, LevelName

OPTIONAL = ("mean_embedding", "sub_image_position", "query_projection")
"""Names in a model, and in `Modules`, of what only some encoder configurations have learned."""
MISSING = "{} needs {}, which the image processor makes beside pixel_values"


class PositionEmbedding(nn.Module):
    """One vector per level, per row and per column, added up. All zero when new, so a new one changes nothing.

    Args:
        hidden: width of the language model's embeddings.
        grid: the most rows and columns of any grid.
    """

    def __init__(self, hidden: int, grid: Grid) -> None:
        super().__init__()
        self.starts = (0, len(LEVELS), len(LEVELS) + grid[0])
        self.weight = nn.Parameter(torch.zeros(len(LEVELS) + sum(grid), hidden))

    def forward(self, positions: Tensor) -> Tensor:
        """(..., 3) level, row and column of sub-images, from the layout -> (..., hidden)."""
        return self.weight[positions + positions.new_tensor(self.starts)].sum(dim=-2)


@dataclass(frozen=True)
class LevelCounts:
    """Sub-images per level of every image in a call; `kept` high ones reach the language model."""

    low: int
    mid: int
    high: int
    kept: int

    @property
    def total(self) -> int:
        return self.low + self.mid + self.high

    @classmethod
    def of_codes(cls, codes: list[int], spec: EncoderSpec) -> Self:
        """Of one image, from its layout's codes."""
        low, mid = codes.count(LOW), codes.count(MID)
        high = len(codes) - low - mid
        return cls(low, mid, high, min(high, spec.num_kept_high(mid, high)))

    @classmethod
    def of_number(cls, num_sub_images: int, spec: EncoderSpec) -> Self:
        """Split an image's number of sub-images into levels, from the configuration alone (no tensor is read)."""
        counts = level_counts(spec)
        if counts is None:
            raise ValueError("images differ in their number of sub-images under this encoder; pass num_sub_images")
        high = num_sub_images - counts["low"] - counts["mid"]
        kept = spec.num_kept_high(counts["mid"], counts["high"])
        if high not in (counts["high"], kept):
            raise ValueError(
                f"pixel_values has {num_sub_images} sub-images per image; this encoder makes {sum(counts.values())} "
                f"(or {counts['low'] + counts['mid'] + kept} after selection); use the model's own image processor"
            )
        if high < counts["high"] and spec.selection.pooled_remainder:
            raise ValueError(
                f"selection.pooled_remainder pools what is not kept, and pixel_values holds the {high} kept high ones alone"
            )
        return cls(counts["low"], counts["mid"], high, kept)


@dataclass(frozen=True)
class Modules:
    """The model's learned parts; those that the encoder configuration does not ask for are None."""

    project: Callable[[Tensor], Tensor]
    mean_embedding: MeanEmbedding | None = None
    sub_image_position: PositionEmbedding | None = None
    query_projection: QueryProjection | PatchQuery | None = None


@dataclass(frozen=True)
class Views:
    """Encoded images and what came with them, one row per image.

    Args:
        features: tower output (num_images, sub_images, tokens, vision hidden).
        codes: (num_images, sub_images) from the layout; needed where high sub-images are selected here.
        positions: (num_images, sub_images, 3) level, row and column from the layout; needed for a learned position, and where
            policy `question` looks at a sub-image in its row or at its patches.
        selected: (num_images, kept) a choice that was made elsewhere, although everything was encoded.
        question: (num_images, hidden) of policy `question`.
        evidence: (num_images, high) areas shared with the answer's boxes, for the loss of policy `question`.
        held: (num_images, high) bool, high sub-images that are kept whatever their score.
    """

    features: Tensor
    codes: Tensor | None = None
    positions: Tensor | None = None
    selected: Tensor | None = None
    question: Tensor | None = None
    evidence: Tensor | None = None
    held: Tensor | None = None

    def image(self, index: int, number: int) -> Views:
        """The row of one image that has `number` sub-images."""

        def row(values: Tensor | None, end: int | None = None) -> Tensor | None:
            return None if values is None else values[index : index + 1, :end]

        features = self.features[index : index + 1, :number]
        codes, positions = row(self.codes, number), row(self.positions, number)
        rows = (row(one) for one in (self.selected, self.question, self.evidence, self.held))
        return Views(features, codes, positions, *rows)


@dataclass(frozen=True)
class Connected:
    """`tokens` (num_images, features per image, hidden); the selection if one was made; `evidence_losses` if asked for.

    Policy `question` scores also where it keeps every high sub-image, so that a caller can see, or train, what it would keep.
    """

    tokens: Tensor
    selection: Selection | None = None
    losses: tuple[Tensor, Tensor] | None = None


def optional_modules(spec: EncoderSpec, hidden: int) -> dict[str, nn.Module]:
    """What an encoder configuration adds to a model, by its name of `OPTIONAL`; nothing for most."""
    modules: dict[str, nn.Module] = {}
    if spec.selects and spec.selection.policy == "centred":
        modules["mean_embedding"] = MeanEmbedding(hidden)
    if spec.position == "learned":
        modules["sub_image_position"] = PositionEmbedding(hidden, spec.largest_grid)
    if reads_question(spec):
        modules["query_projection"] = query_module(spec.selection, hidden)
    return modules


def connect(views: Views, counts: LevelCounts, spec: EncoderSpec, modules: Modules) -> Connected:
    """Select, pool, project and add positions.

    Pooling comes before projecting: the projector is linear, so the two commute, and pooled tokens are fewer. For the same
    reason embeddings are projected means. Where `counts.high` equals `counts.kept` nothing is left out.
    """
    selection, losses, rest = None, None, None
    features, positions = views.features, views.positions
    if counts.high > counts.kept:
        if views.codes is None:
            raise ValueError(
                f"{MISSING.format('selection', 'sub_image_regions')}; a trainer that does not forward it may forward "
                "image_position_ids: AutoProcessor.from_pretrained(..., regions_name='image_position_ids')"
            )
        indices = views.selected
        if indices is None:
            selection, losses = _select(views, counts, spec, modules)
            indices = selection.indices
        rest = pooled_remainder(views, indices, counts, spec) if spec.selection.pooled_remainder else None
        features = keep_high(features, indices, counts)
        positions = keep_high(positions, indices, counts) if positions is not None else None
    elif modules.query_projection is not None and views.question is not None:
        high, patches = features[:, counts.low + counts.mid :], None
        with torch.no_grad():
            embeddings = modules.project(high.mean(dim=2))
            if spec.selection.context == "patches":
                patches = modules.project(high[:, :, spec.num_prefix_tokens :])
        places, question = _high_places(views, counts, spec), modules.query_projection(views.question)
        inputs = SelectionInputs(high=embeddings, high_patches=patches, question=question, positions=places)
        scores = asked_scores(inputs, spec.selection)
        selection = Selection(torch.arange(counts.high, device=scores.device).expand_as(scores), scores)
        losses = None if views.evidence is None else evidence_losses(scores, views.evidence[:, : counts.high])
    parts: list[Tensor] = []
    start = 0
    for name, number in zip(LEVELS, (counts.low, counts.mid, counts.kept), strict=True):
        if number:
            places = None if positions is None else positions[:, start : start + number]
            parts.append(_project_level(features[:, start : start + number], places, name, spec, modules))
            start += number
    if rest is not None:
        parts.append(modules.project(rest))
    return Connected(torch.cat(parts, dim=1), selection, losses)


def image_features(done: list[Connected], tokens: list[Tensor], selection: Any, **tower: Any) -> DragonflyImageFeatures:
    """The output of all images, with what the tower gave (`outputs.by_image`); the loss is the mean over those with evidence."""
    pairs = [one.losses for one in done if one.losses is not None]
    loss = None
    if pairs:
        losses, known = (torch.cat(values) for values in zip(*pairs, strict=True))
        loss = (losses * known).sum() / known.sum().clamp(min=1)
    values: Any = tokens
    return DragonflyImageFeatures(pooler_output=values, selection=selection, selection_loss=loss, **tower)


def keep_high(values: Tensor, indices: Tensor, counts: LevelCounts) -> Tensor:
    """Drop the high sub-images that are not in `indices` (num_images, kept) from (num_images, sub_images, ...)."""
    others = counts.low + counts.mid
    image = torch.arange(values.shape[0], device=values.device).unsqueeze(1)
    return torch.cat([values[:, :others], values[image, others + indices.to(values.device)]], dim=1)


def reduced(views: Views, indices: Tensor, counts: LevelCounts) -> tuple[Views, LevelCounts]:
    """The views of what is kept alone, `features` being sub-images that have not been encoded yet."""
    kept = {
        name: keep_high(value, indices, counts)
        for name in ("features", "codes", "positions")
        if (value := getattr(views, name)) is not None
    }
    changed: Any = replace(views, **kept)
    return changed, LevelCounts(counts.low, counts.mid, counts.kept, counts.kept)


def with_choice(views: Views, selected: Tensor, counts: LevelCounts, spec: EncoderSpec) -> tuple[Views, LevelCounts]:
    """A choice handed in: the others are left out, or, where a pooled remainder is kept, encoded all the same."""
    if counts.high == counts.kept:
        return views, counts
    if spec.selection.pooled_remainder:
        return replace(views, selected=selected), counts
    return reduced(views, selected, counts)


def views_of_images(
    views: Views, num_sub_images: Tensor | None, selected: Tensor | None, spec: EncoderSpec
) -> list[tuple[Views, LevelCounts]]:
    """Images one by one, not encoded yet, without what a choice handed in leaves out."""
    if views.codes is None:
        raise ValueError(MISSING.format("num_sub_images", "sub_image_regions"))
    numbers = [views.features.shape[1]] * len(views.features) if num_sub_images is None else num_sub_images.tolist()
    images = [views.image(index, number) for index, number in enumerate(numbers)]
    counts = [LevelCounts.of_codes(one.codes[0].tolist(), spec) for one in images if one.codes is not None]
    if selected is not None:
        width = max(count.kept for count in counts)  # rows may be padded beyond it, for batch mates that are elsewhere
        check_selected(selected[:, :width], (len(counts), width))
        for index, count in enumerate(counts):
            chosen = selected[index][None, : count.kept]
            images[index], counts[index] = with_choice(images[index], chosen, count, spec)
    return list(zip(images, counts, strict=True))


def pooled_remainder(views: Views, indices: Tensor, counts: LevelCounts, spec: EncoderSpec) -> Tensor:
    """What stands for the high sub-images that are not kept: (num_images, groups x pooled remainder, vision hidden).

    A group is a region under scope `region`, else the image. Each sub-image's patch tokens are averaged over 1 x 1, 2 x 2 or
    3 x 3 cells (which overlap where the patch grid does not divide), then over the group's sub-images, in float32.
    """
    assert views.codes is not None
    first, cells = counts.low + counts.mid, round(spec.selection.pooled_remainder**0.5)
    patches = views.features[:, first:, spec.num_prefix_tokens :].float().transpose(2, 3)
    grids = patches.unflatten(3, (spec.patch_side, spec.patch_side)).flatten(0, 1)
    pooled = nn.functional.adaptive_avg_pool2d(grids, cells).flatten(2).unflatten(0, patches.shape[:2])
    dropped = torch.ones(pooled.shape[:2], device=pooled.device).scatter(1, indices.to(pooled.device), 0.0)
    regions = views.codes[:, first:].unsqueeze(1)
    number = spec.num_pooled_remainders(counts.mid, counts.high)
    own = regions == torch.arange(number, device=regions.device).view(1, -1, 1) if number > 1 else torch.ones_like(regions).bool()
    weights = own * dropped.unsqueeze(1)  # (num_images, groups, high)
    # Multiply and sum, not a matrix product, whose precision autocast lowers.
    sums = (weights.unsqueeze(3) * pooled.flatten(2).unsqueeze(1)).sum(dim=2)
    means = (sums / weights.sum(dim=2, keepdim=True)).unflatten(2, (-1, cells * cells))
    return means.transpose(2, 3).flatten(1, 2).to(views.features.dtype)


def _project_level(tokens: Tensor, places: Tensor | None, name: LevelName, spec: EncoderSpec, modules: Modules) -> Tensor:
    """(num_images, sub_images, tokens, vision hidden) -> (num_images, sub_images x pooled tokens, hidden)."""
    level = spec.level(name)
    assert level is not None
    projected = modules.project(mean_pool(tokens, spec.num_prefix_tokens, level.pool))
    if modules.sub_image_position is not None:
        if places is None:
            raise ValueError(MISSING.format("position 'learned'", "sub_image_positions"))
        projected = projected + modules.sub_image_position(places).unsqueeze(2).to(projected.dtype)
    return projected.flatten(1, 2)


def _select(
    views: Views, counts: LevelCounts, spec: EncoderSpec, modules: Modules
) -> tuple[Selection, tuple[Tensor, Tensor] | None]:
    """Score the high sub-images on projected tokens. Prefix tokens count in embeddings, as in the released weights."""
    assert views.codes is not None
    first, rule = counts.low + counts.mid, spec.selection
    question = modules.query_projection(views.question) if modules.query_projection and views.question is not None else None
    patches = embeddings = high = shared = None
    with torch.no_grad():  # no gradient passes through the choice
        if rule.policy not in ("similarity", "centred", "question") or rule.context == "patches":
            patches = modules.project(views.features[:, first:, spec.num_prefix_tokens :])
        if rule.policy != "detail" or rule.diversity:
            embeddings = modules.project(views.features[:, counts.low :].mean(dim=2))
            high = embeddings[:, counts.mid :]
        if modules.mean_embedding is not None and embeddings is not None:
            modules.mean_embedding.observe(embeddings)
            shared = modules.mean_embedding.value()
        mid = embeddings[:, : counts.mid] if embeddings is not None else None
        asked = question.detach() if question is not None else None
        places = _high_places(views, counts, spec)
        inputs = SelectionInputs(
            mid=mid, high=high, high_patches=patches, mean_embedding=shared, question=asked, positions=places
        )
        selection = select(inputs, views.codes[:, first:], rule, counts.kept, held=views.held)
    if views.evidence is None or question is None:
        return selection, None
    return selection, evidence_losses(asked_scores(replace(inputs, question=question), rule), views.evidence[:, : counts.high])


def _high_places(views: Views, counts: LevelCounts, spec: EncoderSpec) -> Tensor | None:
    """(num_images, high, 2) row and column of the high sub-images, where the selection looks at them."""
    if spec.selection.context == "none":
        return None
    if views.positions is None:
        raise ValueError(MISSING.format(f"selection.context '{spec.selection.context}'", "sub_image_positions"))
    return views.positions[:, counts.low + counts.mid :, 1:]


def check_selected(selected_high: Tensor, expected: tuple[int, int]) -> None:
    """The number kept is part of the encoder configuration (placeholders are counted from it), so no caller may change it."""
    if selected_high.shape != expected:
        raise ValueError(
            f"selected_high has shape {tuple(selected_high.shape)}, this encoder keeps {expected[1]} high sub-images of each of "
            f"{expected[0]} images: give {expected}"
        )
