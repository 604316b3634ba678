"""MetricThresholds: what a stage must reach, measured by the Trainer itself."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dragonfly.training import Recipe, run
from dragonfly.training.metric_thresholds import MetricThresholds, ThresholdNotReached, answer_metrics
from dragonfly.training.options import MetricThreshold
from tests.training import small


def test_an_answer_counts_when_all_its_tokens_are_said() -> None:
    labels = np.array([[-100, 5, 6, -100, 7, -100, -100], [-100, -100, -100, 8, 9, 9, -100]])
    said = np.array([[5, 6, 0, 7, 0, 0, 0], [0, 0, 8, 9, 1, 0, 0]])  # the token at position i says the one at i + 1
    # Answers 5 6 and 7 are right, 8 9 9 is not: two of three; five of six tokens.
    assert answer_metrics(said, labels) == {"tokens": 5 / 6, "turns": 2 / 3, "num_turns": 3.0}


def gated(folder: Path, least: float, **threshold: object) -> Recipe:
    small.recipe(folder)
    rows = str(folder / "data" / "rows.json")
    data = {"train": [{"name": "rows", "path": rows}], "eval": {"name": "held-out", "path": rows}, "audit": 4}
    metric_thresholds = [{"metric": "eval_tokens", "least": least, **threshold}]
    return small.recipe(
        folder, data=data, metric_thresholds=metric_thresholds, save={"every": 2}, output=str(folder / f"out-{least}")
    )


def test_a_run_stops_at_a_metric_threshold_that_it_does_not_reach(tmp_path: Path) -> None:
    with pytest.raises(ThresholdNotReached, match=r"eval_tokens is 0\.\d+ after 4 steps and the recipe asks for 1\.1"):
        run(gated(tmp_path, 1.1, step=4))
    assert not (tmp_path / "out-1.1" / "dragonfly.json").exists()
    assert (tmp_path / "out-1.1" / "checkpoint-2" / "complete.json").is_file()
    output = run(gated(tmp_path, 0.0))
    assert (output / "dragonfly.json").is_file()
    assert '"eval_tokens"' in (output / "loss.jsonl").read_text()


def test_a_metric_threshold_needs_something_to_be_measured_on(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"metric_thresholds are measured on data\.eval, which is missing"):
        small.recipe(tmp_path, metric_thresholds=[{"metric": "eval_turns", "least": 0.5}])
    with pytest.raises(ValueError, match="a metric threshold at step 9 is never reached in 6 steps"):
        gated(tmp_path, 0.5, step=9)
    with pytest.raises(ValueError, match="metric threshold eval_words: this objective does not measure it; measured: eval_"):
        run(gated(tmp_path, 0.2, metric="eval_words"))


def test_what_a_metric_threshold_asks_for_is_enough() -> None:
    metric_thresholds = MetricThresholds([MetricThreshold(metric="eval_turns", least=0.5)], steps=4)
    at_the_end = SimpleNamespace(global_step=4)
    metric_thresholds.on_evaluate(None, at_the_end, None, {"eval_turns": 0.5})
    with pytest.raises(ThresholdNotReached, match=r"eval_turns is 0\.499 after 4 steps"):
        metric_thresholds.on_evaluate(None, at_the_end, None, {"eval_turns": 0.499})
