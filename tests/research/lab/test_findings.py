from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dragonfly.research.lab.findings import answers, page
from dragonfly.research.lab.study import shipped_studies
from tests.conftest import ROOT
from tests.research.lab.test_conclusions import CONCLUSION, result

RESULTS = ROOT / "benchmarks" / "results" / "lab"


def study(name: str) -> dict[str, Any]:
    conclusions = [{**CONCLUSION, "text": "A conclusion of the study.", "refused": None}]
    return {**result(name=name), "kind": "study", "conclusions": conclusions, "validity": ["May be concluded: little."]}


def write(folder: Path, name: str, content: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content))


@pytest.mark.parametrize(("name", "make"), [("findings", answers), ("findings-detail", page)])
def test_the_committed_pages_are_those_that_the_results_give(name: str, make: Callable[[Path], str]):
    found = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    assert found == make(RESULTS), "write it again: dragonfly lab findings"


def test_the_short_page_says_of_a_difference_what_its_test_says(tmp_path: Path):
    for name in ("headline", "same-questions"):
        write(tmp_path, f"{name}.json", json.loads((RESULTS / f"{name}.json").read_text()))
    before = answers(tmp_path)
    assert "+0.4 points, not significant, p 0.66" in before and "| 12 of most `detail` | 66.7 % |" in before
    changed = json.loads((RESULTS / "headline.json").read_text())
    for one in changed["tests"]:
        if (one["variant"], one["over"], one["measure"]) == ("detail", "baseline-3", "fine"):
            one.update(value=0.05, p=0.002, consistent=True)
    write(tmp_path, "headline.json", changed)
    assert "+5.0 points, significant, p 0.002" in answers(tmp_path)


def test_the_short_page_answers_only_what_has_results(tmp_path: Path):
    assert "## What is not answered" in answers(tmp_path) and "## Which sub-images" not in answers(tmp_path)


def test_without_results_every_study_is_named_as_not_run(tmp_path: Path):
    text = page(tmp_path)
    assert "These studies have not been run for this page." in text
    for name in shipped_studies():
        assert f"- `{name}`" in text
    assert "Needs the paper's 5.6 million instruction pairs" in text


def test_a_result_takes_its_study_off_the_list_and_shows_its_numbers(tmp_path: Path):
    write(tmp_path, "table1.json", study("table1"))
    text = page(tmp_path)
    assert "- `table1`" not in text and "- `table5`" in text
    assert "## table1 (Table 1)" in text
    assert "**A conclusion of the study.**" in text
    assert "Result file: `table1.json`." in text


def test_the_page_begins_with_every_study_in_a_row(tmp_path: Path):
    write(tmp_path, "table1.json", study("table1"))
    write(tmp_path, "mine.json", study("mine"))
    text = page(tmp_path)
    assert "| table1 | Which? | fine: a 70.0, b 50.0, chance 40.0 |\n| mine |" in text
    assert text.index("## The studies in short") < text.index("## table1")


def test_a_recall_result_is_shown_with_its_breakdown(tmp_path: Path):
    table = {
        "1": {"detail": {"recall": {"value": 0.5, "low": 0.25, "high": 0.75}, "area": {"value": 0.5, "low": None, "high": None}}}
    }
    found = {
        "kind": "recall",
        "model": {"name": "nano"},
        "data": {"questions": 4, "images": 2},
        "scope": "region",
        "high": [24],
        "mean_embedding": None,
        "recall": table,
        "by": {"kind": {"word": {"questions": 3, **table}}},
    }
    write(tmp_path, "dense.json", found)
    text = page(tmp_path)
    assert "## Evidence recall: dense" in text
    assert "| detail | 50.0 [25.0, 75.0] |" in text
    assert "| word | 3 | 50.0 |" in text


def test_a_tower_is_shown_seed_after_seed(tmp_path: Path):
    def seed(number: int, value: float) -> dict[str, Any]:
        scores = {keep: {"detail": {"recall": {"value": value, "low": 0.25, "high": 0.75}}} for keep in ("1", "3")}
        return {"seed": number, "recall": scores}

    found = {
        "kind": "towers",
        "tower": "clip-b32",
        "random": True,
        "data": {"questions": 4, "images": 2},
        "scope": "region",
        "high": [24],
        "note": "Scanned receipts.",
        "seeds": [seed(0, 0.5), seed(1, 0.6)],
    }
    write(tmp_path, "clip.json", found)
    text = page(tmp_path)
    assert "## Another tower: clip" in text and "`clip-b32` with random weights, one column per seed" in text
    assert "Percentage of 4 questions about 2 images whose" in text and "Scanned receipts." in text
    assert "Of 24 high sub-images, 3 are kept per region." in text
    assert "| policy | seed 0 | seed 1 |" in text and "| detail | 50.0 [25.0, 75.0] | 60.0 [25.0, 75.0] |" in text


def test_a_curve_is_shown_beside_chance(tmp_path: Path):
    one = {"ours": 0.25, "random": 0.5, "difference": -0.25, "low": -0.3, "high": -0.2, "n": 4}
    found = {"kind": "curves", "model": {"name": "nano"}, "data": {"questions": 4, "images": 2}}
    write(tmp_path, "why.json", {**found, "deletion": one, "insertion": one, "pointing": None})
    text = page(tmp_path)
    assert "## Contribution of sub-images: why" in text
    assert "| deletion (lower is better) | 4 | 25.0 | 50.0 | -25.0 [-30.0, -20.0] |" in text
    assert "pointing (" not in text


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.json": {"x": 1}}, "a.json is not a result of the lab; put there what `-o` wrote"),
        ({"a.json": {"kind": "song"}}, "a.json is of kind 'song'; accepted: recall, towers, curves, study"),
        (
            {"a.json": study("table1"), "b.json": study("table1")},
            "holds two results of the study 'table1'; remove the older file",
        ),
    ],
)
def test_what_is_no_result_is_refused(tmp_path: Path, files: dict[str, Any], message: str):
    for name, content in files.items():
        write(tmp_path, name, content)
    with pytest.raises(ValueError, match=message):
        page(tmp_path)
