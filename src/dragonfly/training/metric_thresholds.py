"""MetricThresholds: numbers on held-out data that a stage must reach, or it stops before it costs more.

The Trainer measures them itself. `eval_turns` is the share of answers whose every token is the likeliest one after the true
ones before it, which is exactly when greedy decoding says the answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor
from transformers import TrainerCallback

from dragonfly.data import IGNORE_INDEX

from .options import MetricThreshold


class ThresholdNotReached(ValueError):
    """A held-out number is lower than its metric threshold asks for."""


class MetricThresholds(TrainerCallback):
    """Asks for an evaluation at every metric threshold's step and raises `ThresholdNotReached` where the number is too low."""

    def __init__(self, metric_thresholds: list[MetricThreshold], steps: int) -> None:
        self.metric_thresholds = {(threshold.step or steps): [] for threshold in metric_thresholds}
        for threshold in metric_thresholds:
            self.metric_thresholds[threshold.step or steps].append(threshold)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step in self.metric_thresholds:
            control.should_evaluate = True

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        for threshold in self.metric_thresholds.get(state.global_step, []):
            reached = (metrics or {}).get(threshold.metric)
            if reached is None:
                measured = ", ".join(name for name in metrics or {} if name.startswith("eval_"))
                raise ValueError(f"metric threshold {threshold.metric}: this objective does not measure it; measured: {measured}")
            if reached < threshold.least:
                raise ThresholdNotReached(
                    f"{threshold.metric} is {reached:.3f} after {state.global_step} steps, "
                    f"the recipe asks for {threshold.least}; "
                    "train longer, look at the data, or lower metric_thresholds"
                )


def likeliest(outputs: Any, labels: Tensor) -> Tensor:
    """The likeliest token at each position (batch, length): all that the metrics need of the logits."""
    logits = outputs[0] if isinstance(outputs, tuple) else outputs
    return logits.argmax(dim=-1)


def answer_metrics(said: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Shares of right tokens and of wholly right answers; an answer is a run of labels, said one position before each."""
    said, labels = said[:, :-1], labels[:, 1:]
    asked = labels != IGNORE_INDEX
    right = said == labels
    turns = [bool(right[row, start:end].all()) for row in range(len(labels)) for start, end in _runs(asked[row])]
    return {"tokens": float(right[asked].mean()), "turns": float(np.mean(turns)), "num_turns": float(len(turns))}


def _runs(asked: np.ndarray) -> list[tuple[int, int]]:
    """The half-open runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], asked.astype(np.int8), [0]])))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
