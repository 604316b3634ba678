"""What a language model's family adds to its sizes: norms, biases, positions, and what a layer keeps for the backward pass.

Facts of each architecture as transformers builds it. Tests hold them against models without storage (parameters) and against
what autograd saves (activations).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Family:
    """One architecture.

    Args:
        required: keys that config.json must hold, because their defaults are the family's own; transformers completes a file
            that lacks one.
        gated: three matrices in the feed-forward network (gate, up, down), else two.
        rms: RMS norms, written in Python and kept twice by autograd; else torch's layer norm.
        norm_in_float: RMS norms multiply by their weight in float32 whatever the weights are.
        norms: norms over the hidden size in a layer; those above `pre_norms` come after a block, not before.
        norm_bias: whether norms have a bias.
        qkv_bias, out_bias, feed_forward_bias, head_bias: True, False, or the key of config.json that says so.
        qk_norm: norm of queries and keys: "" for none, `head` over one head, `whole` over all.
        positions: learned positions; None for none, else the rows beyond `max_position_embeddings`.
        tied: whether head and embeddings are one matrix where config.json does not say.
        fused: queries, keys and values come from one matrix.
        residuals: hidden states of the residual stream that a layer keeps (1 where its blocks are parallel).
        activations: tensors of the feed-forward network's inner size that a layer keeps.
    """

    required: tuple[str, ...] = ()
    gated: bool = True
    rms: bool = True
    norm_in_float: bool = False
    norms: int = 2
    pre_norms: int = 2
    norm_bias: bool = False
    qkv_bias: bool | str = False
    out_bias: bool | str = False
    feed_forward_bias: bool | str = False
    head_bias: bool = False
    qk_norm: str = ""
    positions: int | None = None
    tied: bool = False
    fused: bool = False
    residuals: int = 2
    activations: int = 4


_BIASED: dict[str, Any] = {"qkv_bias": "attention_bias", "out_bias": "attention_bias"}
_HEADS = ("num_key_value_heads", "head_dim")
_OLD: dict[str, Any] = {"gated": False, "rms": False, "norm_bias": True}  # layer norms and two matrices with biases

FAMILIES: dict[str, Family] = {
    "llama": Family(qkv_bias="attention_bias", out_bias="attention_bias", feed_forward_bias="mlp_bias"),
    "mistral": Family(required=("num_key_value_heads",)),
    "qwen2": Family(required=("num_key_value_heads",), qkv_bias=True),
    "qwen3": Family(required=_HEADS, qk_norm="head", **_BIASED),
    "gemma": Family(norm_in_float=True, required=_HEADS, tied=True, **_BIASED),
    "gemma2": Family(norm_in_float=True, required=_HEADS, norms=4, tied=True, **_BIASED),
    "gemma3_text": Family(norm_in_float=True, required=_HEADS, norms=4, qk_norm="head", tied=True, **_BIASED),
    "phi3": Family(fused=True),
    "olmo2": Family(norm_in_float=True, qk_norm="whole", pre_norms=0, **_BIASED),
    "smollm3": Family(required=("num_key_value_heads",), feed_forward_bias="mlp_bias", tied=True, **_BIASED),
    "granite": Family(feed_forward_bias="mlp_bias", **_BIASED),
    "cohere2": Family(norm_in_float=True, norms=1, pre_norms=1, residuals=1, tied=True, **_BIASED),
    "mixtral": Family(required=("num_key_value_heads", "num_experts", "num_experts_per_tok")),
    "qwen3_moe": Family(
        required=("num_key_value_heads", "num_experts", "num_experts_per_tok", "moe_intermediate_size"),
        qk_norm="head",
        **_BIASED,
    ),
    "phi": Family(
        **_OLD,
        norms=1,
        pre_norms=1,
        residuals=1,
        qkv_bias=True,
        out_bias=True,
        feed_forward_bias=True,
        head_bias=True,
        activations=5,
    ),
    "gpt2": Family(
        **_OLD, qkv_bias=True, out_bias=True, feed_forward_bias=True, positions=0, tied=True, fused=True, activations=5
    ),
    "opt": Family(
        **_OLD,
        qkv_bias="enable_bias",
        out_bias="enable_bias",
        feed_forward_bias="enable_bias",
        positions=2,
        tied=True,
        activations=1,
    ),
    "gpt_neox": Family(
        **_OLD,
        **_BIASED,
        feed_forward_bias=True,
        residuals=1,
        fused=True,
        activations=2,
    ),
}
"""By `model_type` of config.json."""

ON_BY_DEFAULT = {("gpt_neox", "attention_bias"), ("opt", "enable_bias")}
"""Biases that are there unless config.json says otherwise."""
