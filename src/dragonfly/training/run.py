"""One stage from its recipe to a model directory: `run(recipe)`.

    read rows -> look at the labels -> build, freeze -> train (or resume) -> export

Promises that a run which was cut off resumes where its last complete checkpoint stands when started again, and that
nothing but a finished run is called a model.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback
from transformers.utils import logging as transformers_logging

from dragonfly.config import dump
from dragonfly.files import ORIGIN, full_disk_named, lock, result_header, usual_permissions, write_text
from dragonfly.models.origin import write_origin

from . import checkpoints
from .arguments import training_arguments
from .best import BestCheckpoint, Score, take_best
from .build import build_model, build_processor, warn_of_stale_query_projection
from .callbacks import Progress, Record, StopOnSignal
from .label_audit import audit_labels
from .lora import add_adapter, base_hash
from .modules import ModuleCount, count_modules, freeze
from .packing import check_packing
from .recipe import Recipe
from .sources import first_rows, manifest_hashes, mixture, num_steps, stream
from .tower_filling import with_tower_cache
from .trainer import Flops, StageTrainer

logger = logging.getLogger(__name__)

RECIPE = "recipe.yaml"

FREE_TO_CHANGE = {"log", "save", "peak_flops", "output"}
"""What a resumed run may have otherwise than before: none of it changes a number."""


def run(recipe: Recipe, score: Score | None = None) -> Path:
    """Train a stage and return its model directory (`recipe.output`); for LoRA, the adapter's.

    Stopped by SIGTERM or Ctrl-C it returns the checkpoint instead; the same call resumes from there. `score` is what
    `recipe.best` means; `dragonfly train` hands it in. `InUse` where another process trains into the folder.
    """
    if recipe.best is not None and score is None:
        raise ValueError("the recipe asks for the best checkpoint by a task; run it with `dragonfly train`, or pass score=")
    first = os.environ.get("RANK", "0") == "0"  # the others of a distributed run are no rivals
    with lock(recipe.output) if first else nullcontext():
        return _run(recipe, score)


def _run(recipe: Recipe, score: Score | None) -> Path:
    transformers_logging.disable_progress_bar()
    output = Path(recipe.output)
    last = resumable(recipe, output)
    torch.manual_seed(recipe.seed)  # before anything is drawn: an adapter's weights too are the same on every process
    processor = build_processor(recipe)
    order = None if recipe.data.streaming else mixture(recipe)
    sources = order.sources if order else first_rows(recipe)
    logger.info("%s", order or f"streamed: {', '.join(sources)}")
    steps = num_steps(recipe, order.rows_per_epoch if order else 0)
    arguments = training_arguments(recipe, steps)  # refuses a batch that does not fit, before weights are read
    logger.info("labels: %s", json.dumps(audit_labels(recipe, sources, processor)))
    model = _prepared_model(recipe, processor)
    if recipe.data.packing is not None:
        check_packing(model_of(model))
    start = checkpoints.step_of(last) if last else 0
    skip = start * arguments.gradient_accumulation_steps
    rows = order or stream(recipe, sources, processor, arguments.world_size, skip)
    reads = processor  # what makes examples; what is written beside the model is `processor`
    if recipe.data.tower_cache is not None and order is not None:
        reads = with_tower_cache(recipe, model_of(model), processor, order, arguments)
    setup = recipe.objective_hook.build(recipe, model, reads, rows)
    counts = count_modules(setup.module)
    for count in counts:
        logger.info("%s", count)
    about = origin(recipe, manifest_hashes(recipe), counts)
    if recipe.lora is not None:
        about["base"] = {"path": recipe.init_from.checkpoint, "sha256": base_hash(recipe.init_from.checkpoint or "")}
    stop = StopOnSignal()
    record = Record(recipe, about, arguments.world_size)
    callbacks = [stop, Progress(), record, *setup.callbacks]
    if recipe.best is not None and score is not None:
        if setup.module is not model:
            raise ValueError(f"best asks the model questions, and objective {recipe.objective.name!r} trains another module")
        callbacks.append(BestCheckpoint(output, model, processor, score, recipe.best.every))
    trainer = StageTrainer(
        recipe=recipe,
        setup=setup,
        arguments=arguments,
        record=record,
        start=start,
        flops=Flops.of_model(model_of(model), counts, recipe.lora is not None) if setup.module is model else None,
        processing_class=processor,
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)  # takes the bar's place when that is off; ours is on
    if arguments.should_save:
        write_recipe(recipe, output)
    try:
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    finally:
        stop.give_back()
    if stop.stopped:
        folder = trainer.checkpoint_folder(trainer.state.global_step)
        at = trainer.state.global_step
        logger.warning("stopped by %s at step %d of %d and saved; run the same command again to resume", stop.name, at, steps)
        return folder
    with full_disk_named(output):
        _export(trainer, model, processor, about, output)
    return output


def resumable(recipe: Recipe, output: Path) -> Path | None:
    """The checkpoint to resume from, None for a new run. ValueError if `output` is finished, or another recipe's."""
    if not output.exists() or not any(output.iterdir()):
        return None
    if (output / ORIGIN).is_file():
        raise ValueError(f"{output} holds a finished run; choose another output, or remove it")
    if not (output / RECIPE).is_file():
        raise ValueError(f"{output} is not empty and holds no run of ours; choose another output")
    before = type(recipe).load(output / RECIPE)
    if changed := sorted(name for name in _flat(recipe) | _flat(before) if _flat(recipe).get(name) != _flat(before).get(name)):
        raise ValueError(
            f"{output} holds a run of another recipe (different: {', '.join(changed)}); "
            "undo the change to resume it, or choose another output"
        )
    complete = checkpoints.checkpoints(output)
    return complete[-1] if complete else None


def origin(recipe: Recipe, hashes: dict[str, str | None], counts: list[ModuleCount]) -> dict[str, Any]:
    """What is known of a run before it starts; `dragonfly.json` of its model."""
    header = result_header()
    return {
        "version": header["versions"]["dragonfly"],
        "recipe": recipe.name,
        "init_from": recipe.init_from.model_dump(exclude_none=True),
        "data": hashes,
        "commit": header["commit"],
        "dirty": header["dirty"],
        "date": header["date"],
        "versions": header["versions"],
        "hardware": header["hardware"],
        "parameters": {count.name: {"total": count.parameters, "trained": count.trained} for count in counts},
    }


def write_recipe(recipe: Recipe, output: Path) -> None:
    write_text(output / RECIPE, dump(recipe))


def model_of(model: Any) -> Any:
    """The Dragonfly model itself, under an adapter or not."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _prepared_model(recipe: Recipe, processor: Any) -> Any:
    model: Any = build_model(recipe, processor)
    _use_cache(model, False)
    if recipe.lora is not None:
        model = add_adapter(model, recipe.lora, recipe.trainable)
    else:
        freeze(model, recipe.trainable)
    warn_of_stale_query_projection(model_of(model))
    if recipe.gradient_checkpointing:
        inner = model_of(model)
        # Both names: transformers 5.23 renamed the method and warns of the old one.
        enable = getattr(inner, "activation_checkpointing_enable", None) or inner.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    return model


def _export(trainer: StageTrainer, model: Any, processor: Any, about: dict[str, Any], output: Path) -> None:
    """The finished model as one directory: weights, processor, `dragonfly.json` last. Checkpoints are kept."""
    _use_cache(model_of(model), True)
    setup = trainer.setup
    if setup.module is model:
        trainer.save_model(str(output))
    elif trainer.args.should_save:  # what else was trained is no part of the model
        model.save_pretrained(output)
        processor.save_pretrained(output)
    if setup.save is not None and trainer.args.should_save:
        setup.save(output)
    trainer.accelerator.wait_for_everyone()
    if trainer.args.should_save:
        if trainer.recipe.best is not None:
            about["best"] = {"task": trainer.recipe.best.task, "metric": trainer.recipe.best.metric, **take_best(output)}
        for name in ("training_args.bin", "README.md"):  # a pickle, and PEFT's empty form; recipe.yaml says it better
            (output / name).unlink(missing_ok=True)
        usual_permissions(output)
        write_origin(output, about)


def _use_cache(model: Any, value: bool) -> None:
    """Training has no use for keys and values of earlier tokens; the model that is written has."""
    model.config.use_cache = model.config.get_text_config().use_cache = value


def _flat(recipe: Recipe) -> dict[str, Any]:
    """A recipe's values by dotted name, without those that may change."""
    values = recipe.model_dump(mode="json", exclude=FREE_TO_CHANGE)
    for name in recipe.objective_hook.may_change:
        values["objective"].pop(name)
    if not recipe.data.streaming:  # the order of a stream depends on their number
        values["data"].pop("workers")

    def walk(prefix: str, value: Any) -> dict[str, Any]:
        if isinstance(value, dict) and value:
            return {key: item for name, below in value.items() for key, item in walk(f"{prefix}{name}.", below).items()}
        return {prefix[:-1]: value}

    return walk("", values)
