"""Sequences with segment_ids: tokens that all share, then segments that see these and themselves, not each other.

Training only: several questions on an image cost its tokens once and are answered as if each were asked alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def shared_prefix_inputs(
    segment_ids: Tensor, attention_mask: Tensor | None, embeds: Tensor, config: Any
) -> tuple[Tensor, Tensor]:
    """What lets a language model read segment_ids.

    Args:
        segment_ids: (batch, length), 0 where shared, else the segment's number; a segment's tokens stand together, after what is
            shared.
        attention_mask: (batch, length), 0 for padding, which stands on the right; None for none.
        embeds: the tokens' embeddings, whose dtype a mask has that is added to the scores.
        config: the language model's; eager attention adds the mask, any other takes a boolean one.

    Returns:
        The mask (batch, 1, length, length), and position ids (batch, length): every segment resumes where the shared part ends.
    """
    length = segment_ids.shape[1]
    real = torch.ones_like(segment_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
    causal = torch.ones(length, length, dtype=torch.bool, device=segment_ids.device).tril()
    same = (segment_ids[:, :, None] == segment_ids[:, None, :]) & causal
    shared = (segment_ids == 0) & real
    seen = (same | (shared[:, None, :] & causal)) & real[:, None, :]
    seen |= torch.eye(length, dtype=torch.bool, device=segment_ids.device)  # padding must see something
    within = same.sum(dim=-1) - 1
    positions = torch.where(segment_ids > 0, shared.sum(dim=-1, keepdim=True) + within, within)
    mask = seen[:, None]
    if config._attn_implementation == "eager":
        mask = torch.zeros_like(mask, dtype=embeds.dtype).masked_fill(~mask, torch.finfo(embeds.dtype).min)
    return mask, positions
