"""What is asked of a model: answers, or steps of training. Plain values, checked; the command line fills them from a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from dragonfly.config import nearest
from dragonfly.planning.activations import AUTOCAST, BFLOAT16, FLOAT32, Numbers
from dragonfly.planning.model import PARTS
from dragonfly.vision.layout import Size

Dtype = Literal["float32", "bfloat16", "float16"]
Quantize = Literal["int8", "int4"]
Sharding = Literal["none", "zero1", "zero2", "zero3", "fsdp"]
Attention = Literal["sdpa", "eager"]

BITS = {"int8": 1.0, "int4": 0.5 + 4 / 64}
"""Bytes of an element of a quantised matrix: NF4 keeps a float32 scale for each 64."""


@dataclass(frozen=True)
class Answers:
    """Questions about one image each, answered together.

    Args:
        image_size: (height, width) of every image in pixels.
        batch: questions at once.
        text_tokens: tokens of a prompt besides its image.
        new_tokens: length of an answer in tokens.
        dtype: of weights and arithmetic.
        quantize: the language model's matrices in 8 or 4 bits; tower, projector, embeddings and head stay as they are.
        attention: `sdpa` holds no matrix of scores, `eager` does.
    """

    image_size: Size = (768, 1024)
    batch: int = 1
    text_tokens: int = 64
    new_tokens: int = 128
    dtype: Dtype = "bfloat16"
    quantize: Quantize | None = None
    attention: Attention = "sdpa"

    def __post_init__(self) -> None:
        _check_words(dtype=(self.dtype, Dtype), attention=(self.attention, Attention))
        if self.quantize is not None:
            _check_words(quantize=(self.quantize, Quantize))
        _check_counts(batch=self.batch, new_tokens=self.new_tokens)

    @property
    def numbers(self) -> Numbers:
        return FLOAT32 if self.dtype == "float32" else BFLOAT16


@dataclass(frozen=True)
class Training:
    """One optimiser step of AdamW on rows of one image each, on one of `devices`.

    Args:
        image_size: (height, width) of every image in pixels.
        batch: rows on a device at once (`batch.per_device` of a recipe).
        accumulation: batches per optimiser step.
        text_tokens: tokens of a row besides its image.
        precision: of the arithmetic. Weights stay float32 unless `sharding` is a ZeRO stage or there is an adapter, as in
            recipes.
        trainable: names of `PARTS`, or parts of them with dots, which are planned as the whole.
        gradient_checkpointing: a layer keeps its input alone and is computed again in the backward pass.
        sharding: what the devices share out: ZeRO 1 the optimiser's state, 2 gradients too, 3 and FSDP weights too.
        devices: processes, one device each.
        lora_rank: rank of adapters on the language model's matrices; None for no adapter.
        lora_dropout: whether the adapter has dropout.
        quantize: of the language model's frozen matrices under an adapter.
        attention: as in `Answers`.
    """

    image_size: Size = (768, 1024)
    batch: int = 1
    accumulation: int = 1
    text_tokens: int = 128
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    trainable: tuple[str, ...] = ("vision_tower", "multi_modal_projector", "language_model", "lm_head")
    gradient_checkpointing: bool = False
    sharding: Sharding = "none"
    devices: int = 1
    lora_rank: int | None = None
    lora_dropout: bool = True
    quantize: Quantize | None = None
    attention: Attention = "sdpa"

    def __post_init__(self) -> None:
        _check_words(sharding=(self.sharding, Sharding), attention=(self.attention, Attention))
        _check_words(precision=(self.precision, Literal["float32", "bfloat16"]))
        _check_counts(batch=self.batch, accumulation=self.accumulation, devices=self.devices)
        _check_counts(lora_rank=1 if self.lora_rank is None else self.lora_rank)
        for name in self.trainable:
            if name.partition(".")[0] not in PARTS:
                raise ValueError(f"trainable: {nearest(name, PARTS)}")
        if not self.trainable and self.lora_rank is None:
            raise ValueError(f"nothing would be trained; name some of {', '.join(PARTS)}, or plan an adapter (lora)")
        if self.quantize is not None and self.lora_rank is None:
            raise ValueError(f"quantised weights ({self.quantize}) are not trained themselves; plan an adapter with them (lora)")
        if self.lora_rank is not None and {"language_model", "lm_head"} & self.trained:
            raise ValueError("an adapter (lora) leaves language_model and lm_head frozen; take them out of what is trained")

    @property
    def trained(self) -> frozenset[str]:
        """Parts that are trained, whole or in part."""
        return frozenset(name.partition(".")[0] for name in self.trainable)

    @property
    def lean(self) -> bool:
        """Whether weights are held in the arithmetic's own numbers."""
        return self.sharding.startswith("zero") or self.lora_rank is not None

    @property
    def numbers(self) -> Numbers:
        if self.precision == "float32":
            return FLOAT32
        # Preparing a quantised model for an adapter puts all that is not quantised into float32.
        return BFLOAT16 if self.lean and self.quantize is None else AUTOCAST


def _check_words(**given: tuple[str, object]) -> None:
    for name, (value, legal) in given.items():
        if value not in get_args(legal):
            raise ValueError(f"{name}: {nearest(str(value), get_args(legal))}")


def _check_counts(**given: int) -> None:
    for name, value in given.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
