"""MetricThresholds: what a stage must reach, measured by the Trainer itself."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from dragonfly.research.curriculum.metric_thresholds import MetricThreshold, MetricThresholds, ThresholdNotReached
from dragonfly.training import Recipe, run
from tests.research.curriculum.recipes import recipe
from tests.training import small


def gated(folder: Path, least: float, **threshold: object) -> Recipe:
    small.recipe(folder)
    rows = str(folder / "data" / "rows.json")
    data = {"train": [{"name": "rows", "path": rows}], "eval": {"name": "held-out", "path": rows}, "audit": 4}
    objective = {"name": "shared_prefix", "thresholds": [{"metric": "eval_tokens", "least": least, **threshold}]}
    return recipe(folder, data=data, objective=objective, save={"every": 2}, output=str(folder / f"out-{least}"))


def test_a_run_stops_at_a_metric_threshold_that_it_does_not_reach(tmp_path: Path) -> None:
    with pytest.raises(ThresholdNotReached, match=r"eval_tokens is 0\.\d+ after 4 steps, the recipe asks for 1\.1"):
        run(gated(tmp_path, 1.1, step=4))
    assert not (tmp_path / "out-1.1" / "dragonfly.json").exists()
    assert (tmp_path / "out-1.1" / "checkpoint-2" / "complete.json").is_file()
    output = run(gated(tmp_path, 0.0))
    assert (output / "dragonfly.json").is_file()
    assert '"eval_tokens"' in (output / "loss.jsonl").read_text()


def test_a_metric_threshold_needs_something_to_be_measured_on(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"objective\.thresholds are measured on data\.eval, which is missing"):
        recipe(tmp_path, objective={"name": "shared_prefix", "thresholds": [{"metric": "eval_turns", "least": 0.5}]})
    with pytest.raises(ValueError, match="a metric threshold at step 9 is never reached in 6 steps"):
        gated(tmp_path, 0.5, step=9)
    with pytest.raises(ValueError, match="metric threshold eval_words: this objective does not measure it; measured: eval_"):
        run(gated(tmp_path, 0.2, metric="eval_words"))


def test_what_a_metric_threshold_asks_for_is_enough() -> None:
    thresholds = MetricThresholds([MetricThreshold(metric="eval_turns", least=0.5)])
    at_the_end = SimpleNamespace(global_step=4, max_steps=4)
    thresholds.on_evaluate(None, at_the_end, None, {"eval_turns": 0.5})
    with pytest.raises(ThresholdNotReached, match=r"eval_turns is 0\.499 after 4 steps"):
        thresholds.on_evaluate(None, at_the_end, None, {"eval_turns": 0.499})
