"""Metric thresholds: numbers on held-out data that a stage must reach, or it stops before it costs more.

The Trainer measures them itself; what `eval_tokens` and `eval_turns` are, `training.objective.answer_metrics` says.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from transformers import TrainerCallback

from dragonfly.config import Config
from dragonfly.training import Recipe


class MetricThreshold(Config):
    """A number on `data.eval` that must reach `least` after `step` optimiser steps (None: at the end), or the run stops.

    `metric`: eval_turns (answers said exactly), eval_tokens; for the objective patch_ocr eval_characters, eval_words, eval_names,
    eval_others.
    """

    metric: Literal["eval_turns", "eval_tokens", "eval_characters", "eval_words", "eval_names", "eval_others"]
    least: float
    step: int | None = Field(default=None, gt=0)


def threshold_faults(recipe: Recipe, thresholds: list[MetricThreshold]) -> list[str]:
    """Why these thresholds could not be measured, a sentence each."""
    if thresholds and recipe.data.eval is None:
        return ["objective.thresholds are measured on data.eval, which is missing"]
    steps = recipe.steps
    late = [one.step for one in thresholds if one.step is not None and steps is not None and one.step > steps]
    return [f"a metric threshold at step {late[0]} is never reached in {steps} steps"] if late else []


class ThresholdNotReached(ValueError):
    """A held-out number is lower than its metric threshold asks for."""


class MetricThresholds(TrainerCallback):
    """Asks for an evaluation at every threshold's step and raises `ThresholdNotReached` where the number is too low."""

    def __init__(self, thresholds: list[MetricThreshold]) -> None:
        self.thresholds = thresholds

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._due(state):
            control.should_evaluate = True

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        for threshold in self._due(state):
            reached = (metrics or {}).get(threshold.metric)
            if reached is None:
                measured = ", ".join(name for name in metrics or {} if name.startswith("eval_"))
                raise ValueError(f"metric threshold {threshold.metric}: this objective does not measure it; measured: {measured}")
            if reached < threshold.least:
                raise ThresholdNotReached(
                    f"{threshold.metric} is {reached:.3f} after {state.global_step} steps, the recipe asks for "
                    f"{threshold.least}; train longer, look at the data, or lower objective.thresholds"
                )

    def _due(self, state: Any) -> list[MetricThreshold]:
        return [one for one in self.thresholds if (one.step or state.max_steps) == state.global_step]
