"""Metrics as the runner and the report use them: a name, what each question adds, and how sums become a score.

A metric turns questions and replies into `columns` (n, k), the last of which is a question's weight (0 where the metric
does not apply, such as closed accuracy of an open question); `value` maps sums of columns to the score. A reply of None
is a question that could not be asked, because its picture is broken: it counts as wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from . import metrics
from .intervals import Columns, Value
from .questions import Question

Reply = str | None


def mean(sums: Columns) -> Columns:
    """Points by weight; 0 where nothing has weight."""
    return np.divide(sums[..., 0], sums[..., -1], out=np.zeros(sums.shape[:-1]), where=sums[..., -1] > 0)


@dataclass(frozen=True)
class Metric:
    """`columns(questions, replies)` -> (n, k); `value` of their sums is the score."""

    name: str
    columns: Callable[[Sequence[Question], Sequence[Reply]], Columns]
    value: Value = mean


def each(name: str, score: Callable[[str, Question], float], scope: Callable[[Question], bool] = lambda _: True) -> Metric:
    """The mean of a score of single questions, over those within `scope`."""

    def columns(questions: Sequence[Question], replies: Sequence[Reply]) -> Columns:
        rows = [
            (0.0 if reply is None or not scope(question) else score(reply, question), float(scope(question)))
            for question, reply in zip(questions, replies, strict=True)
        ]
        return np.array(rows, dtype=np.float64).reshape(-1, 2)

    return Metric(name, columns)


def is_closed(question: Question) -> bool:
    """As the data set says (`answer_type`); else where there are options, or the answer is yes or no."""
    stated = question.meta.get("answer_type")
    if isinstance(stated, str):
        return stated.strip().lower() == "closed"
    return bool(question.options) or all(metrics.is_yes_no(answer) for answer in question.answers)


def is_open(question: Question) -> bool:
    return not is_closed(question)


def _closed(reply: str, question: Question) -> float:
    return max(metrics.closed_accuracy(reply, answer, question.options) for answer in question.answers)


def _f1(clipped: bool) -> Callable[[str, Question], float]:
    return lambda reply, question: max(metrics.token_f1(reply, answer, clipped=clipped) for answer in question.answers)


EXACT = each("exact_match", lambda reply, question: metrics.exact_match(reply, question.answers))
CLOSED = each("closed_accuracy", _closed, is_closed)
CLOSED_LLAVA_MED = each(
    "closed_accuracy_llava_med",
    lambda reply, question: max(metrics.closed_accuracy_llava_med(reply, answer) for answer in question.answers),
    is_closed,
)
OPEN_RECALL = each(
    "open_recall", lambda reply, question: max(metrics.open_recall(reply, answer) for answer in question.answers), is_open
)
F1 = each("token_f1", _f1(clipped=True))
F1_OPEN = each("token_f1_open", _f1(clipped=True), is_open)
F1_UNCLIPPED = each("token_f1_unclipped", _f1(clipped=False))
F1_UNCLIPPED_OPEN = each("token_f1_unclipped_open", _f1(clipped=False), is_open)
RELAXED = each("relaxed_accuracy", lambda reply, question: metrics.relaxed_accuracy(reply, question.answers[0]))
VQA = each("vqa_accuracy", lambda reply, question: metrics.vqa_accuracy(reply, question.answers))
EXACT_SLAKE = each(
    "exact_match_slake", lambda reply, question: metrics.exact_match(reply, question.answers, metrics.normalize_slake)
)
