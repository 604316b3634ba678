"""Policy `question`: what a question looks for, as a vector beside the embeddings of sub-images, and how that is learned.

A question is the mean of its words' input embeddings, sent through one learned linear map. It learns from evidence, or from where
a language model that is shown every high sub-image looks while it answers. Gradient reaches the map alone: what it compares and
what it learns from are detached, so learning to choose disturbs neither tower nor language model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class QueryProjection(nn.Module):
    """From the space of input embeddings to that of embeddings, which is the same one: the identity when new."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(hidden))

    def forward(self, question: Tensor) -> Tensor:
        """(num_images, hidden) -> (num_images, hidden)."""
        return nn.functional.linear(question.to(self.weight.dtype), self.weight)

    def learned(self) -> bool:
        """Whether it is anything but new."""
        return not torch.equal(self.weight, torch.eye(len(self.weight), dtype=self.weight.dtype, device=self.weight.device))


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


def choice_loss(outputs: Any, input_ids: Tensor | None, labels: Tensor | None, config: Any) -> Tensor | None:
    """The loss of the choice: from evidence, or, where the language model tells its attention and saw all, from that."""
    if outputs.choice is None or not outputs.attentions or labels is None or input_ids is None:
        return outputs.selection_loss
    placeholders = input_ids == config.image_token_id
    return attention_loss(outputs.choice, outputs.attentions, labels, placeholders, config.spec.tokens("high"))


def attention_loss(
    choice: Sequence[tuple[Tensor, int]], attentions: Sequence[Tensor], labels: Tensor, placeholders: Tensor, tokens: int
) -> Tensor:
    """Cross-entropy of the scores against the attention that answers pay each high sub-image, over all layers and heads.

    Args:
        choice: of each image in order the scores (high,) and its number of placeholders, those of the high level last.
        attentions: of each layer (batch, heads, length, length).
        labels: (batch, length), -100 outside answers; the positions that predict an answer's tokens are asked.
        placeholders: (batch, length), where images stand.
        tokens: of a high sub-image.

    Returns:
        The mean over the images that got any attention.
    """
    with torch.no_grad():
        asking = (labels[:, 1:] != -100).unsqueeze(2)
        given = sum((layer[:, :, :-1].float().mean(dim=1) * asking).sum(dim=1) for layer in attentions)
        each = torch.as_tensor(given)[placeholders].split([number for _, number in choice])
    pairs = [
        evidence_losses(scores[None], got[len(got) - len(scores) * tokens :].unflatten(0, (len(scores), tokens)).sum(dim=1)[None])
        for (scores, _), got in zip(choice, each, strict=True)
    ]
    losses, known = (torch.cat(values) for values in zip(*pairs, strict=True))
    return (losses * known).sum() / known.sum().clamp(min=1)
