"""A metric as the runner and the report use it: a name, what each question adds, and how sums become a score.

A metric turns questions and replies into `columns` (n, k), the last of which is a question's weight (0 where the metric
does not apply, such as closed accuracy of an open question); `value` maps sums of columns to the score. A reply of None
is a question that could not be asked, because its image is broken: it counts as wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..intervals import Columns, Value
from ..questions import Question

Reply = str | None


def mean(sums: Columns) -> Columns:
    """Points by weight; 0 where nothing has weight."""
    return np.divide(sums[..., 0], sums[..., -1], out=np.zeros(sums.shape[:-1]), where=sums[..., -1] > 0)


@dataclass(frozen=True)
class Metric:
    """`columns(questions, replies)` -> (n, k); `value` of their sums is the score.

    `whole` is the score of a set where that is no function of sums (METEOR, BLEU); such a score has no interval.
    """

    name: str
    columns: Callable[[Sequence[Question], Sequence[Reply]], Columns]
    value: Value = mean
    whole: Callable[[Sequence[Question], Sequence[Reply]], float] | None = None


def each(name: str, score: Callable[[str, Question], float], scope: Callable[[Question], bool] = lambda _: True) -> Metric:
    """The mean of a score of single questions, over those within `scope`."""

    def columns(questions: Sequence[Question], replies: Sequence[Reply]) -> Columns:
        rows = [
            (0.0 if reply is None or not scope(question) else score(reply, question), float(scope(question)))
            for question, reply in zip(questions, replies, strict=True)
        ]
        return np.array(rows, dtype=np.float64).reshape(-1, 2)

    return Metric(name, columns)
