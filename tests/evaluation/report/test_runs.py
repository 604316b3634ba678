"""Runs are compared on the same questions, or not at all."""

from pathlib import Path

import pytest

from dragonfly.evaluation import Settings, compare, evaluate, load_questions
from tests.evaluation.fakes import RuleEngine, write_qa, yes_no_rows


def run(reply: str, out: Path, *tasks: str, limit: int | None = None) -> Path:
    settings = Settings(tasks=tasks, limit=limit, with_baselines=False)
    evaluate(RuleEngine(lambda _: reply), {"name": reply}, settings, load_questions(settings), out)
    return out


def test_scores_stand_side_by_side_with_p_against_the_first(tmp_path: Path) -> None:
    a = f"jsonl:{write_qa(tmp_path / 'a', [{**row, 'answer': 'no'} for row in yes_no_rows(40, per_image=1)])}"
    b = f"jsonl:{write_qa(tmp_path / 'b', yes_no_rows(10))}"
    runs = [run("yes", tmp_path / "y", a, b), run("no", tmp_path / "n", a), run("yes", tmp_path / "z", a)]
    found = compare(runs)
    assert [one["model"] for one in found["runs"]] == ["yes", "no", "yes"]
    assert found["left_out"] == [b]
    scores = found["tasks"][a]["exact_match"]
    assert [score["value"] for score in scores] == [0.0, 1.0, 0.0]
    assert scores[1]["p"] < 0.01 and scores[2]["p"] == 1.0


def test_other_questions_are_refused(tmp_path: Path) -> None:
    a = f"jsonl:{write_qa(tmp_path / 'a', yes_no_rows(10))}"
    b = f"jsonl:{write_qa(tmp_path / 'b', yes_no_rows(10))}"
    all_of_a = run("yes", tmp_path / "1", a)
    with pytest.raises(ValueError, match="answer different questions of"):
        compare([all_of_a, run("yes", tmp_path / "2", a, limit=6)])
    with pytest.raises(ValueError, match="no task in common"):
        compare([all_of_a, run("yes", tmp_path / "3", b)])
    with pytest.raises(ValueError, match="two runs or more"):
        compare([all_of_a])
