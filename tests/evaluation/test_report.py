"""What people read, from scores alone."""

from pathlib import Path
from typing import Any

from dragonfly.evaluation.report import breakdown_rows, headline, percent, rows, short_rows, write_markdown


def score(value: float, low: float | None = None, high: float | None = None, n: int = 10, **more: Any) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "n": n, **more}


TASK = {
    "questions": 10,
    "pictures": 4,
    "split": "test",
    "source": "here",
    "broken": [{"id": "q3", "error": "b.png is truncated"}],
    "scores": {"relaxed_accuracy": score(0.5, 0.25, 0.75), "exact_match": score(0.4, n=8)},
    "baselines": {
        "majority": {"answer": "a|b", "origin": "train split", "scores": {"relaxed_accuracy": score(0.1, 0, 0.2, p=0.0312)}},
        "no_picture": {"scores": {"relaxed_accuracy": score(0.5, 0.2, 0.8, p=None)}},
    },
    "breakdown": {"kind": {"x": {"relaxed_accuracy": score(1.0, n=3)}, "y|z": {"exact_match": score(0.0, n=1)}}},
}


def test_cells() -> None:
    assert percent(score(0.53846, 0.4712, 0.6)) == "53.8 [47.1, 60.0]"
    assert percent(score(1.0)) == "100.0"
    assert percent(None) == "-"
    assert headline("t", TASK) == "t: exact match 40.0 % (n = 8, 4 pictures)"


def test_tables_set_the_model_beside_its_baselines() -> None:
    assert rows(TASK) == [
        ["metric", "n", "model", "majority", "no picture"],
        ["relaxed_accuracy", "10", "50.0 [25.0, 75.0]", "10.0 [0.0, 20.0] (p 0.031)", "50.0 [20.0, 80.0]"],
        ["exact_match", "8", "40.0", "-", "-"],
    ]
    assert short_rows(TASK)[1:] == [
        ["relaxed_accuracy", "10", "50.0 [25.0, 75.0]", "10.0", "50.0"],
        ["exact_match", "8", "40.0", "-", "-"],
    ]
    assert breakdown_rows(TASK, "kind", ["exact_match"])[1:] == [["x", "0", "-"], ["y|z", "1", "0.0"]]
    assert breakdown_rows(TASK, "kind") == [
        ["kind", "n", "relaxed_accuracy", "exact_match"],
        ["x", "3", "100.0", "-"],
        ["y|z", "1", "-", "0.0"],
    ]


def test_the_page_names_what_was_broken_and_where_the_majority_comes_from(tmp_path: Path) -> None:
    write_markdown({"tasks": {"t": TASK}}, tmp_path / "report.md")
    text = (tmp_path / "report.md").read_text()
    assert "1 questions could not be asked and count as wrong:\n\n- q3: b.png is truncated" in text
    assert "Majority answer: `a|b`, counted in the train split." in text
    assert "| y\\|z | 1 | - | 0.0 |" in text
