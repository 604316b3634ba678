"""Policy `question`: what a question looks for, as a vector beside the embeddings of sub-images, and how that is learned.

A question is the mean of its words' input embeddings, sent through one learned linear map to what is seen of a sub-image
(`scoring.in_context`). It learns from evidence. Gradient reaches the map alone: what it compares and what it learns from are
detached, so learning to choose disturbs neither tower nor language model.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


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
