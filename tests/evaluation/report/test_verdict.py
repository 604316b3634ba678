"""What a run's scores say in a sentence; each case by hand."""

from typing import Any

import pytest

from dragonfly.evaluation.report.verdict import comparison_verdict, standing, verdict


def task(value: float, broken: int = 0, **others: tuple[float, float | None]) -> dict[str, Any]:
    """The model's score, and each baseline's score with the p of its difference."""
    baselines = {
        name: {"scores": {"exact_match": {"value": other, "p": p}}, "answer": "No"} for name, (other, p) in others.items()
    }
    scores = {"exact_match": {"value": value, "low": None, "high": None, "n": 60}}
    return {"scores": scores, "baselines": baselines, "broken": [{}] * broken, "questions": 60}


@pytest.mark.parametrize(
    ("told", "sentence", "where"),
    [
        (
            task(0.317, majority=(0.333, 0.6)),
            "31.7 % exact match, not above always answering \u201cNo\u201d (33.3 %).",
            "not above",
        ),
        (task(0.5, majority=(0.4, 0.2)), "50.0 % exact match, not above always answering \u201cNo\u201d (40.0 %).", "not above"),
        (task(0.6, majority=(0.4, 0.01)), "60.0 % exact match, above always answering \u201cNo\u201d (40.0 %).", "above"),
        (task(0.2, majority=(0.4, 0.01)), "20.0 % exact match, below always answering \u201cNo\u201d (40.0 %).", "below"),
        (
            task(0.6, majority=(0.5, 0.01), blind=(0.45, 0.3)),
            "60.0 % exact match, above always answering \u201cNo\u201d (50.0 %). It is not above the same model without the "
            "image (45.0 %): the answers may not come from the image.",
            "not above",
        ),
        (task(0.6), "60.0 % exact match; compared with no baseline, so it says nothing yet.", "not compared"),
    ],
)
def test_a_verdict_names_the_best_guess_and_a_difference_only_where_a_test_finds_one(
    told: dict[str, Any], sentence: str, where: str
) -> None:
    assert verdict(told) == sentence
    assert standing(told) == where


def test_questions_that_could_not_be_asked_are_in_it() -> None:
    assert verdict(task(0.5, broken=3, majority=(0.4, 0.2))).endswith(" 3 of 60 questions could not be asked and count as wrong.")


def test_runs_are_set_against_the_first() -> None:
    columns: dict[str, Any] = {"exact_match": [{"value": 0.5}, {"value": 0.58, "p": 0.01}, {"value": 0.6, "p": 0.2}]}
    assert comparison_verdict("t", columns, ["a", "b", "c"]) == (
        "t, exact match: b (58.0 %) is above a; c (60.0 %) is not significantly different from a (50.0 %)."
    )
    columns["exact_match"][1] |= {"p_holm": 0.06}
    assert comparison_verdict("t", columns, ["a", "b", "c"]) == (
        "t, exact match: b (58.0 %) is not significantly different from a; c (60.0 %) is not significantly different from a "
        "(50.0 %). Not significant: these questions rank no run above another."
    )
