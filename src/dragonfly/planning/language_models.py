# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""The sizes of a language model: parameters, FLOPs, and the keys and values that it keeps of each token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dragonfly.planning.configs import completed, part, read_config
from dragonfly.planning.families import FAMILIES, ON_BY_DEFAULT, Family

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
_TEXT_KINDS = {"llama_text": "llama", "mistral_text": "mistral", "qwen2_text": "qwen2"}  # halves that name no type of their own


@dataclass(frozen=True)
class LanguageModelSize:
    """The sizes of a decoder with grouped-query attention.

    Args:
        hidden_size, intermediate_size, num_layers, num_heads, num_key_value_heads, head_dim, vocab_size, tied_embeddings: as
            in config.json.
        model_type: the family, which says what a layer is made of beside its matrices.
        gated: three matrices in the feed-forward network, else two.
        num_experts, active_experts, expert_size, num_sparse_layers: a mixture of experts; `expert_size` is an expert's inner
            size. Layers that are not sparse use `intermediate_size`.
        layer_vectors: elements of one layer's norms and biases; None for two norms without bias.
        other: elements outside of layers, embeddings and head: last norm, positions, the head's bias; None for one norm.
        sliding_window, num_sliding_layers: layers that keep keys and values of the last tokens alone.
        counted_layer: elements of one layer's matrices as counted on a model without storage, where no formula is known.
        dropout: whether the configuration has dropout after blocks, whose masks training keeps.
    """

    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    tied_embeddings: bool = False
    model_type: str = "llama"
    gated: bool = True
    num_experts: int = 0
    active_experts: int = 0
    expert_size: int = 0
    num_sparse_layers: int = 0
    layer_vectors: int | None = None
    other: int | None = None
    sliding_window: int = 0
    num_sliding_layers: int = 0
    counted_layer: int | None = None
    dropout: bool = False

    @classmethod
    def from_config(cls, config: PreTrainedConfig | Mapping[str, Any], *, count: bool = False) -> Self:
        """The sizes of a configuration (transformers' object, or config.json as a dictionary); a composite gives its text half.

        Args:
            config: of the language model.
            count: for a family without a formula, build the model without storage and count; imports torch and transformers.

        Raises:
            ValueError: if the family is not known here and `count` is not set, or transformers does not know it either.
        """
        if isinstance(config, Mapping):
            values = part(config, "text_config")
        else:
            text = config.get_text_config()
            values = {**text.to_dict(), "model_type": text.model_type}
        kind = _TEXT_KINDS.get(str(values.get("model_type")), str(values.get("model_type")))
        values["model_type"] = kind
        if kind in FAMILIES and not _unusual(values):
            return cls(**_by_formula(values, kind))
        if count:
            from dragonfly.planning.counting import counted_language_model

            return cls(**counted_language_model(completed(values, SIZES)))
        raise ValueError(
            f"cannot count the FLOPs of a language model of type '{kind}' (known: {', '.join(FAMILIES)}); "
            "for another decoder pass a LanguageModelSize"
        )

    @property
    def family(self) -> Family:
        return FAMILIES.get(self.model_type, FAMILIES["llama"])

    @property
    def attention_parameters(self) -> int:
        """Elements of one layer's q, k, v and o."""
        return 2 * self.hidden_size * self.head_dim * (self.num_heads + self.num_key_value_heads)

    @property
    def layer_matrix_parameters(self) -> int:
        """Elements of the matrices that a token passes in a layer: attention and feed-forward, of experts the active ones.

        The mean over layers where some are sparse.
        """
        if self.counted_layer is not None:
            return self.counted_layer
        return self._layers(self.active_experts) // self.num_layers

    @property
    def parameters(self) -> int:
        """All weights, the head's included; tied, the head and the embeddings are one matrix."""
        return self.num_layers * self.vectors + self.matrices + self.outside + self.embeddings + self.head

    @property
    def matrices(self) -> int:
        """Elements of all layers' matrices, every expert's included: what quantisation makes smaller."""
        if self.counted_layer is not None:
            return self.num_layers * self.counted_layer
        return self._layers(self.num_experts)

    @property
    def vectors(self) -> int:
        """Elements of one layer's norms and biases."""
        return 2 * self.hidden_size if self.layer_vectors is None else self.layer_vectors

    @property
    def outside(self) -> int:
        """Elements of the last norm, learned positions, the head's bias."""
        return self.hidden_size if self.other is None else self.other

    @property
    def embeddings(self) -> int:
        return self.vocab_size * self.hidden_size

    @property
    def head(self) -> int:
        """Elements of the head's own matrix; 0 where it is the embeddings'."""
        return 0 if self.tied_embeddings else self.vocab_size * self.hidden_size

    def flops(self, new_tokens: int, context: int) -> int:
        """FLOPs of one forward pass over `new_tokens` that attend to `context` tokens, themselves included.

        Logits are computed for the last position alone, as in generation.
        """
        attention = 4 * new_tokens * context * self.num_heads * self.head_dim
        matrices = self.num_layers * self.counted_layer if self.counted_layer else self._layers(self.active_experts)
        return 2 * new_tokens * matrices + self.num_layers * attention + 2 * self.hidden_size * self.vocab_size

    def cache_elements(self, tokens: int) -> int:
        """Elements of the keys and values of `tokens` tokens."""
        whole = self.num_layers - self.num_sliding_layers
        kept = whole * tokens + self.num_sliding_layers * min(tokens, self.sliding_window)
        return 2 * self.num_key_value_heads * self.head_dim * kept

    def _layers(self, experts: int) -> int:
        """Elements of all layers' matrices with so many experts in a sparse one."""
        times = 3 if self.gated else 2
        dense = self.num_layers - self.num_sparse_layers
        feed_forward = dense * times * self.hidden_size * self.intermediate_size
        router = self.hidden_size * self.num_experts
        sparse = self.num_sparse_layers * (router + experts * times * self.hidden_size * self.expert_size)
        return self.num_layers * self.attention_parameters + feed_forward + sparse


def _unusual(values: Mapping[str, Any]) -> bool:
    """Variants of a family that the formulas do not hold for."""
    hidden = values.get("hidden_size")
    return bool(
        values.get("qk_layernorm")
        or values.get("word_embed_proj_dim", hidden) != hidden
        or values.get("do_layer_norm_before") is False
        or values.get("add_cross_attention")
        or values.get("use_qk_norm")
    )


def _by_formula(given: Mapping[str, Any], kind: str) -> dict[str, Any]:
    family = FAMILIES[kind]
    inner = () if kind == "gpt2" else ("intermediate_size",)  # GPT-2 writes null for four times the hidden size
    values = completed(given, (*SIZES, *inner, *family.required))
    hidden, heads = values["hidden_size"], values["num_attention_heads"]
    sizes: dict[str, Any] = {
        "model_type": kind,
        "hidden_size": hidden,
        "intermediate_size": values.get("intermediate_size") or 4 * hidden,
        "num_layers": values["num_hidden_layers"],
        "num_heads": heads,
        "num_key_value_heads": values.get("num_key_value_heads") or heads,
        "head_dim": values.get("head_dim") or hidden // heads,
        "vocab_size": values["vocab_size"],
        "tied_embeddings": bool(values.get("tie_word_embeddings", family.tied)),
        "gated": family.gated,
        "dropout": any(values.get(key) for key in ("dropout", "resid_pdrop", "hidden_dropout")),
    }
    sizes |= _experts(values, sizes) | _sliding(values, sizes["num_layers"])
    sizes["layer_vectors"] = _layer_vectors(family, values, kind, sizes)
    norm = hidden * (2 if family.norm_bias else 1)
    places = values["max_position_embeddings"] + family.positions if family.positions is not None else 0
    sizes["other"] = norm + places * hidden + (sizes["vocab_size"] if family.head_bias else 0)
    return sizes


def _layer_vectors(family: Family, values: Mapping[str, Any], kind: str, sizes: Mapping[str, Any]) -> int:
    def has(bias: bool | str) -> bool:
        return bool(values.get(bias, (kind, bias) in ON_BY_DEFAULT)) if isinstance(bias, str) else bias

    hidden, inner, head = sizes["hidden_size"], sizes["intermediate_size"], sizes["head_dim"]
    queries, keys = sizes["num_heads"] * head, sizes["num_key_value_heads"] * head
    count = family.norms * hidden * (2 if family.norm_bias else 1)
    count += {"": 0, "head": 2 * head, "whole": queries + keys}[family.qk_norm]
    count += queries + 2 * keys if has(family.qkv_bias) else 0
    count += hidden if has(family.out_bias) else 0
    return count + (inner * (2 if family.gated else 1) + hidden if has(family.feed_forward_bias) else 0)


def _experts(values: Mapping[str, Any], sizes: Mapping[str, Any]) -> dict[str, int]:
    experts, layers = values.get("num_experts") or 0, sizes["num_layers"]
    if not experts:
        return {}
    step, dense = values.get("decoder_sparse_step") or 1, list[int](values.get("mlp_only_layers") or ())
    return {
        "num_experts": experts,
        "active_experts": values["num_experts_per_tok"],
        "expert_size": values.get("moe_intermediate_size") or sizes["intermediate_size"],
        "num_sparse_layers": sum(index not in dense and (index + 1) % step == 0 for index in range(layers)),
    }


def _sliding(values: Mapping[str, Any], layers: int) -> dict[str, int]:
    """Layers whose cache is a window: named one by one, by a pattern, or all of them."""
    window = values.get("sliding_window")
    if not window or values.get("use_sliding_window") is False:
        return {}
    kinds, pattern = values.get("layer_types"), values.get("sliding_window_pattern") or values.get("_sliding_window_pattern")
    if kinds:
        number = sum(kind == "sliding_attention" for kind in kinds)
    elif pattern or values["model_type"] == "gemma2":
        number = layers - layers // (pattern or 2)
    else:
        number = layers if values["model_type"] in ("mistral", "mixtral", "phi3") else 0
    return {"sliding_window": window, "num_sliding_layers": number}


_LLAMA_8B: dict[str, Any] = {  # the models' published config.json
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}
KNOWN_LANGUAGE_MODELS: dict[str, dict[str, Any]] = {
    "meta-llama/Meta-Llama-3-8B-Instruct": _LLAMA_8B,
    "meta-llama/Llama-3.1-8B-Instruct": _LLAMA_8B,
}


def language_model_size(
    model: LanguageModelSize | PreTrainedConfig | Mapping[str, Any] | str | Path, *, count: bool = False
) -> LanguageModelSize:
    """The sizes of a language model that is given as sizes, a configuration, its dictionary form, a known name, or a path.

    Args:
        model: a name may also be that of a hub model that was downloaded before.
        count: as in `LanguageModelSize.from_config`.
    """
    if isinstance(model, LanguageModelSize):
        return model
    if not isinstance(model, str | Path):
        return LanguageModelSize.from_config(model, count=count)
    values = read_config(model, KNOWN_LANGUAGE_MODELS, "language model")
    try:
        return LanguageModelSize.from_config(values, count=count)
    except ValueError as error:
        raise ValueError(f"{model}: {error}") from None
