"""What holds of every metric: a broken question counts as wrong, and no weight gives 0."""

import numpy as np

from dragonfly.evaluation.metrics import mean, presence, short
from dragonfly.evaluation.question import Question


def ask(answers: list[str], **meta: object) -> list[Question]:
    return [Question(id=str(n), text="q", answers=(answer,), meta=dict(meta)) for n, answer in enumerate(answers)]


def test_a_question_that_could_not_be_asked_counts_against_the_score() -> None:
    questions, replies = ask(["yes", "no"]), [None, None]
    # official POPE takes every other text for yes, so an empty reply would be right half the time
    assert float(presence.POPE_F1.value(presence.POPE_F1.columns(questions, replies).sum(axis=0))) == 0.0
    assert presence.POPE_F1.columns(questions, replies).tolist() == [[0, 0, 1, 1], [0, 1, 0, 1]]
    for metric in (short.EXACT, short.CLOSED, short.F1, presence.POPE_ACCURACY, presence.HALLUSION_ALL):
        assert metric.columns(questions, replies).tolist() == [[0, 1], [0, 1]], metric.name


def test_a_mean_of_nothing_is_zero() -> None:
    assert mean(np.array([[0.0, 0.0], [1.0, 2.0]])).tolist() == [0.0, 0.5]
