"""When a difference is said to matter; each case by hand."""

from __future__ import annotations

from typing import Any

import pytest

from dragonfly.evaluation.controls import told


@pytest.mark.parametrize(
    ("value", "low", "high", "p", "images", "overlap", "expected"),
    [
        (0.22, 0.15, 0.29, 0.001, 200, 0.0, told.MATTERS),
        (-0.22, -0.29, -0.15, 0.001, 200, 0.0, told.NOT_MORE),  # less than a random box: not more than chance
        (0.22, -0.05, 0.4, 0.07, 12, 0.0, told.UNTOLD),
        (0.0, -0.02, 0.03, 0.9, 200, 0.0, told.NOT_MORE),
        (0.0, 0.0, 0.0, 1.0, 59, 0.0, told.UNTOLD),  # nothing happened, on too few images
        (0.0, 0.0, 0.0, 1.0, 60, 0.0, told.NOT_MORE),
        (0.0, -0.02, 0.03, 0.9, 200, 0.7, told.UNTOLD),
        (0.2, 0.15, 0.29, 0.001, 200, 0.7, told.MATTERS),
        (0.3, None, None, None, 1, 0.0, told.UNTOLD),
    ],
)
def test_verdicts(value: float, low: Any, high: Any, p: Any, images: int, overlap: float, expected: str) -> None:
    assert told.verdict({"value": value, "low": low, "high": high, "p": p}, images, overlap) == expected


def test_changes_are_of_normalised_answers_or_of_words() -> None:
    assert told.change("Yes.", "yes", "answers") == 0 and told.change("yes", "no", "answers") == 1
    assert told.change("a small left effusion", "a small right effusion", "words") == pytest.approx(
        1 / 3
    )  # articles do not count
    assert told.unit_of(["yes"] * 3 + ["one two three four five six seven eight nine"] * 2) == "answers"
    assert told.unit_of(["one two three four five six seven eight nine"] * 2) == "words"


def test_one_image_has_no_interval_and_says_so() -> None:
    one = told.rate(told.weighted([1, 0]), ["a", "a"])
    assert one == {"value": 0.5, "low": None, "high": None, "n": 2, "images": 1}
    assert "changes 50.0 % of answers [no interval], removing" in told.sentence("annotated", one, one, "answers")
