# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""Sizes of architectures that have no formula here: built by transformers without storage, and counted. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM


def counted_language_model(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a `LanguageModelSize` for config.json's values. Matrices are spread evenly over layers.

    Of experts (tensors of three dimensions, one per expert) the active share is what a token passes.

    Raises:
        ValueError: if transformers does not build such a model.
    """
    kind = values["model_type"]
    own = {key: value for key, value in values.items() if key != "model_type"}
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **own))
    except Exception as error:  # a model's own code, which may fail in any way
        reason = " ".join(str(error).split())[:120]
        raise ValueError(
            f"no formula for a language model of type '{kind}', and transformers does not build it: {reason}"
        ) from None
    layers, heads, hidden = values["num_hidden_layers"], values["num_attention_heads"], values["hidden_size"]
    inner: Any = model.base_model
    inside = {id(p): p for name, p in inner.named_parameters() if any(step.isdigit() for step in name.split("."))}
    embeddings, head = model.get_input_embeddings().weight, getattr(model.get_output_embeddings(), "weight", None)
    tied = head is None or head is embeddings or bool(values.get("tie_word_embeddings"))
    matrices = sum(p.numel() for p in inside.values() if p.ndim == 2)
    experts = sum(p.numel() for p in inside.values() if p.ndim > 2)
    number = values.get("num_experts") or values.get("n_routed_experts") or 0
    active = (values.get("num_experts_per_tok") or number) / number if number else 1.0
    vectors = sum(p.numel() for p in inside.values() if p.ndim < 2)
    # Tied or not, the head and the embeddings are counted by vocabulary and hidden size.
    outside = sum(p.numel() for p in {id(p): p for p in model.parameters()}.values()) - matrices - experts - vectors
    outside -= embeddings.numel() + (0 if tied or head is None else head.numel())
    passed = matrices + round(experts * active)
    idle = matrices + experts - passed  # held and not passed: counted with what is outside of layers
    return {
        "model_type": kind,
        "hidden_size": hidden,
        "intermediate_size": values.get("intermediate_size") or 4 * hidden,
        "num_layers": layers,
        "num_heads": heads,
        "num_key_value_heads": values.get("num_key_value_heads") or heads,
        "head_dim": values.get("head_dim") or hidden // heads,
        "vocab_size": embeddings.shape[0],
        "tied_embeddings": tied,
        "layer_vectors": vectors // layers,
        "other": outside + idle + vectors % layers + passed % layers,
        "counted_layer": passed // layers,
    }
