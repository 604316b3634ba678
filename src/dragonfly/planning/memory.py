"""Peak memory of one device, as what is held at each moment where it may be highest.

A moment is a dictionary from what holds memory to bytes; the peak is the largest moment. What frameworks keep beyond tensors
(the allocator's gaps, a driver's context) is not in it, nor is what the interpreter and its modules take on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dragonfly.planning import activations
from dragonfly.planning.activations import Numbers
from dragonfly.planning.cost import Cost, projected_rows
from dragonfly.planning.model import ModelSize
from dragonfly.planning.work import BITS, Answers
from dragonfly.vision.layout import make_layout

Moment = dict[str, int]


@dataclass(frozen=True)
class Memory:
    """Bytes at each moment, by what holds them: weights, gradients, optimiser, activations, keys and values, logits, pixels."""

    moments: Mapping[str, Moment]

    @property
    def peak_moment(self) -> str:
        return max(self.moments, key=lambda name: sum(self.moments[name].values()))

    @property
    def peak(self) -> int:
        """Bytes at the fullest moment."""
        return sum(self.moments[self.peak_moment].values())

    @property
    def parts(self) -> Moment:
        """What holds memory at the fullest moment, the largest first."""
        held = self.moments[self.peak_moment]
        return {name: held[name] for name in sorted(held, key=lambda name: -held[name]) if held[name]}


def weight_bytes(model: ModelSize, number: int, quantize: str | None) -> int:
    """Bytes of all weights, `number` each, the language model's matrices quantised."""
    elements = sum(model.elements.values())
    if quantize is None:
        return elements * number
    matrices = model.language_model.matrices
    return (elements - matrices) * number + round(matrices * BITS[quantize])


def tower_rows(model: ModelSize, cost: Cost) -> int:
    """Tokens that one image's sub-images have inside the tower."""
    return cost.num_encoded * (model.spec.patch_side**2 + model.spec.num_prefix_tokens)


def pixel_bytes(model: ModelSize, cost: Cost, number: int) -> int:
    """An image's sub-images in float32, as they are cut and as a tensor, and cast where the tower computes otherwise."""
    values = cost.num_encoded * model.tower.num_channels * model.spec.resolution**2
    return values * (2 * 4 + (number if number != 4 else 0))


def tower_moment(model: ModelSize, cost: Cost, batch: int, numbers: Numbers) -> Moment:
    """A tower without gradients: one call's widest point, and the outputs of all calls."""
    rows = batch * tower_rows(model, cost)
    at_once = min(batch * cost.num_encoded, model.encoder_batch or batch * cost.num_encoded)
    share = at_once / (batch * cost.num_encoded)
    return {
        "pixels": batch * pixel_bytes(model, cost, numbers.stream),
        "vision features": round((1 - share) * rows) * model.tower.hidden_size * numbers.stream,
        "activations": round(share * rows) * activations.tower_transient(model.tower, numbers),
    }


def feature_bytes(model: ModelSize, cost: Cost, batch: int, number: int) -> int:
    """Tower outputs that live on while they are selected, pooled and projected, and what comes of them."""
    rows = projected_rows(make_layout(cost.size, model.spec), model.spec)
    return batch * number * (tower_rows(model, cost) * model.tower.hidden_size + rows * model.language_model.hidden_size)


def answer_memory(model: ModelSize, cost: Cost, work: Answers) -> Memory:
    """Memory of answering: the tower, the prompt, and the last token of the answer."""
    size, numbers, batch = model.language_model, work.numbers, work.batch
    weights = {"weights": weight_bytes(model, numbers.stream, work.quantize)}
    if work.quantize is not None:  # a matrix is unpacked while it is used
        weights["an unpacked matrix"] = numbers.compute * size.hidden_size * max(size.intermediate_size, size.hidden_size)
    pixels = {"pixels": batch * pixel_bytes(model, cost, 4)}
    tokens = cost.prompt_tokens
    logits = {"logits": batch * size.vocab_size * (numbers.compute + 4)}
    embedded = batch * tokens * size.hidden_size * numbers.stream * 2  # embeddings, and with images in place
    prompt = {
        **weights,
        **pixels,
        "keys and values": batch * numbers.compute * size.cache_elements(tokens),
        "activations": batch * tokens * activations.language_transient(size, numbers) + embedded,
        "attention scores": batch * activations.language_scores(size, tokens, numbers, work.attention),
        "attention mask": batch * tokens**2 if batch > 1 else 0,
    }
    last = {
        **weights,
        **pixels,
        **logits,
        "keys and values": batch * numbers.compute * size.cache_elements(tokens + work.new_tokens),
    }
    connector = {**weights, **pixels, "vision features": feature_bytes(model, cost, batch, numbers.stream)}
    return Memory(
        {
            "vision tower": {**weights, **tower_moment(model, cost, batch, numbers)},
            "projector": connector,
            "prompt": prompt,
            "last token": last,
        }
    )
