"""Zoom-in selection: which high sub-images reach the language model (paper, section 3.2).

`select(inputs, regions, spec, num_kept)` scores every high sub-image and keeps the best of each region, or of the whole picture.
A policy says what it needs: policies that need only the layout, the pixels or the evidence run before the vision tower, so
what they drop is never encoded; the others run on its tokens. Scores are float32, ties go to the lower index, rows do not
depend on their batch mates, and the number kept is known from the layout alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dragonfly.vision.layout import Box, SubImageLayout
from dragonfly.vision.spec import Policy, SelectionSpec

Need = Literal["layout", "pixels", "evidence", "tokens"]
Scores = Float[Tensor, "images high"]


@dataclass(frozen=True)
class SelectionInputs:
    """What the policies may look at; each reads only what it needs.

    Args:
        mid: summaries (mean projected token) of the mid sub-images.
        high: summaries of the high sub-images.
        high_patches: projected patch tokens of the high sub-images, prefix tokens left out.
        shared_mean: the running mean of all summaries (`centred`).
        boxes: source boxes of the high sub-images, one list per picture (`oracle`).
        evidence: boxes that hold the answers, one list per picture (`oracle`).
        checksums: one integer per picture that depends on its pixels alone (`random`).
    """

    mid: Float[Tensor, "images mid hidden"] | None = None
    high: Float[Tensor, "images high hidden"] | None = None
    high_patches: Float[Tensor, "images high patches hidden"] | None = None
    shared_mean: Float[Tensor, " hidden"] | None = None
    boxes: Sequence[Sequence[Box]] | None = None
    evidence: Sequence[Sequence[Box]] | None = None
    checksums: Sequence[int] | None = None


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
        spec: policy, scope and number kept per region or picture.
        num_kept: number kept of each picture, from the layout (`num_kept_high`); no tensor is read to find it.

    Raises:
        ValueError: if an input that the policy needs is missing; the message names it and says what provides it.
    """
    scores = _SCORES[spec.policy](inputs, regions, spec).float()
    return Selection(choose(scores, regions, spec, num_kept), scores)


def choose(scores: Scores, regions: Int[Tensor, "images high"], spec: SelectionSpec, num_kept: int) -> Int[Tensor, "images kept"]:
    """The kept indices, ascending: the best `keep` of each region or of the picture; ties go to the lower index."""
    images, high = scores.shape
    if spec.policy == "all":
        return torch.arange(high, device=scores.device).expand(images, high)
    order = scores.argsort(dim=1, descending=True, stable=True)
    if spec.scope == "picture":
        return order[:, :num_kept].sort(dim=1).values
    # The stable sort gives every sub-image its rank; within a region the rank counts only region mates.
    rank = order.argsort(dim=1)
    better = (rank.unsqueeze(1) < rank.unsqueeze(2)) & (regions.unsqueeze(1) == regions.unsqueeze(2))
    dropped = better.sum(dim=2) >= spec.keep
    return dropped.int().argsort(dim=1, stable=True)[:, :num_kept]  # kept first, in index order


def select_before_tower(
    layout: SubImageLayout, spec: SelectionSpec, *, checksum: int = 0, evidence: Sequence[Box] = ()
) -> tuple[int, ...]:
    """Kept high indices of one picture for a policy that needs no tower; none where the layout has no high level."""
    if not layout.regions:
        return ()
    inputs = SelectionInputs(boxes=[layout.level_boxes("high")], evidence=[list(evidence)], checksums=[checksum])
    regions = torch.tensor([layout.regions])
    kept = select(inputs, regions, spec, layout.num_kept_high).indices[0]
    return tuple(int(index) for index in kept)


def _similarity(inputs: SelectionInputs, regions: Tensor, spec: SelectionSpec) -> Scores:
    """Dot product of summaries: with the region's mid sub-image, or the best of all mid ones (paper, section 3.2, 5.1)."""
    mid, high = _summaries(inputs, spec.policy)
    return _match(mid, high, regions, spec)


def _centred(inputs: SelectionInputs, regions: Tensor, spec: SelectionSpec) -> Scores:
    """Similarity after the component that all sub-images share is taken away."""
    mid, high = _summaries(inputs, spec.policy)
    if inputs.shared_mean is None:
        raise ValueError("policy 'centred' needs a shared mean and this model has none; run `dragonfly lab calibrate` on it")
    shared = inputs.shared_mean.float()
    return _match(mid - shared, high - shared, regions, spec)


def _match(mid: Tensor, high: Tensor, regions: Tensor, spec: SelectionSpec) -> Scores:
    # Multiply and sum, not a matrix product: autocast and TF32 lower a product's precision, and with it change choices.
    mid, high = mid.float(), high.float()
    if spec.scope == "picture":
        return (mid.unsqueeze(2) * high.unsqueeze(1)).sum(dim=-1).amax(dim=1)
    own = mid.gather(1, regions.long().unsqueeze(-1).expand_as(high))
    return (own * high).sum(dim=-1)


def _detail(inputs: SelectionInputs, regions: Tensor, spec: SelectionSpec) -> Scores:
    """Variance of the tokens inside a sub-image: what is uniform has nothing to read."""
    if inputs.high_patches is None:
        raise ValueError("policy 'detail' needs the projected patch tokens of the high sub-images (high_patches)")
    return inputs.high_patches.float().var(dim=2, correction=0).mean(dim=-1)


def _uniform(inputs: SelectionInputs, regions: Tensor, spec: SelectionSpec) -> Scores:
    """Evenly spread over each region (or the picture) in raster order, whatever the picture shows.

    The middles of k equal stretches of the n mates: cells floor((2j + 1) n / 2k) for j = 0 .. k - 1.
    """
    mates = torch.zeros_like(regions) if spec.scope == "picture" else regions
    same = mates.unsqueeze(1) == mates.unsqueeze(2)
    size = same.sum(dim=2)
    before = torch.tril(same, diagonal=-1).sum(dim=2)  # position among its mates

    def middles(cells: Tensor) -> Tensor:
        """How many of the middles lie in the first `cells` mates."""
        return (2 * spec.keep * cells + size - 1).div(2 * size, rounding_mode="floor")

    return (middles(before + 1) > middles(before)).float()


def _random(inputs: SelectionInputs, regions: Tensor, spec: SelectionSpec) -> Scores:
    """Seeded by the policy's seed and the picture, never by its place in the batch."""
    if inputs.checksums is None:
        raise ValueError("policy 'random' needs one checksum per picture (checksums); the image processor makes them")
    rows: list[Tensor] = []
    for checksum in inputs.checksums:
        generator = torch.Generator().manual_seed((spec.seed * 0x9E3779B97F4A7C15 + checksum) % 2**63)
        rows.append(torch.rand(regions.shape[1], generator=generator))
    return torch.stack(rows).to(regions.device)


def _oracle(inputs: SelectionInputs, regions: Tensor, spec: SelectionSpec) -> Scores:
    """Area in source pixels that a sub-image shares with the evidence: the upper bound for every other policy."""
    if inputs.boxes is None or inputs.evidence is None:
        raise ValueError("policy 'oracle' needs the answer's boxes; pass evidence=[[(left, top, right, bottom), ...], ...]")
    rows = [
        [sum(_overlap(box, truth) for truth in evidence) for box in boxes]
        for boxes, evidence in zip(inputs.boxes, inputs.evidence, strict=True)
    ]
    return torch.tensor(rows, dtype=torch.float32, device=regions.device)


def _all(inputs: SelectionInputs, regions: Tensor, spec: SelectionSpec) -> Scores:
    return torch.zeros(regions.shape, device=regions.device)


def _overlap(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)


def _summaries(inputs: SelectionInputs, policy: str) -> tuple[Tensor, Tensor]:
    if inputs.mid is None or inputs.high is None:
        raise ValueError(f"policy '{policy}' needs the summaries of mid and high sub-images (mid, high)")
    return inputs.mid, inputs.high


NEEDS: dict[Policy, Need] = {
    "all": "layout",
    "uniform": "layout",
    "random": "pixels",
    "oracle": "evidence",
    "similarity": "tokens",
    "centred": "tokens",
    "detail": "tokens",
}
_SCORES: dict[Policy, Callable[[SelectionInputs, Tensor, SelectionSpec], Scores]] = {
    "all": _all,
    "uniform": _uniform,
    "random": _random,
    "oracle": _oracle,
    "similarity": _similarity,
    "centred": _centred,
    "detail": _detail,
}


def runs_before_tower(spec: SelectionSpec) -> bool:
    """Whether the image processor can decide, so that what is dropped is never encoded."""
    return spec.policy != "all" and NEEDS[spec.policy] != "tokens"
