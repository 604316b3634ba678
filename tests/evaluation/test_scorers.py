"""Metrics over a task where they are more than the mean of single scores."""

import numpy as np
import pytest

from dragonfly.evaluation.questions import Question
from dragonfly.evaluation.scorers import Metric, judged, mean, presence, short


def ask(answers: list[str], **meta: object) -> list[Question]:
    return [Question(id=str(n), text="q", answers=(answer,), meta=dict(meta)) for n, answer in enumerate(answers)]


def value(metric: Metric, questions: list[Question], replies: list[str | None]) -> float:
    return float(metric.value(metric.columns(questions, replies).sum(axis=0)))


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


def test_to_say_that_one_cannot_tell_is_right_only_where_nothing_is_shown() -> None:
    keys = {"category": "VS", "subcategory": "chart", "set_id": "0", "question_id": "0"}
    text, shown = ask(["yes"], **keys, figure_id="0", shown=False), ask(["no"], **keys, figure_id="1", shown=True)
    questions, verdicts = [*text, *shown, *shown], ["unclear", "unclear", "correct"]
    assert judged.HALLUSION_ALL.columns(questions, [*verdicts]).tolist() == [[1, 1], [0, 1], [1, 1]]
    assert judged.HALLUSION_FIGURE.columns(questions, [*verdicts]).tolist() == [[0, 0], [0, 1], [0, 0]]
    assert judged.HALLUSION_QUESTION.columns(questions, ["unclear", "correct", "correct"]).tolist() == [[1, 1], [0, 0], [0, 0]]
    assert judged.GRADE.columns(questions, ["0.3", None, "1"]).tolist() == [[0.3, 1], [0, 1], [1, 1]]


def test_a_question_that_could_not_be_asked_counts_against_the_score() -> None:
    questions, replies = ask(["yes", "no"]), [None, None]
    # official POPE takes every other text for yes, so an empty reply would be right half the time
    assert value(presence.POPE_F1, questions, [*replies]) == 0.0
    assert presence.POPE_F1.columns(questions, replies).tolist() == [[0, 0, 1, 1], [0, 1, 0, 1]]
    for metric in (short.EXACT, short.CLOSED, short.F1, presence.POPE_ACCURACY, presence.HALLUSION_ALL):
        assert metric.columns(questions, replies).tolist() == [[0, 1], [0, 1]], metric.name


def test_a_figure_counts_once_and_only_if_all_its_questions_are_right() -> None:
    questions = [*ask(["yes", "no"], figure_id=1), *ask(["no"], figure_id=2)]
    table = presence.HALLUSION_FIGURE.columns(questions, ["yes", "no", "no"])
    assert table.tolist() == [[1, 1], [0, 0], [1, 1]]
    assert presence.HALLUSION_FIGURE.columns(questions, ["yes", "yes", "no"]).tolist() == [[0, 1], [0, 0], [1, 1]]


def test_closed_is_what_the_data_say_else_what_the_answer_shows() -> None:
    stated = Question("a", "q", ("yes",), meta={"answer_type": "OPEN"})
    assert [short.is_closed(question) for question in (stated, *ask(["Yes", "CT"]))] == [False, True, False]
    assert short.is_closed(Question("a", "q", ("CT",), options=("CT", "MRI")))


def test_a_mean_of_nothing_is_zero() -> None:
    assert mean(np.array([[0.0, 0.0], [1.0, 2.0]])).tolist() == [0.0, 0.5]
