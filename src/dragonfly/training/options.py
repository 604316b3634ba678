"""The sections of a recipe that say how a stage learns: optimiser, batches, adapters, objectives, metric_thresholds, logs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dragonfly.config import Config

Positive = Field(gt=0)
Share = Field(default=0.0, ge=0.0, le=1.0)


class Optim(Config):
    """AdamW. `learning_rates` overrules `learning_rate` per module; `warmup` below 1 is a share of the steps."""

    learning_rate: float = Positive
    learning_rates: dict[str, float] = Field(default_factory=dict)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(default=0.0, ge=0.0)
    weight_decay: float = Field(default=0.0, ge=0.0)
    max_grad_norm: float = Field(default=1.0, ge=0.0)
    betas: tuple[float, float] = (0.9, 0.999)


class Batch(Config):
    """`global_size` = `per_device` x `accumulation` x processes. What is None follows from the others."""

    global_size: int = Positive
    per_device: int = Field(default=1, gt=0)
    accumulation: int | None = Field(default=None, gt=0)

    def accumulation_for(self, world_size: int) -> int:
        """Batches per optimiser step on each of `world_size` processes. ValueError when the numbers do not agree."""
        steps, rest = divmod(self.global_size, self.per_device * world_size)
        if rest or not steps or self.accumulation not in (None, steps):
            each = f"batch.accumulation {self.accumulation} x " if self.accumulation else ""
            raise ValueError(
                f"batch.global_size {self.global_size} is not batch.per_device {self.per_device} x {each}"
                f"{world_size} processes{'' if each else ' x a whole number'}; change one of them"
            )
        return steps


class Lora(Config):
    """A PEFT adapter on the modules whose names match the regular expression `targets`.

    `quantize` loads the language model in 4 bits (QLoRA), which needs bitsandbytes and CUDA.
    """

    r: int = Field(default=16, gt=0)
    alpha: int = Field(default=32, gt=0)
    dropout: float = Share
    targets: str = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
    quantize: bool = False


class PatchOcrOptions(Config):
    """Objective `patch_ocr`: a patch says `near` characters that lie in it and `slots` of its word at most.

    `bound`: it also says what its word or shape belongs to (a mark's `other`), so that one token holds a key and its value.

    Words lower than `smallest` pixels in their sub-image are not asked for; `empty_share` of the sub-images without a mark
    are learned from; `nothing` weighs the class of empty patches.
    """

    near: int = Field(default=3, gt=0)
    bound: bool = False
    slots: int = Field(default=8, gt=0)
    smallest: float = Field(default=0.0, ge=0.0)
    empty_share: float = Field(default=1.0, ge=0.0, le=1.0)
    nothing: float = Field(default=1.0, gt=0.0)


class AttentionSupervision(Config):
    """Attention told where to look while it is trained, from the samples' evidence. None of it is needed to answer.

    In layer `words`, positions that say an answer look at the question's words that name what is asked about
    (`meta["about"]`); in layer `places` at the sub-images that hold the evidence. `heads` of each layer are told so, the
    first ones; `weight` of this loss beside that of the answers.
    """

    words: int = Field(default=0, ge=0)
    places: int = Field(default=2, ge=0)
    heads: int = Field(default=2, gt=0)
    weight: float = Field(default=1.0, gt=0.0)


class MetricThreshold(Config):
    """A number on `data.eval` that must reach `least` after `step` optimiser steps (None: at the end), or the run stops.

    `metric`: eval_turns (answers said exactly), eval_tokens; for objective patch_ocr eval_characters, eval_words, eval_names,
    eval_others.
    """

    metric: Literal["eval_turns", "eval_tokens", "eval_characters", "eval_words", "eval_names", "eval_others"]
    least: float
    step: int | None = Field(default=None, gt=0)


class Save(Config):
    """`every`: steps between checkpoints, None for none but the last; `keep`: how many complete ones stay."""

    every: int | None = Field(default=None, gt=0)
    keep: int = Field(default=2, gt=0)


class Log(Config):
    """`every`: steps between log lines."""

    every: int = Field(default=1, gt=0)
    eval_every: int | None = Field(default=None, gt=0)
    tensorboard: bool = True
    wandb: bool = False
