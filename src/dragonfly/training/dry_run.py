"""A stage looked at before it is trained: its data, its labels, its batch on any number of processes. Writes nothing.

Everything that ends a run before its first step ends a dry run in the same line. Weights are not read: memory and hours are
`planning`'s, of the beginning that `DryRun.recipe` names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragonfly.planning import Training

from .arguments import batches_per_step
from .build import build_processor
from .label_audit import audit_labels
from .recipe import ModelOptions, Recipe, shipped_recipes
from .run import resumable
from .sources import first_rows, mixture, num_steps


@dataclass(frozen=True)
class DryRun:
    """What was found.

    Args:
        recipe: as it was given; where its checkpoint is not there yet, with the beginning of what trains it.
        after: the shipped recipe that trains the checkpoint, where it is not there yet.
        processes, per_device, accumulation: rows of a step are their product.
        steps: optimiser steps of the run.
        data: the mixture in words, or the sources of a stream.
        labels: `audit_labels` of the first rows of each source.
        resumes: the checkpoint that the run would resume from.
    """

    recipe: Recipe
    after: str | None
    processes: int
    per_device: int
    accumulation: int
    steps: int
    data: str
    labels: dict[str, dict[str, int]]
    resumes: Path | None

    @property
    def text_tokens(self) -> int | None:
        """Mean tokens of a row besides its images, over the rows looked at; None where the objective has no token labels."""
        rows = sum(found["rows"] for found in self.labels.values())
        text = sum(found["tokens"] - found["image_tokens"] for found in self.labels.values())
        return max(1, round(text / rows)) if rows else None


def planned_work(recipe: Recipe, devices: int, image_size: tuple[int, int] = (768, 1024), text_tokens: int = 200) -> Training:
    """A recipe's training on so many devices, as `planning` counts it; every row has one image of (height, width)."""
    known: dict[str | None, Any] = {None: "fsdp" if recipe.fsdp else "none", "zero1": "zero1", "zero2": "zero2"}
    if recipe.deepspeed not in known:
        raise ValueError(f"deepspeed '{recipe.deepspeed}' is a file of your own; plan it with --train --zero N")
    adapter = recipe.lora
    return Training(
        image_size=image_size,
        text_tokens=text_tokens,
        batch=recipe.batch.per_device_for(devices),
        accumulation=recipe.batch.accumulation_for(devices),
        precision=recipe.precision,
        trainable=tuple(recipe.trainable),
        gradient_checkpointing=recipe.gradient_checkpointing,
        sharding=known[recipe.deepspeed],
        devices=devices,
        lora_rank=adapter.r if adapter else None,
        lora_dropout=bool(adapter and adapter.dropout),
        quantize="int4" if adapter and adapter.quantize else None,
        attention="eager" if recipe.attention == "eager" else "sdpa",
    )


def dry_run(recipe: Recipe, processes: int) -> DryRun:
    """Look at a stage on so many processes. ValueError for everything that would end its training before the first step."""
    accumulation = batches_per_step(recipe, processes)
    last = resumable(recipe, Path(recipe.output))
    begun, after = stand_in(recipe)
    processor = build_processor(begun)
    order = None if recipe.data.streaming else mixture(recipe)
    sources = order.sources if order else first_rows(recipe)
    return DryRun(
        recipe=begun,
        after=after,
        processes=processes,
        per_device=recipe.batch.per_device_for(processes),
        accumulation=accumulation,
        steps=num_steps(recipe, order.rows_per_epoch if order else 0),
        data=str(order or f"streamed: {', '.join(sources)}"),
        labels=audit_labels(begun, sources, processor),
        resumes=last,
    )


def stand_in(recipe: Recipe) -> tuple[Recipe, str | None]:
    """The recipe, and the name of the shipped one whose output it begins with where that is not there yet.

    Then its tower, language model and encoder are those of the earlier recipe, so that a chain of stages is looked at in one go.
    """
    start = recipe.init_from.checkpoint
    if start is None or Path(start).exists():
        return recipe, None
    for name in shipped_recipes():
        if name.startswith("nano/"):  # made by a script, with steps in between
            continue
        earlier = Recipe.load(name)
        if earlier.output == start:
            begun, _ = stand_in(earlier)
            encoder = begun.model.model_dump(exclude_none=True) | recipe.model.model_dump(exclude_none=True)
            changes = {"init_from": begun.init_from, "model": ModelOptions.model_validate(encoder)}
            return recipe.model_copy(update=changes), name
    return recipe, None
