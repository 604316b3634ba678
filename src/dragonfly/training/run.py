"""One stage from its recipe to a model directory: `run(recipe)`.

    read rows -> look at the labels -> build, freeze -> train (or go on) -> export

Promises that a run which was cut off resumes where its last complete checkpoint stands when started again, and that
nothing but a finished run is called a model.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, cast

import torch
from transformers import PrinterCallback
from transformers.utils import logging as transformers_logging

from dragonfly.files import ORIGIN, write_json

from . import checkpoints
from .arguments import training_arguments
from .build import build_model, build_processor, check_choice, count_modules, freeze, warn_of_a_stale_map
from .flops import Flops
from .label_audit import audit_labels
from .lora import add_adapter, base_hash
from .metric_thresholds import MetricThresholds
from .objective import make_setup
from .patch_ocr_head import PatchOcrModel, save_head
from .progress import Progress
from .recipe import Recipe
from .record import RECIPE, Record, origin, write_recipe
from .sources import first_rows, manifest_hashes, mixture, num_steps, stream
from .trainer import StageTrainer

logger = logging.getLogger(__name__)

SEEN = 400
"""Images at most from which a OCR head's moments are taken."""

FREE_TO_CHANGE = {"metric_thresholds", "log", "save", "peak_flops", "output"}
"""What a resumed run may have otherwise than before: none of it changes a number."""


def run(recipe: Recipe) -> Path:
    """Train a stage and return its model directory (`recipe.output`); for LoRA, the adapter's.

    Stopped by SIGTERM it returns the checkpoint instead; the same call resumes from there.
    """
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
    if recipe.objective != "patch_ocr":
        logger.info("labels: %s", json.dumps(audit_labels(recipe, sources, processor)))
    model = _prepared_model(recipe, processor)
    start = checkpoints.step_of(last) if last else 0
    skip = start * arguments.gradient_accumulation_steps
    rows = order or stream(recipe, sources, processor, arguments.world_size, skip)
    setup = make_setup(recipe, model, processor, rows)
    counts = count_modules(setup.module if recipe.objective == "patch_ocr" else model)
    for count in counts:
        logger.info("%s", count)
    about = origin(recipe, manifest_hashes(recipe), counts)
    if recipe.lora is not None:
        about["base"] = {"path": recipe.init_from.checkpoint, "sha256": base_hash(recipe.init_from.checkpoint or "")}
    stop = checkpoints.StopOnSignal()
    trainer = StageTrainer(
        recipe=recipe,
        arguments=arguments,
        start=start,
        flops=None if recipe.objective == "patch_ocr" else Flops.of_model(model_of(model), counts),
        model=setup.module,
        train_dataset=setup.train,
        eval_dataset=setup.evaluation,
        data_collator=setup.collate,
        preprocess_logits_for_metrics=setup.predictions,
        compute_metrics=lambda prediction: setup.metrics(prediction.predictions, prediction.label_ids),
        processing_class=processor,
        callbacks=[
            stop,
            Progress(),
            Record(recipe, about, arguments.world_size),
            MetricThresholds(recipe.metric_thresholds, steps),
        ],
    )
    trainer.remove_callback(PrinterCallback)  # takes the bar's place when that is off; ours is on
    if arguments.should_save:
        write_recipe(recipe, output)
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    if stop.stopped:
        folder = trainer.checkpoint_folder(trainer.state.global_step)
        logger.warning("stopped by SIGTERM at step %d of %d; start again to resume", trainer.state.global_step, steps)
        return folder
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
    before = Recipe.load(output / RECIPE)
    if changed := sorted(name for name in _flat(recipe) | _flat(before) if _flat(recipe).get(name) != _flat(before).get(name)):
        raise ValueError(
            f"{output} holds a run of another recipe (different: {', '.join(changed)}); "
            "undo the change to resume it, or choose another output"
        )
    found = checkpoints.checkpoints(output)
    return found[-1] if found else None


def model_of(model: Any) -> Any:
    """The Dragonfly model itself, under an adapter or not."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _prepared_model(recipe: Recipe, processor: Any) -> Any:
    check_choice(recipe, processor.image_processor.spec)
    model: Any = build_model(recipe, processor)
    _use_cache(model, False)
    if recipe.lora is not None:
        model = add_adapter(model, recipe.lora, recipe.trainable)
    else:
        freeze(model, recipe.trainable)
    warn_of_a_stale_map(model_of(model))
    if recipe.gradient_checkpointing:
        inner = model_of(model)
        # Both names: transformers 5.23 renamed the method and warns of the old one.
        enable = getattr(inner, "activation_checkpointing_enable", None) or inner.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    return model


def _export(trainer: StageTrainer, model: Any, processor: Any, about: dict[str, Any], output: Path) -> None:
    """The finished model as one directory: weights, processor, `dragonfly.json` last. Checkpoints are kept."""
    _use_cache(model_of(model), True)
    if trainer.recipe.objective == "patch_ocr":  # the head is no part of the model
        if trainer.args.should_save:
            model.save_pretrained(output)
            processor.save_pretrained(output)
            seen: Any = trainer.train_dataset
            save_head(cast(PatchOcrModel, trainer.model), output, (seen[at] for at in range(min(SEEN, len(seen)))))
    else:
        trainer.save_model(str(output))
    trainer.accelerator.wait_for_everyone()
    if trainer.args.should_save:
        for name in ("training_args.bin", "README.md"):  # a pickle, and PEFT's empty form; recipe.yaml says it better
            (output / name).unlink(missing_ok=True)
        write_json(output / ORIGIN, about)


def _use_cache(model: Any, value: bool) -> None:
    """Training has no use for keys and values of earlier tokens; the model that is written has."""
    model.config.use_cache = model.config.get_text_config().use_cache = value


def _flat(recipe: Recipe) -> dict[str, Any]:
    """A recipe's values by dotted name, without those that may change."""
    values = recipe.model_dump(mode="json", exclude=FREE_TO_CHANGE)
    if not recipe.data.streaming:  # the order of a stream depends on their number
        values["data"].pop("workers")

    def walk(prefix: str, value: Any) -> dict[str, Any]:
        if isinstance(value, dict) and value:
            return {key: item for name, below in value.items() for key, item in walk(f"{prefix}{name}.", below).items()}
        return {prefix[:-1]: value}

    return walk("", values)
