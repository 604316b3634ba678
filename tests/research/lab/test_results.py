from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dragonfly.research.lab.results import columns_of, compare, metrics_of
from dragonfly.research.lab.study import Measure


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


def columns(hits: str) -> np.ndarray:
    """`"101"` -> (3, 2): points, weight; `.` is a question that does not count."""
    return np.array([(float(hit == "1"), float(hit != ".")) for hit in hits])


def test_three_images_of_one_question_by_hand():
    # +1, +1, +1: of the 8 ways to swap images, two (none, all) are as extreme: p = 2 / 8.
    found = compare([columns("111")], [columns("000")], ["a", "b", "c"])
    assert (found.value, found.p, found.seeds) == (1.0, 0.25, (1.0,))


def test_an_image_is_swapped_whole():
    # Six questions on two images give 4 swaps, not 64.
    assert compare([columns("111111")], [columns("000000")], list("aaabbb")).p == 0.5


def test_an_image_is_swapped_in_all_seeds_at_once():
    # Three seeds of three images are three units, not nine: repeating a seed makes nothing surer.
    one, three = ([columns("111")] * n for n in (1, 3))
    assert compare(three, [columns("000")] * 3, list("abc")).p == compare(one, [columns("000")], list("abc")).p == 0.25


def test_no_difference_is_no_evidence():
    found = compare([columns("1010")], [columns("1010")], list("abcd"))
    assert (found.value, found.p, found.low, found.high) == (0.0, 1.0, 0.0, 0.0)
    assert not found.consistent


def test_difference_is_over_the_questions_that_count():
    found = compare([columns("11.0")], [columns("10.0")], list("abcd"))
    assert found.value == pytest.approx(1 / 3, abs=1e-6)


def test_one_seed_of_another_sign_is_not_consistent():
    ours, theirs = [columns("1111"), columns("0011")], [columns("0000"), columns("0111")]
    found = compare(ours, theirs, list("abcd"))
    assert found.value == pytest.approx(3 / 8)
    assert found.seeds == (1.0, -0.25)
    assert not found.consistent
    assert compare(ours[:1], theirs[:1], list("abcd")).consistent


def test_many_images_are_drawn_ten_thousand_times_and_the_same_each_time():
    rng = np.random.default_rng(1)
    ours, theirs = (columns("".join(map(str, rng.integers(0, 2, 60)))) for _ in range(2))
    first, again = (compare([ours], [theirs], [str(n) for n in range(60)]) for _ in range(2))
    assert first == again
    assert first.p is not None and round(first.p * 10_001) == pytest.approx(first.p * 10_001, abs=0.02)
    assert first.low is not None and first.high is not None and first.low <= first.value <= first.high


def test_what_is_not_paired_is_refused():
    with pytest.raises(ValueError, match="a comparison is paired: 1 and 2 seeds of 3 questions each are needed"):
        compare([columns("111")], [columns("000")] * 2, list("abc"))
