"""What the model returns, as transformers knows outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPast, BaseModelOutputWithPooling
from transformers.utils.generic import ModelOutput


@dataclass
class DragonflyImageFeatures(BaseModelOutputWithPooling):
    """`pooler_output`: one (features, hidden) tensor per image. `selection`: what was kept, if the model chose.

    `selection_loss`: cross-entropy of the scores against the evidence, where that was given (policy `question`).
    """

    selection: Any = None
    selection_loss: Tensor | None = None


@dataclass
class DragonflyModelOutputWithPast(BaseModelOutputWithPast):
    """`image_hidden_states`: (all features, hidden) that were put in place of the placeholders; the others as above."""

    image_hidden_states: Tensor | None = None
    selection_loss: Tensor | None = None
    router_logits: tuple[Tensor, ...] | None = None


@dataclass
class DragonflyCausalLMOutputWithPast(ModelOutput):
    """`logits` (batch, length, vocabulary) and, where labels were given, their mean cross-entropy `loss`.

    `aux_loss`, `router_logits`: of a mixture of experts that was asked for them; `loss` then holds its share of `aux_loss`.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: Cache | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    image_hidden_states: Tensor | None = None
    selection_loss: Tensor | None = None
    aux_loss: Tensor | None = None
    router_logits: tuple[Tensor, ...] | None = None
