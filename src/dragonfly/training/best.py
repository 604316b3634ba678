"""The best checkpoint by a task's metric: scored where checkpoints are saved, kept beside them, and what the run ends with.

Promises that looking moves nothing (random state, training mode and cache are as before), and that a run which was cut off scores
no checkpoint twice and keeps the same best. Knows no task: the score is handed in.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from dragonfly.files import atomic_directory, write_json

logger = logging.getLogger(__name__)

Score = Callable[[Any, Any], float]
"""(model, processor) -> how good; more is better. Called on the first process alone."""

SCORES = "best.json"


class BestCheckpoint(TrainerCallback):
    """Scores the model when a checkpoint is complete and keeps the best in `best-STEP`; of equals the earliest.

    `every`: steps between scores, a multiple of those between checkpoints; None for every checkpoint. The last step is scored.
    """

    def __init__(self, output: Path, model: Any, processor: Any, score: Score, every: int | None) -> None:
        self.output, self.model, self.processor, self.score, self.every = output, model, processor, score, every

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.every is None or state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self._look(args, state)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A run that was killed between a checkpoint and its score scores it now."""
        if state.global_step:
            self.on_save(args, state, control)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == state.max_steps:
            self._look(args, state)

    def _look(self, args: Any, state: Any) -> None:
        if state.is_world_process_zero:
            self._record(state.global_step)
        if torch.distributed.is_initialized():
            torch.distributed.barrier()

    def _record(self, step: int) -> None:
        scores = read_scores(self.output)
        if str(step) in scores:
            return
        with _as_it_answers(self.model):
            self._score(step, scores)

    def _score(self, step: int, scores: dict[str, float]) -> None:
        value = float(self.score(self.model, self.processor))
        best = best_step(scores)
        logger.info("step %d: score %.4f%s", step, value, "" if best is None else f" (best {scores[str(best)]:.4f}, step {best})")
        if best is None or value > scores[str(best)]:
            folder = folder_of(self.output, step)
            shutil.rmtree(folder, ignore_errors=True)  # written whole by a run that was killed before it noted the score
            with atomic_directory(folder) as new:
                self.model.save_pretrained(new)
                self.processor.save_pretrained(new)
        write_json(self.output / SCORES, {**scores, str(step): value})  # last: until then the step counts as not looked at
        kept = folder_of(self.output, best_step(read_scores(self.output)) or step)
        for old in self.output.glob("best-*"):
            if old != kept:
                shutil.rmtree(old)


def read_scores(output: Path) -> dict[str, float]:
    """Scores of a run by step; empty where none was taken."""
    file = output / SCORES
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def best_step(scores: dict[str, float]) -> int | None:
    """The step of the highest score, of equals the earliest."""
    return min((int(step) for step in scores), key=lambda step: (-scores[str(step)], step), default=None)


def folder_of(output: Path, step: int) -> Path:
    return output / f"best-{step}"


def take_best(output: Path) -> dict[str, Any]:
    """Make the best the run's model and say which it is: {step, score, scores}."""
    scores = read_scores(output)
    step = best_step(scores)
    assert step is not None  # the last step is always looked at
    for file in sorted(folder_of(output, step).iterdir()):
        shutil.copy(file, output / file.name)
    shutil.rmtree(folder_of(output, step))
    return {"step": step, "score": scores[str(step)], "scores": scores}


@contextmanager
def _as_it_answers(model: Any) -> Generator[None]:
    """The model with the cache that answering takes; its mode, that setting and the random state are then as they were."""
    configs = (model.config, model.config.get_text_config())
    training, caches = model.training, [config.use_cache for config in configs]
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices=devices):
            for config in configs:
                config.use_cache = True
            yield
    finally:
        model.train(training)
        for config, cache in zip(configs, caches, strict=True):
            config.use_cache = cache
