"""A study's page, its tables and its Pareto front."""

from __future__ import annotations

import pytest

from dragonfly.research.lab.report import difference_rows, front, report
from tests.research.lab.test_conclusions import CONCLUSION, result


def test_the_page_holds_conclusions_tables_and_limits():
    found = {**result(), "validity": ["May be concluded: little."]}
    found["conclusions"] = [
        {**CONCLUSION, "text": "A conclusion.", "refused": None},
        {**CONCLUSION, "text": None, "refused": "No conclusion on a"},
    ]
    page = report(found, "plot.png")
    assert page.startswith("# x (Table 1)\n\nWhich?\n\nCheckpoint `nano` (ffffffffffff). Every variant is trained from it")
    for part in (
        "**A conclusion.**",
        "No conclusion on a.",
        "| b (reference) | 50.0 [40.0, 60.0] |",
        "![accuracy",
        "May be concluded: little.",
    ):
        assert part in page
    assert difference_rows(found)[1] == ["a", "b", "fine", "+20.0 [+10.0, +30.0]", "0.0010", "2", "consistent"]


def test_a_page_of_single_seeds_has_no_table_of_seeds():
    variants = {name: {**variant, "seeds": [0]} for name, variant in result()["variants"].items()}
    conclusions = {"conclusions": [], "validity": ["Little."]}
    assert "# Seeds" in report(result(**conclusions))
    assert "# Seeds" not in report(result(variants=variants, **conclusions))


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(1, 1), (2, 2), (3, 1.5), (4, 3)], [0, 1, 3]),
        ([(1, 2), (1, 3), (2, 3)], [1]),
        ([(5, 5)], [0]),
    ],
)
def test_the_front_is_what_nothing_beats(points: list[tuple[float, float]], expected: list[int]):
    assert front(points) == expected
