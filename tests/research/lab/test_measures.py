"""What a study may measure, and what is refused before anything is trained."""

from __future__ import annotations

from typing import Any

import pytest

from dragonfly.evaluation import Question
from dragonfly.research.lab.measures import check_metrics, check_questions, columns_of, metrics_of
from dragonfly.research.lab.study import Measure, Study


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
    table, _ = columns_of(Measure(**measure), ANSWERS)
    assert (table[:, 0] * (table[:, 1] > 0)).tolist() == points
    assert table[:, 1].tolist() == weights


def test_a_metric_counts_on_the_test_sets_that_have_it():
    mixed = [record("yes", "Yes.", "pope"), record("yes", "yes")]
    table, _ = columns_of(Measure(metric="accuracy_official"), mixed)
    assert table.tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert columns_of(Measure(where={"task": "data/test"}), mixed)[0][:, 1].tolist() == [0.0, 1.0]


def test_every_metric_of_a_task_is_one_here():
    assert {"f1_official", "f1_mean_of_sets", "accuracy_official", "words"} <= set(metrics_of("pope"))
    assert {"a_acc", "f_acc", "q_acc"} <= set(metrics_of("hallusion_bench"))
    assert {"cider_d", "meteor", "bleu_4"} <= set(metrics_of("coco2017_val"))
    assert {"exact_match", "token_f1"} <= set(metrics_of("some/manifest"))


def test_questions_inside_are_a_set_of_their_own():
    """A figure counts by the questions that are inside, also where its first question is not."""
    keys = {"category": "VD", "subcategory": "x", "set_id": "1", "figure_id": "1"}
    rows = [record("yes", "no", "hallusion_bench", **keys, question_id=str(n), kind="ab"[n > 0]) for n in range(2)]
    rows[1]["reply"] = "yes"
    every, value = columns_of(Measure(metric="f_acc"), rows)
    assert value(every.sum(axis=0)) == 0.0
    inside, _ = columns_of(Measure(metric="f_acc", where={"kind": "b"}), rows)
    assert inside.tolist() == [[0.0, 0.0], [1.0, 1.0]]


def test_words_are_those_of_the_model_and_not_of_the_judge():
    judged = [{**record("a", "three words here", "mmvet"), "verdict": "0.5"}]
    assert columns_of(Measure(metric="words"), judged)[0].tolist() == [[3.0, 1.0]]
    assert columns_of(Measure(metric="judge_score"), judged)[0].tolist() == [[0.5, 1.0]]


def test_a_measure_of_nothing_is_refused():
    with pytest.raises(
        ValueError, match=r"no question agrees with where=\{'kind': 'c'\} and metric 'exact_match'; .*: kind, answer, task"
    ):
        columns_of(Measure(where={"kind": "c"}), ANSWERS)


def study(**measures: Any) -> Study:
    values = {"name": "s", "question": "?", "test": ["pope", "some/manifest"], "reference": "v", "measures": measures}
    return Study.model_validate({**values, "variants": {"v": {}}})


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        ({"metric": "f1_offical"}, "measures.m: metric 'f1_offical' is not one of: .*did you mean 'f1_official'"),
        ({"metric": "token_f1", "where": {"task": "pope"}}, "measures.m: metric 'token_f1' is not one of: f1_official"),
        ({"where": {"task": "popee"}}, "measures.m: test set 'popee' is not one of: pope, some/manifest; did you mean 'pope'"),
    ],
)
def test_a_metric_that_no_test_set_has_is_refused_without_opening_one(measure: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        check_metrics(study(m=measure))
    check_metrics(study(m={"metric": "token_f1"}, n={"metric": "f1_official", "where": {"task": ["pope"]}}))


def test_a_measure_that_counts_no_question_is_refused():
    yes = Question("1", "?", ("yes",), meta={"category": "random"})
    open_one = Question("2", "?", ("red",), meta={"kind": "a"})
    asked = [[yes], [open_one]]
    check_questions(study(m={"metric": "f1_official"}, n={"metric": "token_f1_open"}), asked)
    for measure in ({"metric": "closed_accuracy"}, {"where": {"kind": "b"}}, {"metric": "f1_official", "where": {"kind": "a"}}):
        with pytest.raises(
            ValueError, match=r"measures.m: no question agrees with .*meta keys here: category, kind, answer, task"
        ):
            check_questions(study(m=measure), asked)


def test_a_measure_is_left_out_by_null():
    assert list(study(m={}, n=None).measures) == ["m"]
