"""Yes said and yes true, by hand."""

from typing import Any

import pytest

from dragonfly.evaluation.hallucination import applies, describe, sets_of
from dragonfly.evaluation.questions import Question
from dragonfly.evaluation.scoring import scores_of


def ask(*rows: tuple[str, str]) -> list[Question]:
    return [Question(str(n), "q", (gold,), group=str(n), meta={"category": kind}) for n, (gold, kind) in enumerate(rows)]


def test_shares_of_yes() -> None:
    questions = ask(("yes", "a"), ("yes", "a"), ("Yes.", "b"), ("no", "a"), ("no", "b"), ("cat", "b"))
    found = describe(questions, ["yes", "no", "maybe", "Yes, it is", None, "yes"], {"blind": ["yes"] * 6}, scores_of)
    assert found is not None and found["sets"] is None
    assert {key: score["value"] for key, score in found["baselines"]["blind"].items()} == {
        "yes_true": 0.6,
        "yes_said": 1.0,
        "false_yes": 1.0,
        "false_no": 0.0,
        "neither": 0.0,
    }
    value = {name: {key: (score["value"], score["n"]) for key, score in row.items()} for name, row in found["rows"].items()}
    assert value["all"] == {
        "yes_true": (0.6, 5),  # "cat" is no question of yes or no
        "yes_said": (0.4, 5),  # yes, and "Yes, it is"; the question that could not be asked says nothing
        "false_yes": (0.5, 2),
        "false_no": (pytest.approx(1 / 3, abs=1e-6), 3),
        "neither": (0.2, 5),
    }
    assert value["category a"]["false_yes"] == (1.0, 1) and value["category b"]["false_yes"] == (0.0, 1)


def test_a_task_of_one_answer_says_nothing_of_a_habit() -> None:
    assert not applies(ask(("yes", "a"), ("cat", "a")))
    assert describe(ask(("no", "a")), ["yes"], {}, scores_of) is None


def test_sets_count_as_a_whole() -> None:
    def row(n: int, figure: int, question: int, gold: str) -> Question:
        meta: dict[str, Any] = {"category": "VD", "subcategory": "x", "set_id": 0, "figure_id": figure, "question_id": question}
        return Question(str(n), "q", (gold,), meta=meta)

    # figures 0 and 1 carry questions 0 and 1, figure 2 carries question 0 alone
    questions = [row(0, 0, 0, "yes"), row(1, 0, 1, "no"), row(2, 1, 0, "no"), row(3, 1, 1, "no"), row(4, 2, 0, "no")]
    found = sets_of(questions, ["yes", "no", "yes", "no", "no"])
    assert found == {
        "figure": {"all right": 1, "some right": 1, "none right": 0},  # figure 2 has one question: nothing to hold together
        "question": {"all right": 1, "some right": 1, "none right": 0},  # question 0 fails on figure 1
    }
    assert sets_of(ask(("yes", "a")), ["yes"]) is None
