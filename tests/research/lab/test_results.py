from __future__ import annotations

from typing import Any

import pytest

from dragonfly.planning import plan
from dragonfly.research.lab.costs import per_question, steps_for
from dragonfly.research.lab.results import columns_of, metrics_of
from dragonfly.research.lab.study import Measure
from tests import tiny


def record(answer: str, reply: str | None, task: str = "data/test", **meta: Any) -> dict[str, Any]:
    found = {
        "id": "x",
        "group": "g",
        "question": "?",
        "answers": [answer],
        "options": [],
        "images": [],
        "meta": meta,
        "task": task,
    }
    return found if reply is None else {**found, "reply": reply}


ANSWERS = [
    record("yes", "yes", kind="a"),
    record("no", "yes", kind="b"),
    record("12", "12", kind="a"),
    record("no", None, kind="b"),
]


@pytest.mark.parametrize(
    ("measure", "points", "weights"),
    [
        ({}, [1, 0, 1, 0], [1, 1, 1, 1]),
        ({"where": {"kind": "a"}}, [1, 0, 1, 0], [1, 0, 1, 0]),
        ({"where": {"answer": "no"}}, [0, 0, 0, 0], [0, 1, 0, 1]),
        ({"metric": "closed_accuracy"}, [1, 0, 0, 0], [1, 1, 0, 1]),
        ({"metric": "words"}, [1, 1, 1, 0], [1, 1, 1, 1]),
    ],
)
def test_points_and_weights(measure: dict[str, Any], points: list[int], weights: list[int]):
    table = columns_of(Measure(**measure), ANSWERS)
    assert (table[:, 0] * (table[:, 1] > 0)).tolist() == points
    assert table[:, 1].tolist() == weights


def test_a_metric_counts_on_the_test_sets_that_have_it():
    mixed = [record("yes", "Yes.", "pope"), record("yes", "yes")]
    table = columns_of(Measure(metric="accuracy_official"), mixed)
    assert table.tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert columns_of(Measure(where={"task": "data/test"}), mixed)[:, 1].tolist() == [0.0, 1.0]


def test_only_means_of_questions_are_metrics_here():
    assert "f1_official" not in metrics_of("pope") and "accuracy_official" in metrics_of("pope")
    assert {"exact_match", "token_f1"} <= set(metrics_of("some/manifest"))


def test_a_measure_of_nothing_is_refused():
    with pytest.raises(
        ValueError, match=r"no question agrees with where=\{'kind': 'c'\} and metric 'exact_match'; .*: kind, answer, task"
    ):
        columns_of(Measure(where={"kind": "c"}), ANSWERS)


def test_costs_are_the_plans_means():
    settings = tiny.config("v1")
    sizes = [(64, 96), (96, 64)]
    found = per_question(settings, settings.spec, sizes, 10)
    plans = [plan(settings.spec, size, settings.vision_config, settings, 10) for size in sizes]
    assert found["encoded"] == 29 and found["image_tokens"] == plans[0].num_image_tokens
    total = sum((one.tower_flops or 0) + (one.projector_flops or 0) + (one.prefill_flops or 0) for one in plans)
    assert found["gflops"] == pytest.approx(total / 2e9, abs=1e-6)


def test_equal_flops_follow_from_what_is_trained():
    v1, cheap = tiny.config("v1"), tiny.config("baseline-1")
    everything = {"steps": 100, "trainable": ["vision_tower", "multi_modal_projector", "language_model"]}
    costs = []
    for settings in (v1, cheap):
        one = plan(settings.spec, (768, 1024), settings.vision_config, settings, 32)
        costs.append((one.tower_flops or 0) + (one.projector_flops or 0) + (one.prefill_flops or 0))
    assert steps_for(v1, v1.spec, v1.spec, everything, 32) == 100
    assert steps_for(v1, v1.spec, cheap.spec, everything, 32) == round(100 * costs[0] / costs[1])
    frozen = steps_for(v1, v1.spec, cheap.spec, {"steps": 100, "trainable": ["language_model"]}, 32)
    assert frozen != steps_for(v1, v1.spec, cheap.spec, everything, 32)
    with pytest.raises(ValueError, match=r"same: flops scales recipe\.steps, and the recipe has none"):
        steps_for(v1, v1.spec, cheap.spec, {"epochs": 1}, 32)
