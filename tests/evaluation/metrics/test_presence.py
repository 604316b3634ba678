"""POPE's readings and F1, HallusionBench's sets, and the rates of yes in any task, by hand."""

from typing import Any

import pytest

from dragonfly.evaluation.metrics import Metric, presence
from dragonfly.evaluation.metrics.presence import applies, describe, pope_answer, pope_answer_lmms, pope_outcome, sets_of
from dragonfly.evaluation.question import Question
from dragonfly.evaluation.scoring import scores_of


def ask(answers: list[str], **meta: object) -> list[Question]:
    return [Question(id=str(n), text="q", answers=(answer,), meta=dict(meta)) for n, answer in enumerate(answers)]


def value(metric: Metric, questions: list[Question], replies: list[str | None]) -> float:
    return float(metric.value(metric.columns(questions, replies).sum(axis=0)))


@pytest.mark.parametrize(
    ("reply", "official", "lmms"),
    [
        ("Yes", "yes", "yes"),
        ("No", "no", "no"),
        ("No, there is none.", "no", "no, there is none."),
        ("It is not there", "no", "it is not there"),
        ("Yes. There is no dog", "yes", "yes. there is no dog"),  # only up to the first full stop
        ("NO", "yes", "no"),  # not among the three words
        ("nothing", "yes", "nothing"),
        ("", "yes", ""),
    ],
)
def test_readings(reply: str, official: str, lmms: str) -> None:
    assert pope_answer(reply) == official
    assert pope_answer_lmms(reply) == lmms


def test_outcomes() -> None:
    pairs = [("yes", "yes"), ("yes", "no"), ("no", "no"), ("no", "yes"), ("yes.", "no"), ("yes.", "yes")]
    assert [pope_outcome(*pair) for pair in pairs] == ["tp", "fp", "tn", "fn", "tn", "fn"]


def test_pope_f1_by_hand() -> None:
    questions = ask(["yes", "yes", "yes", "no", "no"])
    replies = ["yes", "Yes.", "no", "yes", "no"]
    # official: 2 tp, 1 fn, 1 fp: 4 / (4 + 1 + 1); lmms-eval: "Yes." is nothing: 1 tp, 1 fn, 1 fp: 2 / (2 + 1 + 1)
    assert value(presence.POPE_F1, questions, [*replies]) == pytest.approx(4 / 6)
    assert value(presence.POPE_F1_LMMS, questions, [*replies]) == pytest.approx(2 / 4)
    assert value(presence.POPE_YES_RATIO, questions, [*replies]) == pytest.approx(3 / 5)


def test_pope_f1_of_vlmevalkit_and_the_mean_of_sets_by_hand() -> None:
    questions = [*ask(["yes", "no", "yes"], category="a"), *ask(["yes", "no"], category="b")]
    replies = ["yes", "Yes it is", "who knows", "yes", "no"]
    # VLMEvalKit: the unreadable reply is no yes. 2 tp, 1 fp, 1 fn: 4 / 6; the official rule takes it for yes: 3 tp, 1 fp: 6 / 7
    assert value(presence.POPE_F1_VLMEVALKIT, questions, [*replies]) == pytest.approx(4 / 6)
    assert value(presence.POPE_F1, questions, [*replies]) == pytest.approx(6 / 7)
    # a: 2 tp, 1 fp: 4 / 5; b: 1 tp: 1; their mean
    assert value(presence.POPE_F1_SETS, questions, [*replies]) == pytest.approx((4 / 5 + 1) / 2)
    assert value(presence.POPE_F1_SETS, questions[:3], [*replies[:3]]) == pytest.approx(4 / 5)


def test_a_figure_counts_once_and_only_if_all_its_questions_are_right() -> None:
    questions = [*ask(["yes", "no"], figure_id=1), *ask(["no"], figure_id=2)]
    table = presence.HALLUSION_FIGURE.columns(questions, ["yes", "no", "no"])
    assert table.tolist() == [[1, 1], [0, 0], [1, 1]]
    assert presence.HALLUSION_FIGURE.columns(questions, ["yes", "yes", "no"]).tolist() == [[0, 1], [0, 0], [1, 1]]


def categorised(*rows: tuple[str, str]) -> list[Question]:
    return [Question(str(n), "q", (gold,), group=str(n), meta={"category": kind}) for n, (gold, kind) in enumerate(rows)]


def test_shares_of_yes() -> None:
    questions = categorised(("yes", "a"), ("yes", "a"), ("Yes.", "b"), ("no", "a"), ("no", "b"), ("cat", "b"))
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
    assert not applies(categorised(("yes", "a"), ("cat", "a")))
    assert describe(categorised(("no", "a")), ["yes"], {}, scores_of) is None


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
    assert sets_of(categorised(("yes", "a")), ["yes"]) is None
