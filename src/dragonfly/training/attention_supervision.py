"""Telling attention where to look: how far the positions that say an answer are from looking where `data.attention supervision`
points.

A language model this side of a billion parameters does not find by itself, in minutes, which of many sub-images a question is
about: it must compare the question's key with all of them before any of them helps it to answer. Told where, it learns
that comparison first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .options import AttentionSupervision

FLOOR = 1e-4
"""Attention below this is as good as none; keeps the logarithm finite."""


def check_heads(options: AttentionSupervision, config: Any) -> None:
    """ValueError where the language model of this configuration has not the layers and heads that are to be told."""
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    if max(options.words, options.places) >= layers or options.heads > heads:
        raise ValueError(
            f"attention_supervision names layers {options.words} and {options.places} and {options.heads} heads; "
            f"the language model has layers 0 to {layers - 1} of {heads} heads"
        )


def attention_supervision_loss(
    options: AttentionSupervision,
    attentions: Sequence[Tensor],
    attention_targets: Tensor,
    segment_ids: Tensor,
    labels: Tensor,
    placeholders: Tensor,
) -> Tensor:
    """Minus the log of the attention paid to what an answer is about, mean over answers' positions and heads.

    The mean of two such terms: in layer `words` the question's words, in layer `places` the sub-images.

    Args:
        attentions: of each layer (batch, heads, length, length), rows adding up to 1.
        attention_targets: (batch, length), a bit per segment, set where that segment's answer is about the token.
        segment_ids: (batch, length), 0 where all share or where there is one question, else the segment's number.
        labels: (batch, length), -100 outside answers.
        placeholders: (batch, length), where sub-images stand.
    """
    own = torch.ones_like(segment_ids) << (segment_ids - 1).clamp(min=0)
    wanted = (attention_targets[:, None, :] & own[:, :-1, None]) != 0
    says = labels[:, 1:] != -100
    terms = []
    for layer, of_kind in ((options.words, ~placeholders), (options.places, placeholders)):
        target = wanted & of_kind[:, None, :]
        rows = says & target.any(dim=-1)
        paid = (attentions[layer][:, : options.heads, :-1].float() * target[:, None]).sum(dim=-1)
        losses = -paid.clamp(min=FLOOR).log().mean(dim=1)[rows]
        terms.append(losses.sum() / rows.sum().clamp(min=1))
    return torch.stack(terms).mean()
