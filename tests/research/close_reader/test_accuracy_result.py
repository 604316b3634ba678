"""docs/lens.md says what the result file says; the committed model reads what the oracle shows it."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from dragonfly.lens import Lens
from dragonfly.lens.loading import load_pair
from dragonfly.lens.methods import METHODS

ROOT = Path(__file__).parents[3]
SCRIPT = runpy.run_path(str(ROOT / "benchmarks" / "lens_accuracy.py"))
SAVED = json.loads((ROOT / "benchmarks" / "results" / "lens_accuracy.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "lens.md").read_text(encoding="utf-8")


def test_the_page_has_the_table_of_the_result() -> None:
    assert f"{SCRIPT['MARK']}\n{SCRIPT['table'](SAVED)}\n\n{SCRIPT['END']}" in PAGE


def test_every_method_was_asked_the_same_within_the_budget() -> None:
    assert SAVED["questions"] >= 300 and list(map(str, SCRIPT["BUDGETS"])) == list(SAVED["budgets"])
    assert set(SAVED["budgets"][str(max(SCRIPT["BUDGETS"]))]) == set(METHODS)
    for budget, rows in SAVED["budgets"].items():
        assert set(METHODS) - set(rows) <= {"search"}  # which needs six views, more than the smaller budget allows
        assert all(row["most_tokens"] <= int(budget) and row["calls"] <= SAVED["max_calls"] for row in rows.values())
        assert rows["oracle"]["evidence_shown"] > 0.9


def test_differences_are_those_of_the_rows() -> None:
    for rows in SAVED["budgets"].values():
        for control in SCRIPT["CONTROLS"]:
            for row in rows.values():
                if found := row.get(f"less_{control}"):
                    assert found["difference"] == pytest.approx(row["accuracy"] - rows[control]["accuracy"], abs=2e-4)


def test_questions_have_one_place_each_and_are_the_same_again() -> None:
    first, again = (list(SCRIPT["questions"]("test", 3, 2)) for _ in range(2))
    asked = [one for _, _, part in first for one in part]
    assert asked == [one for _, _, part in again for one in part] and len(asked) == 6
    assert all(one.box and one.kind in ("read", "next to") for one in asked)


@pytest.mark.slow
def test_the_committed_model_answers_from_the_evidence_and_not_from_the_middle() -> None:
    model, processor, _ = load_pair(ROOT / "checkpoints" / "lens-reader", "cpu", "float32")
    right: dict[str, int] = {}
    for method in ("oracle", "centre"):
        lens: Any = Lens((model, processor), method=method)
        right[method] = 0
        for _, image, asked in SCRIPT["questions"]("test", 15, 2):
            for one in asked:
                given = {"evidence": [one.box]} if method == "oracle" else {}
                right[method] += lens.ask(image, one.text, max_tokens=216, max_new_tokens=12, **given).text == one.answer
    assert right["oracle"] > 1.5 * right["centre"] and right["oracle"] >= 8, right
