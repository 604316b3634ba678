"""Sections of a recipe that stand for themselves: optimiser, batch, adapter, what is saved and logged. `recipe.py` joins them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dragonfly.config import Config

Positive = Field(gt=0)
Share = Field(default=0.0, ge=0.0, le=1.0)


class Optim(Config):
    """AdamW; `muon`, a learning rate, takes layers' matrices from it.

    `learning_rates` overrules `learning_rate` per module; `warmup` below 1 is a share of the steps.
    """

    learning_rate: float = Positive
    learning_rates: dict[str, float] = Field(default_factory=dict)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(default=0.0, ge=0.0)
    weight_decay: float = Field(default=0.0, ge=0.0)
    max_grad_norm: float = Field(default=1.0, ge=0.0)
    betas: tuple[float, float] = (0.9, 0.999)
    muon: float | None = Field(default=None, gt=0)


class Batch(Config):
    """`global_size` = rows at once on a device x `accumulation` x processes.

    `per_device`: most rows at once on a device; where a process gets fewer in a step, it takes these. `accumulation`: None
    follows from the others.
    """

    global_size: int = Positive
    per_device: int = Field(default=1, gt=0)
    accumulation: int | None = Field(default=None, gt=0)

    def per_device_for(self, world_size: int) -> int:
        """Rows at once on each of `world_size` processes."""
        share = self.global_size // world_size
        return min(self.per_device, share) if share and self.accumulation is None else self.per_device

    def accumulation_for(self, world_size: int) -> int:
        """Batches per optimiser step on each of `world_size` processes. ValueError when the numbers do not agree."""
        rows = self.per_device_for(world_size)
        steps, rest = divmod(self.global_size, rows * world_size)
        if not rest and steps and self.accumulation in (None, steps):
            return steps
        if world_size > self.global_size:
            raise ValueError(
                f"a step of batch.global_size {self.global_size} has no row for each of {world_size} processes; "
                f"start {self.global_size} or fewer, or give batch.global_size={world_size}"
            )
        each = f"batch.accumulation {self.accumulation} x " if self.accumulation else ""
        raise ValueError(
            f"batch.global_size {self.global_size} is not batch.per_device {rows} x {each}"
            f"{world_size} processes{'' if each else ' x a whole number'}; change one of them"
        )


class Lora(Config):
    """A PEFT adapter on the modules whose names match the regular expression `targets`.

    `quantize` loads the language model in 4 bits (QLoRA) by bitsandbytes, the extra `qlora`.
    """

    r: int = Field(default=16, gt=0)
    alpha: int = Field(default=32, gt=0)
    dropout: float = Share
    targets: str = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
    quantize: bool = False


class Save(Config):
    """`every`: steps between checkpoints, None for none but the last; `keep`: how many complete ones stay."""

    every: int | None = Field(default=None, gt=0)
    keep: int = Field(default=2, gt=0)


class Best(Config):
    """The artefact is the checkpoint with the best `metric` of `task` (names of `dragonfly eval`), not the last.

    `metric`: None for the task's first. `every`: steps between scores, a multiple of `save.every`; None for every checkpoint.
    `limit`: the first questions alone; `data` as in `dragonfly eval --data`.
    """

    task: str
    metric: str | None = None
    every: int | None = Field(default=None, gt=0)
    limit: int | None = Field(default=None, gt=0)
    data: str | None = None


class Log(Config):
    """`every`: steps between log lines."""

    every: int = Field(default=1, gt=0)
    eval_every: int | None = Field(default=None, gt=0)
    tensorboard: bool = True
    wandb: bool = False
