"""From scores to the high sub-images that are kept: the best of each region, or of the image with a least number per region.

The number kept is given, never found: it follows from the layout. Ties go to the lower index. `choose` takes the best;
`choose_diverse` takes them one by one and lets likeness to what is kept already count against a sub-image.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from dragonfly.vision.scoring import Scores
from dragonfly.vision.spec import SelectionSpec

Regions = Int[Tensor, "images high"]
Indices = Int[Tensor, "images kept"]


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
