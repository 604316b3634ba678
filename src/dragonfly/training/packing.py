# pyright: reportUnknownMemberType=false
"""Sequence packing (`data.packing`): several rows in one sequence, trained exactly as if each were its own.

The collator packs the rows of a device's batch, which rows those are stays as it was: so the order of rows, the optimiser step,
accumulation and resuming know nothing of it. A model tells rows apart by positions that begin anew, which transformers turns
into a mask of blocks, or into lengths for flash attention. Here stands which language models can, and how long a sequence is.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import torch

from dragonfly.models import head

if TYPE_CHECKING:
    from .recipe import Recipe

PROBE = ((5, 9, 7, 11, 6), (8, 6, 10, 7))
"""Ids of two rows that `check_packing` reads alone and in one sequence; any language model has as many tokens."""

ALIKE = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 5e-3}
"""How far rounding may take hidden states apart, as a share of the largest, in each format of the weights."""


def packed_length(recipe: Recipe) -> int:
    """Most tokens of a sequence. Flash attention pays for each row's length alone, so there a batch is one sequence."""
    assert recipe.data.packing is not None
    chosen = recipe.attention.get("text_config") if isinstance(recipe.attention, dict) else recipe.attention
    return sys.maxsize if chosen is not None and "flash" in chosen else recipe.data.packing


@torch.no_grad()
def check_packing(model: Any) -> None:
    """ValueError for a Dragonfly model whose language model does not keep packed rows apart.

    Two rows are read alone and in one sequence: a model that passes a state from token to token, or has no use for positions,
    gives the second other hidden states.
    """
    text = model.config.get_text_config()
    if head.wants_router_logits(text):
        raise ValueError(
            "data.packing cannot leave padding out of the auxiliary loss of a mixture of experts; leave data.packing out, or set "
            "output_router_logits to false in the language model's configuration"
        )
    language, device = model.model, next(model.parameters()).device
    ids = [torch.tensor([row], device=device) for row in PROBE]
    positions = torch.cat([torch.arange(len(row), device=device) for row in PROBE])[None]
    was, attention = language.training, text._attn_implementation
    language.eval()
    if attention != "eager":
        text._attn_implementation = "sdpa"  # others need a device, or a number format, that comes later
    try:
        alone = torch.cat([language(input_ids=row, use_cache=False).last_hidden_state for row in ids], dim=1)
        together = language(input_ids=torch.cat(ids, dim=1), position_ids=positions, use_cache=False).last_hidden_state
    finally:
        text._attn_implementation = attention
        language.train(was)
    farthest = (together - alone).abs().max() / alone.abs().max()
    if not farthest <= ALIKE[alone.dtype]:
        raise ValueError(
            f"a language model of type {text.model_type!r} does not keep packed rows apart (their hidden states differ by "
            f"{float(farthest):.2%}); leave data.packing out and group rows by data.group_by_length=true"
        )
