"""Zoom-in selection: which high sub-images reach the language model (paper, section 3.2).

`select(inputs, regions, spec)` scores every high sub-image and keeps the best of each region, or of the whole picture.
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


def select(inputs: SelectionInputs, regions: Int[Tensor, "images high"], spec: SelectionSpec) -> Selection:
    """Score all high sub-images and keep the best.

    Args:
        inputs: what the policy needs (`NEEDS`).
        regions: the region of every high sub-image, from the layout.
        spec: policy, scope and number kept.

    Raises:
        ValueError: if an input that the policy needs is missing; the message names it and says what provides it.
    """
    scores = _SCORES[spec.policy](inputs, regions, spec).float()
    return Selection(choose(scores, regions, spec), scores)


def choose(scores: Scores, regions: Int[Tensor, "images high"], spec: SelectionSpec) -> Int[Tensor, "images kept"]:
    """The kept indices, ascending: the best `keep` of each region or of the picture; ties go to the lower index."""
    images, high = scores.shape
    if spec.policy == "all":
        return torch.arange(high, device=scores.device).expand(images, high)
    # A stable descending sort gives every sub-image its rank; within a region the rank counts only region mates.
    order = scores.argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1)
    if spec.scope == "picture":
        return order[:, : spec.keep].sort(dim=1).values
    better = (rank.unsqueeze(1) < rank.unsqueeze(2)) & (regions.unsqueeze(1) == regions.unsqueeze(2))
    kept = better.sum(dim=2) < spec.keep
    # Kept first, in index order. The number kept is the same in every row, since regions are of equal size.
    first = (~kept).int().argsort(dim=1, stable=True)
    return first[:, : _num_kept(high, regions, spec)]


def select_before_tower(
    layout: SubImageLayout, spec: SelectionSpec, *, checksum: int = 0, evidence: Sequence[Box] = ()
) -> tuple[int, ...]:
    """Kept high indices of one picture for a policy that needs no tower."""
    inputs = SelectionInputs(boxes=[layout.level_boxes("high")], evidence=[list(evidence)], checksums=[checksum])
    regions = torch.tensor([layout.regions])
    kept = select(inputs, regions, spec).indices[0]
    return tuple(int(index) for index in kept)


def _num_kept(high: int, regions: Tensor, spec: SelectionSpec) -> int:
    """Kept per picture. Regions are of equal size, so one comparison with the first tells how many there are."""
    size = int((regions[0] == regions[0, 0]).sum())
    return spec.keep * (high // size)


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
    scores = torch.einsum("nmd,nhd->nmh", mid.float(), high.float())
    if spec.scope == "picture":
        return scores.amax(dim=1)
    return scores.gather(1, regions.unsqueeze(1)).squeeze(1)


def _detail(inputs: SelectionInputs, regions: Tensor, spec: SelectionSpec) -> Scores:
    """Variance of the tokens inside a sub-image: what is uniform has nothing to read."""
    if inputs.high_patches is None:
        raise ValueError("policy 'detail' needs the projected patch tokens of the high sub-images (high_patches)")
    return inputs.high_patches.float().var(dim=2, correction=0).mean(dim=-1)


def _uniform(inputs: SelectionInputs, regions: Tensor, spec: SelectionSpec) -> Scores:
    """Evenly spread over each region (or the picture) in raster order, whatever the picture shows."""
    mates = torch.zeros_like(regions) if spec.scope == "picture" else regions
    same = mates.unsqueeze(1) == mates.unsqueeze(2)
    size = same.sum(dim=2)
    before = torch.tril(same, diagonal=-1).sum(dim=2)  # position among its mates
    # Cell p of n is chosen when floor((p + 1) k / n) steps over an integer: k chosen cells, evenly spaced.
    chosen = ((before + 1) * spec.keep).div(size, rounding_mode="floor") > (before * spec.keep).div(size, rounding_mode="floor")
    return chosen.float()


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
