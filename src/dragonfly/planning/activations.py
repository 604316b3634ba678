"""What autograd keeps for the backward pass, and what a forward pass holds at once, in bytes per token of a layer.

Read off the modules as transformers writes them; tests compare with the tensors that autograd saves. Scaled-dot-product
attention keeps no matrix of scores; eager attention does, and is counted where it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from dragonfly.planning.language_models import LanguageModelSize
from dragonfly.planning.towers import TowerSize


@dataclass(frozen=True)
class Numbers:
    """Bytes of a number: of weights and the residual stream (`stream`), and of what matrix products read and write (`compute`).

    float32 is (4, 4), bfloat16 weights (2, 2), float32 weights under autocast to bfloat16 (4, 2).
    """

    stream: int
    compute: int

    @property
    def upcast(self) -> int:
        """RMS norms compute in float32: the copy that half-precision weights make them keep."""
        return 4 if self.stream == 2 else 0


FLOAT32, BFLOAT16, AUTOCAST = Numbers(4, 4), Numbers(2, 2), Numbers(4, 2)

EAGER_ONLY = ("gemma2",)  # soft-capped scores: transformers runs these without a fused kernel


def language_layer(size: LanguageModelSize, numbers: Numbers, trained: bool) -> int:
    """Bytes that one layer keeps of one token.

    Args:
        size: of the language model.
        numbers: bytes of a number.
        trained: whether its weights are; of frozen ones that gradients pass through, the inputs of matrix products are not kept.
    """
    family, hidden, compute = size.family, size.hidden_size, numbers.compute
    after = family.norms - family.pre_norms
    kept = 0
    if family.pre_norms and not (family.rms and numbers.upcast):  # else the upcast copy is kept in its place
        kept += family.residuals * numbers.stream
    if trained:
        kept += compute * ((family.pre_norms or 2) + (_casts(size) if numbers.stream > compute else 0))
    if family.rms:
        normed = 4 if family.norm_in_float else numbers.stream
        kept += (normed if trained else 0) * family.norms + numbers.upcast * family.pre_norms + 4 * after
    dropout = 2 * numbers.stream if size.dropout else 0
    return hidden * (kept + dropout) + _attention(size, numbers, trained) + _feed_forward(size, compute, trained)


def _casts(size: LanguageModelSize) -> int:
    """Copies beyond the first that autocast makes of one input, for each further matrix that reads it."""
    family = size.family
    return (0 if family.fused else 2 + family.gated) + (family.norms == 1)


def _attention(size: LanguageModelSize, numbers: Numbers, trained: bool) -> int:
    queries, keys = size.num_heads * size.head_dim, size.num_key_value_heads * size.head_dim
    kept = numbers.compute * 2 * (queries + keys)
    if size.family.fused:
        kept += numbers.compute * (queries + keys)  # values are a view of all three
    if size.family.qk_norm:
        kept += (4 + (numbers.stream if trained else 0)) * (queries + keys)
    return kept


def _feed_forward(size: LanguageModelSize, compute: int, trained: bool) -> int:
    tensors = size.family.activations - (0 if trained or size.family.activations == 1 else 1)
    dense = tensors * size.intermediate_size
    if not size.num_sparse_layers:
        return compute * dense
    sparse = size.active_experts * ((2 if trained else 1) * size.hidden_size + tensors * size.expert_size)
    share = size.num_sparse_layers / size.num_layers
    return round(compute * (share * sparse + (1 - share) * dense))


def language_scores(size: LanguageModelSize, tokens: int, numbers: Numbers, attention: str) -> int:
    """Bytes that one layer keeps of the scores of one row of `tokens` tokens; 0 for a fused kernel."""
    if attention != "eager" and size.model_type not in EAGER_ONLY:
        return 0
    return size.num_heads * tokens**2 * 8


def language_transient(size: LanguageModelSize, numbers: Numbers) -> int:
    """Bytes of one token at the widest point of a layer without gradients: gate, up and their product beside the residual."""
    inner = max(size.intermediate_size, size.active_experts * size.expert_size)
    widest = 3 * inner if size.gated else 2 * inner
    attention = size.head_dim * (3 * size.num_heads + 2 * size.num_key_value_heads)
    return size.hidden_size * (numbers.stream + numbers.compute) + numbers.compute * max(widest, attention)


def tower_layer(size: TowerSize, numbers: Numbers) -> int:
    """Bytes that one layer of a trained tower keeps of one token."""
    inner = {True: 4, False: 3 if size.quick else 2}[size.gated]
    scales = 2 if size.model_type.startswith("dinov2") else 0
    casts = 2 if numbers.stream > numbers.compute else 0  # autocast copies one input for each of q, k and v
    hidden = 2 * numbers.stream + (6 + scales + casts) * numbers.compute
    return size.hidden_size * hidden + inner * size.intermediate_size * numbers.compute


def tower_transient(size: TowerSize, numbers: Numbers) -> int:
    """Bytes of one token at the widest point of a layer without gradients."""
    inner = 3 if size.quick or size.gated else 2
    return size.hidden_size * (numbers.stream + numbers.compute) + inner * size.intermediate_size * numbers.compute
