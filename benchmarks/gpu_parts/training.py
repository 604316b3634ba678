"""The part of `benchmarks/gpu.py` that trains: stage 1 and 2 by `dragonfly.training.run`, whole runs of a few steps."""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from gpu_parts.bench import Bench, Cases, Row, planned  # pyright: ignore[reportMissingImports]
from scaling import SIZE  # pyright: ignore[reportMissingImports]
from tests import tiny
from tests.training import small

from dragonfly.planning import Training, plan_training, training_flops
from dragonfly.training import Recipe, run
from dragonfly.training.build import weights_dtype
from dragonfly.training.callbacks import Progress

ALL = ["vision_tower", "multi_modal_projector", "language_model", "lm_head"]
STAGE_1, ADAPTER = (
    {"trainable": ["multi_modal_projector"]},
    {"trainable": ["vision_tower", "multi_modal_projector"], "lora": {"r": 16}},
)
AGAIN = {"gradient_checkpointing": True}
TRAINED: dict[str, tuple[str, str, str, Row]] = {  # preset, language model, rows at once, changes to a recipe
    "stage 1, v1, 8B": ("v1", "8B", "few", STAGE_1),
    "stage 1, v1, 8B, tower cache": ("v1", "8B", "few", STAGE_1 | {"cached": True}),
    "stage 1, v1, 8B, checkpointing": ("v1", "8B", "many", STAGE_1 | AGAIN),
    "stage 2, v1, 8B, LoRA": ("v1", "8B", "few", ADAPTER),
    "stage 2, v1, 8B, LoRA, checkpointing": ("v1", "8B", "many", ADAPTER | AGAIN),
    "stage 2, v1, 8B, LoRA, tower frozen, cached": ("v1", "8B", "few", ADAPTER | STAGE_1 | {"cached": True}),
    "stage 2, v2, 8B, LoRA, checkpointing": ("v2", "8B", "few", ADAPTER | AGAIN),
    "stage 2, v1, 3B, all weights": ("v1", "3B", "few", {"trainable": ALL}),
    "stage 2, v1, 3B, all weights, checkpointing": ("v1", "3B", "many", {"trainable": ALL} | AGAIN),
}


def training(bench: Bench) -> Cases:
    """Whole runs of a few steps; the first half warms up."""
    for name, (preset, language, rows, changes) in TRAINED.items():
        yield name, partial(trained, bench, preset, language, bench.scale.rows[rows], changes)


def trained(bench: Bench, preset: str, language: str, batch: int, changes: Row) -> Row:
    size, steps, stamps = bench.scale.model_size(preset, language), bench.scale.steps, list[tuple[float, int]]()
    changes = dict(changes)
    cached = changes.pop("cached", False)
    ended = Progress.on_step_end

    def on_step_end(self: Progress, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        bench.wait()
        stamps.append((time.perf_counter(), state.num_input_tokens_seen))
        ended(self, args, state, control, **kwargs)

    def made(recipe: Recipe, checkpoint: str, processor: Any) -> Any:
        return bench.model(preset, language, weights_dtype(recipe))

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        recipe = recipe_of(bench, folder, preset, language, batch, changes, cached)
        stack.enter_context(patch("dragonfly.training.build._loaded_model", made))
        stack.enter_context(patch("dragonfly.training.run.base_hash", lambda checkpoint: "random"))
        stack.enter_context(patch("dragonfly.training.run._export"))
        stack.enter_context(patch.object(Progress, "on_step_end", on_step_end))
        bench.forget_peak()
        run(recipe)
    (begun, before), (ended_at, after) = stamps[(steps - 1) // 2], stamps[-1]
    counted = len(stamps) - 1 - (steps - 1) // 2
    took, tokens = (ended_at - begun) / counted, (after - before) / counted / batch
    work = Training(
        image_size=SIZE,
        batch=batch,
        text_tokens=round(tokens) - planned(size, 1).cost.num_image_tokens,
        trainable=tuple(recipe.trainable),
        gradient_checkpointing=recipe.gradient_checkpointing,
        lora_rank=recipe.lora.r if recipe.lora else None,
        lora_dropout=False,
    )
    plan = plan_training(size, work)
    flops = training_flops(size, plan.cost, replace(work, gradient_checkpointing=False))
    flops -= batch * (plan.cost.tower_flops or 0) if cached else 0
    row = bench.share(flops, took) | {"rows_per_second": batch / took, "rows": batch, "tokens_per_row": round(tokens)}
    return row | bench.held(plan.memory.peak)


def recipe_of(bench: Bench, folder: Path, preset: str, language: str, batch: int, changes: Row, cached: bool) -> Recipe:
    """Of a model directory without weights, and rows of one length, each about an image of its own."""
    config = tiny.config(preset, vision_config=bench.scale.towers[preset], text_config=bench.scale.language[language])
    config.save_pretrained(folder / "base")
    tiny.processor(config).save_pretrained(folder / "base")
    rows: list[Row] = []
    for index in range(batch * (bench.scale.steps + 1)):
        tiny.image(SIZE[1], SIZE[0], seed=index).save(folder / f"{index}.jpg", quality=90)
        turns = ["<image>\n" + "What is written here? " * 4, "It says that nothing is. " * 5]
        said = [{"from": who, "value": text} for who, text in zip(("human", "gpt"), turns, strict=True)]
        rows.append({"id": str(index), "image": f"{index}.jpg", "conversations": said})
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    data: Row = {"train": [{"name": "rows", "path": str(folder / "rows.json")}], "audit": 1, "workers": bench.scale.workers}
    data |= {"tower_cache": str(folder / "tower")} if cached else {}
    values = small.values(folder, data=data, batch={"global_size": batch, "per_device": batch}, steps=bench.scale.steps)
    return Recipe.model_validate(values | {"precision": "bfloat16", "optim": {"learning_rate": 1e-5}} | changes)
