"""What the model returns, as transformers knows outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import (
    BaseModelOutput,
    BaseModelOutputWithPast,
    BaseModelOutputWithPooling,
    CausalLMOutputWithPast,
)

CACHE = "cache" if "cache" in BaseModelOutputWithPast.__dataclass_fields__ else "past_key_values"
"""The field of an output that holds the key-value cache: transformers 5.24 renamed it."""


@dataclass
class DragonflyImageFeatures(BaseModelOutputWithPooling):
    """`pooler_output`: one (features, hidden) tensor per image. `selection`: what was kept, if the model chose.

    `last_hidden_state`: the tower's output, (num_images, sub_images, tokens, vision hidden), zeros where an image has fewer;
    `hidden_states` and `attentions`, where asked for: one tensor per layer, rows and columns the same.
    `selection_loss`: cross-entropy of the scores against the evidence, where that was given (policy `question`).
    """

    selection: Any = None
    selection_loss: Tensor | None = None


@dataclass
class DragonflyModelOutputWithPast(BaseModelOutputWithPast):
    """`image_hidden_states`: (all features, hidden) that were put in place of the placeholders.

    `image_outputs`: the `DragonflyImageFeatures` that they come from, as transformers 5.24 has it; the others as above.
    """

    image_hidden_states: Tensor | None = None
    image_outputs: DragonflyImageFeatures | None = None
    selection_loss: Tensor | None = None
    router_logits: tuple[Tensor, ...] | None = None


@dataclass
class DragonflyCausalLMOutputWithPast(CausalLMOutputWithPast):
    """`logits` (batch, length, vocabulary) and, where labels were given, their mean cross-entropy `loss`.

    `aux_loss`, `router_logits`: of a mixture of experts that was asked for them; `loss` then holds its share of `aux_loss`.
    """

    image_hidden_states: Tensor | None = None
    image_outputs: DragonflyImageFeatures | None = None
    selection_loss: Tensor | None = None
    aux_loss: Tensor | None = None
    router_logits: tuple[Tensor, ...] | None = None


def joined(outputs: Sequence[Any]) -> BaseModelOutput:
    """The tower's outputs of several batches as one."""
    first = outputs[0]
    if len(outputs) == 1:
        return BaseModelOutput(first.last_hidden_state, first.hidden_states, first.attentions)

    def layers(name: str) -> tuple[Tensor, ...] | None:
        values = [getattr(one, name) for one in outputs]
        return None if values[0] is None else tuple(torch.cat(layer) for layer in zip(*values, strict=True))

    last: Any = torch.cat([one.last_hidden_state for one in outputs])
    return BaseModelOutput(last, layers("hidden_states"), layers("attentions"))  # pyright: ignore[reportArgumentType]


def by_image(output: BaseModelOutput, numbers: Sequence[int]) -> dict[str, Any]:
    """A tower's output over all sub-images -> with one row per image, zeros where an image has fewer than another.

    Args:
        numbers: sub-images of each image.
    """

    def rows(values: Tensor) -> Tensor:
        if len(set(numbers)) == 1:
            return values.view(len(numbers), numbers[0], *values.shape[1:])
        return nn.utils.rnn.pad_sequence(list(torch.split(values, list(numbers))), batch_first=True)

    layers = {
        name: None if values is None else tuple(map(rows, values))
        for name, values in (("hidden_states", output.hidden_states), ("attentions", output.attentions))
    }
    last: Any = output.last_hidden_state
    return {"last_hidden_state": rows(last), **layers}
