"""Policy `question`: what a question looks for, as a vector beside the embeddings of sub-images, and how that is learned.

A question is the mean of its words' input embeddings, sent through one learned linear map to what is seen of a sub-image
(`scoring.in_context`), or through a small network to what is looked for among its patches (`scoring.patch_scores`). It learns
from evidence. Gradient reaches the map alone: what it compares and what it learns from are detached, so learning to choose
disturbs neither tower nor language model.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from dragonfly.vision.selection_spec import HEADS, PLACE, WIDTH, SelectionSpec


class QueryProjection(nn.Module):
    """From the space of input embeddings to that of what is seen of a sub-image.

    It begins with the sub-image embedding, whose space is the same: when new, the map is the identity there and zero beyond.
    """

    def __init__(self, hidden: int, seen: int | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(seen or hidden, hidden))

    def forward(self, question: Tensor) -> Tensor:
        """(num_images, hidden) -> (num_images, seen)."""
        return nn.functional.linear(question.to(self.weight.dtype), self.weight)

    def learned(self) -> bool:
        """Whether it is anything but new."""
        return not torch.equal(self.weight, torch.eye(*self.weight.shape, dtype=self.weight.dtype, device=self.weight.device))


class PatchQuery(nn.Module):
    """From the space of input embeddings to what is looked for among patches: three layers, the first two `WIDTH` wide.

    When new, it looks for what chance says, the same at every start.
    """

    def __init__(self, hidden: int, seen: int) -> None:
        super().__init__()
        self.widths = (hidden, WIDTH, WIDTH, seen)
        pairs = list(pairwise(self.widths))
        self.weights = nn.ParameterList(torch.empty(after, before) for before, after in pairs)
        self.biases = nn.ParameterList(torch.empty(after) for _, after in pairs)
        self.reset()

    @torch.no_grad()
    def reset(self) -> None:
        chance = torch.Generator().manual_seed(0)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            weight.copy_(torch.randn(weight.shape, generator=chance) / weight.shape[1] ** 0.5)
            bias.zero_()
        self.weights[-1][-PLACE - 2 * HEADS :].zero_()
        self.biases[-1][-PLACE - 2 * HEADS : -PLACE] = 0.25  # without it no gradient would reach what is looked for

    def forward(self, question: Tensor, left_out: float = 0.0) -> Tensor:
        """(num_images, hidden) -> (num_images, seen); `left_out` is the share of inner numbers that are, at random."""
        out = question.to(self.weights[0].dtype)
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            out = nn.functional.dropout(nn.functional.gelu(out), left_out) if number else out
            out = nn.functional.linear(out, weight, bias)
        return out

    def learned(self) -> bool:
        """Whether it is anything but new."""
        new = PatchQuery(self.widths[0], self.widths[-1]).parameters()
        return any(not torch.equal(own.cpu(), one.to(own.dtype)) for own, one in zip(self.parameters(), new, strict=True))


def query_module(selection: SelectionSpec, hidden: int) -> QueryProjection | PatchQuery:
    """What policy `question` learns, as new, for embeddings of `hidden` numbers."""
    kind = PatchQuery if selection.context == "patches" else QueryProjection
    return kind(hidden, selection.seen_size(hidden))


def embed_questions(embed: Callable[[Tensor], Tensor], ids: Tensor, mask: Tensor) -> Tensor:
    """(num_images, length) ids and mask -> (num_images, hidden): the mean of the words' embeddings, zero without words."""
    with torch.no_grad():
        words = embed(ids).float() * mask.unsqueeze(-1)
        return words.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)


def evidence_losses(scores: Tensor, evidence: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each image's scores against its evidence, and which images have any.

    Args:
        scores: (num_images, high).
        evidence: (num_images, high) areas shared with the boxes that hold the answer; their shares are the target.
    """
    area = evidence.sum(dim=1, keepdim=True)
    target = evidence / area.clamp(min=torch.finfo(torch.float32).tiny)
    return -(target * scores.log_softmax(dim=1)).sum(dim=1), (area > 0).squeeze(1)
