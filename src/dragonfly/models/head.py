# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""What families of language models do between the last hidden state and the loss, read from their own configuration.

The head itself is one `nn.Linear`, which TRL and PEFT take as it is. Beside it, a family may have a bias, a factor on
its logits, a soft cap, or (mixtures of experts) an auxiliary loss. All of it follows from `text_config`, by the fields that
TRL reads too, so that a checkpoint says nothing twice. `models/joining.py` holds the result against the original.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

ALWAYS_BIASED = ("codegen", "ctrl", "gptj", "phi")
BIAS_FIELDS = ("lm_head_bias", "decoder_bias")  # of PhiMoE and Zaya, and of ModernBERT
FACTORS = ("logit_scale", "lm_head_multiplier", "output_multiplier")  # of Cohere, Falcon-H1, and Muse
CAPS = ("final_logit_softcapping", "logits_soft_cap")  # of Gemma, and RecurrentGemma
# What a family without positions of its own takes from the attention mask instead.
OPTIONAL_ARGUMENTS = ("position_ids", "cache_position", "token_type_ids", "use_cache", "output_router_logits")
AUXILIARY_ARGUMENTS = ["gate_logits", "num_experts", "top_k", "attention_mask"]


def embedding_width(text: PreTrainedConfig) -> int:
    """Width of the embeddings and of what the head reads, which OPT may project to the width of its layers."""
    return getattr(text, "word_embed_proj_dim", None) or text.hidden_size  # pyright: ignore[reportReturnType]


def has_bias(text: PreTrainedConfig) -> bool:
    """Whether the head of this family's causal language model has a bias."""
    if text.model_type == "ernie4_5_moe":
        return bool(text.use_bias)
    return text.model_type in ALWAYS_BIASED or any(getattr(text, name, False) for name in BIAS_FIELDS)


def shaped(logits: Tensor, text: PreTrainedConfig) -> Tensor:
    """The head's output (..., vocabulary) after the family's own factor and soft cap; as it is for most families."""
    for name in FACTORS:
        factor = getattr(text, name, None)
        if isinstance(factor, int | float):
            logits = logits * factor
    divisor = getattr(text, "logits_scaling", None)
    if isinstance(divisor, int | float):  # HyperCLOVA X multiplies by what Granite divides by
        logits = logits * divisor if text.model_type == "hyperclovax" else logits / divisor
    for name in CAPS:
        if cap := getattr(text, name, None):
            logits = torch.tanh(logits / cap) * cap
    return logits


def wants_router_logits(text: PreTrainedConfig) -> bool:
    """Whether the configuration asks for the auxiliary loss of a mixture of experts."""
    return bool(getattr(text, "output_router_logits", False))


def auxiliary_loss(language_model: nn.Module, router_logits: Any, attention_mask: Tensor | None) -> tuple[Any, float]:
    """The family's own load-balancing loss and its weight; (None, 0) of a family that has none.

    Args:
        router_logits: one (tokens, experts) tensor per layer.
        attention_mask: (batch, length), whose padding then counts for nothing; any other form of mask is not looked at.

    Raises:
        ValueError: if the family computes the loss from more than its number of experts and how many a token takes.
    """
    text: Any = language_model.config
    balance = getattr(sys.modules[type(language_model).__module__], "load_balancing_loss_func", None)
    if balance is None or router_logits is None:
        return None, 0.0
    if list(signature(balance).parameters) != AUXILIARY_ARGUMENTS:
        raise ValueError(
            f"the auxiliary loss of a language model of type '{text.model_type}' is not known here; "
            "set output_router_logits=False in its configuration"
        )
    if attention_mask is not None and attention_mask.ndim != 2:
        attention_mask = None
    if hasattr(text, "ffn_config"):  # DBRX
        experts, taken = text.ffn_config.moe_num_experts, text.ffn_config.moe_top_k
        return balance(router_logits, experts, taken, attention_mask), float(text.ffn_config.moe_loss_weight)
    experts = _first(text, "num_local_experts", "num_experts")
    weight = _first(text, "router_aux_loss_coef", "aux_loss_coef")
    return balance(router_logits, experts, text.num_experts_per_tok, attention_mask), float(weight)


def _first(text: PreTrainedConfig, *names: str) -> Any:
    found = next((value for name in names if (value := getattr(text, name, None)) is not None), None)
    if found is None:
        raise ValueError(f"the configuration of language model type '{text.model_type}' has none of {', '.join(names)}")
    return found


def embedding_name(language_model: Any) -> str:
    """Where a language model keeps its input embeddings: `embed_tokens`, `wte`, `decoder.embed_tokens`, ..."""
    embeddings = language_model.get_input_embeddings()
    return next(name for name, module in language_model.named_modules() if module is embeddings)


def accepted_arguments(language_model: nn.Module) -> Collection[str] | None:
    """Names of the arguments that its `forward` takes; None if it takes any."""
    parameters = signature(language_model.forward).parameters
    if any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return None
    return frozenset(parameters)


def fitting(arguments: dict[str, Any], accepted: Collection[str] | None) -> dict[str, Any]:
    """The arguments that a language model takes. What it does not need is left out, anything else meets its own error."""
    if accepted is None:
        return arguments
    return {
        name: value
        for name, value in arguments.items()
        if name in accepted or (value is not None and name not in OPTIONAL_ARGUMENTS)
    }
