"""Zoom-in selection: which high sub-images reach the language model (paper, section 3.2).

`select(inputs, regions, spec, num_kept)` scores every high sub-image (`scoring`) and keeps the best of each region, or of the
whole image with a least number per region.
A policy says what it needs (`spec.NEEDS`): policies that need only the layout, the pixels or the evidence run before the vision
tower, so what they drop is never encoded; the others run on its tokens. Scores are float32, ties go to the lower index, rows do
not depend on their batch mates, and the number kept is known from the layout alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from dragonfly.vision.layout import Box, SubImageLayout
from dragonfly.vision.scoring import SCORES, Scores, SelectionInputs
from dragonfly.vision.selection_spec import SelectionSpec

Regions = Int[Tensor, "images high"]
Indices = Int[Tensor, "images kept"]

AHEAD = 1e4
"""What a score gains that is to come before all others."""


@dataclass(frozen=True)
class Selection:
    """The outcome: `indices` into the high sub-images in the spec's order, `scores` of all of them (float32)."""

    indices: Int[Tensor, "images kept"]
    scores: Float[Tensor, "images high"]


def select(
    inputs: SelectionInputs,
    regions: Int[Tensor, "images high"],
    spec: SelectionSpec,
    num_kept: int,
    empty: Bool[Tensor, "images high"] | None = None,
    held: Bool[Tensor, "images high"] | None = None,
) -> Selection:
    """Score all high sub-images and keep the best.

    Args:
        inputs: what the policy needs (`NEEDS`).
        regions: the region of every high sub-image, from the layout.
        spec: policy, scope, number kept per region or image, least number per region, diversity and order.
        num_kept: number kept of each image, from the layout (`num_kept_high`); no tensor is read to find it.
        empty: sub-images that show nothing, which are kept only where there are too few others.
        held: sub-images that come before all others, whatever their score.

    Raises:
        ValueError: if an input that the policy needs is missing; the message names it and says what provides it.
    """
    scores = SCORES[spec.policy](inputs, regions, spec).float()
    if empty is not None:
        scores = scores.masked_fill(empty, -torch.inf)
    worth = scores if held is None else scores + AHEAD * held
    if spec.diversity:
        if inputs.high is None:
            raise ValueError("selection.diversity compares the embeddings of high sub-images (high), and there are none")
        kept = choose_diverse(worth, inputs.high, regions, spec, num_kept)
    else:
        kept = choose(worth, regions, spec, num_kept)
    if spec.order == "score":
        kept = kept.gather(1, worth.gather(1, kept).argsort(dim=1, stable=True))
    return Selection(kept, scores)


def select_before_tower(
    layout: SubImageLayout,
    spec: SelectionSpec,
    *,
    checksum: int = 0,
    evidence: Sequence[Box] = (),
    residual: Float[Tensor, " high"] | None = None,
    empty: Bool[Tensor, " high"] | None = None,
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
    blank = None if empty is None else empty.unsqueeze(0)
    kept = select(inputs, regions, spec, layout.num_kept_high, blank).indices[0]
    return tuple(int(index) for index in kept)


def choose(scores: Scores, regions: Regions, spec: SelectionSpec, num_kept: int) -> Indices:
    """The kept indices, ascending: the best `keep` of each region, or of the image with at least `min_per_region` of each
    region.
    """
    images, high = scores.shape
    if spec.policy == "all":
        return torch.arange(high, device=scores.device).expand(images, high)
    order = scores.argsort(dim=1, descending=True, stable=True)
    quota = spec.keep if spec.scope == "region" else spec.min_per_region
    if not quota:
        return order[:, :num_kept].sort(dim=1).values
    # The stable sort gives every sub-image its rank; within a region the rank counts only region mates.
    rank = order.argsort(dim=1)
    better = (rank.unsqueeze(1) < rank.unsqueeze(2)) & (regions.unsqueeze(1) == regions.unsqueeze(2))
    beyond = better.sum(dim=2) >= quota
    if spec.scope == "region":
        return beyond.int().argsort(dim=1, stable=True)[:, :num_kept]  # kept first, in index order
    return (
        (rank + high * beyond).argsort(dim=1)[:, :num_kept].sort(dim=1).values
    )  # the least number of each region first, then by score


def choose_diverse(
    scores: Scores, embeddings: Float[Tensor, "images high hidden"], regions: Regions, spec: SelectionSpec, num_kept: int
) -> Indices:
    """As `choose`, but greedily by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998).

    Each step keeps the sub-image with the largest (1 - d) x score - d x likeness, d being `spec.diversity`. Scores are
    stretched to 0 .. 1 over the image. Likeness is the largest cosine between its sub-image embedding and one that is kept, 0
    for the first; embeddings have the image's mean taken away, or what all have in common would make all alike. Quotas and least
    numbers hold.
    """
    low, top = scores.aminmax(dim=1, keepdim=True)
    gain = (1.0 - spec.diversity) * (scores - low) / (top - low).clamp(min=torch.finfo(torch.float32).tiny)
    centred = embeddings.float() - embeddings.float().mean(dim=1, keepdim=True)
    directions = torch.nn.functional.normalize(centred, dim=-1)
    mates = regions.unsqueeze(1) == regions.unsqueeze(2)  # (images, high, high)
    first = ~torch.tril(mates, diagonal=-1).any(dim=2)  # one sub-image of each region
    taken = torch.zeros_like(mates[:, 0])
    likeness = torch.zeros_like(gain)
    rows = torch.arange(len(scores), device=scores.device)
    for step in range(num_kept):
        own = (mates & taken.unsqueeze(1)).sum(dim=2)  # kept in the same region
        if spec.scope == "region":
            free = own < spec.keep
        else:
            lacking = (spec.min_per_region - own).clamp(min=0)
            reserved = (lacking * first).sum(dim=1, keepdim=True)
            free = (lacking > 0) | (reserved < num_kept - step)
        value = (gain - spec.diversity * likeness).masked_fill(taken | ~free, -torch.inf)
        best = value.argsort(dim=1, descending=True, stable=True)[:, 0]
        cosine = (directions * directions[rows, best].unsqueeze(1)).sum(dim=-1)
        likeness = cosine if step == 0 else torch.maximum(likeness, cosine)
        taken = taken | torch.nn.functional.one_hot(best, taken.shape[1]).bool()
    return (~taken).int().argsort(dim=1, stable=True)[:, :num_kept]
