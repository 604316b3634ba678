"""docs/scaling.md says what the result files say, and these what their formulas give."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import paper_hours  # noqa: E402  # pyright: ignore[reportMissingImports]
import scaling  # noqa: E402  # pyright: ignore[reportMissingImports]

SCRIPT = runpy.run_path(str(ROOT / "scripts" / "scaling.py"))
FOUND: dict[str, Any] = SCRIPT["result"]("scaling")


def test_the_page_is_written_from_the_result_files() -> None:
    assert (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8") == SCRIPT["page"]()


def test_the_paper_file_is_what_plan_computes_today() -> None:
    stored = SCRIPT["result"]("paper_hours")
    for name, make in (("parts", paper_hours.parts), ("step", paper_hours.step), ("changes", paper_hours.changes)):
        assert stored[name] == json.loads(json.dumps(make()))
    assert stored["stages"]["general, stage 2"] == json.loads(json.dumps(paper_hours.stage_row("general, stage 2")))


def test_what_is_planned_of_each_point_is_what_plan_computes_today() -> None:
    for name, row in FOUND["points"].items():
        assert row["planned"] == json.loads(json.dumps(scaling.planned(scaling.POINTS[name]))), name


def test_laws_are_those_of_the_points() -> None:
    again = scaling.laws(FOUND)
    for kind in scaling.DTYPES:
        for phase in scaling.KNOWN:
            stored = FOUND["laws"][kind][phase]
            for term, value in again[kind][phase]["terms"].items():
                assert value["value"] == pytest.approx(stored["terms"][term]["value"], rel=1e-3), (kind, phase, term)


def test_a_law_finds_what_points_were_made_of_and_how_sure_it_is() -> None:
    columns = [[1.0, float(x), float(x) ** 2] for x in (10, 20, 50, 100, 200, 400)]
    exact = [3 + 0.5 * x + 0.01 * square for _, x, square in columns]
    found = scaling.law(("one", "x", "x squared"), columns, exact)
    assert [found[name]["value"] for name in found] == pytest.approx([3, 0.5, 0.01], rel=1e-4)
    noisy = [value * factor for value, factor in zip(exact, (1.05, 0.95, 1.05, 0.95, 1.05, 0.95), strict=True)]
    unsure = scaling.law(("one", "x", "x squared"), columns, noisy)
    for name, true in zip(unsure, (3, 0.5, 0.01), strict=True):
        assert unsure[name]["plus_minus"] > found[name]["plus_minus"]
        assert abs(unsure[name]["value"] - true) < unsure[name]["plus_minus"]


def test_what_is_held_out_does_not_move_a_law() -> None:
    """A held-out point that is ten times too slow changes its own error alone."""
    rows = json.loads(json.dumps(FOUND["points"]))
    out = next(name for name, row in rows.items() if row["held_out"])

    def value(row: dict[str, Any]) -> float:
        return row["seconds"]["bfloat16"]["prefill"]

    before = scaling.fitted(rows, value, "prefill")
    rows[out]["seconds"]["bfloat16"]["prefill"] *= 10
    after = scaling.fitted(rows, value, "prefill")
    assert after["terms"] == before["terms"]
    assert after["plan"]["factor"] == before["plan"]["factor"]
    assert after["law"]["of"][out] < -0.85


def test_the_papers_step_adds_up() -> None:
    """73 hours are the seconds of a step times its steps, and what plan explains is less than that."""
    step = SCRIPT["result"]("paper_hours")["step"]
    assert step["steps"] * step["seconds"] / 3600 == pytest.approx(73)
    parts = ("arithmetic at 40 %", "gradients reduced, weights gathered", "optimiser's state read and written")
    assert sum(step[name] for name in parts) < step["seconds"]
