"""What a metric is: columns of numbers per question, and a function from their sums to the score.

`columns` is (n questions, k); its last column is the question's weight, 0 where the metric does not apply (closed accuracy of an
open question). Because every score is a function of column sums, each bootstrap resample of it is one sum (`statistics`).
A reply of None is a question that could not be asked because its image is broken; it counts as wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..question import Question
from ..statistics import Columns, Value

Reply = str | None


def mean(sums: Columns) -> Columns:
    """(..., k) column sums, points first and weight last -> (...) points / weight; 0 where the weight is 0."""
    return np.divide(sums[..., 0], sums[..., -1], out=np.zeros(sums.shape[:-1]), where=sums[..., -1] > 0)


@dataclass(frozen=True)
class Metric:
    """`columns(questions, replies)` is (n, k) and `value` of its sums is the score; questions outside `scope` have no weight."""

    name: str
    columns: Callable[[Sequence[Question], Sequence[Reply]], Columns]
    value: Value = mean
    scope: Callable[[Question], bool] = lambda _: True


def each(name: str, score: Callable[[str, Question], float], scope: Callable[[Question], bool] = lambda _: True) -> Metric:
    """The metric that is the mean of `score(reply, question)` over the questions within `scope`."""

    def columns(questions: Sequence[Question], replies: Sequence[Reply]) -> Columns:
        rows = [
            (0.0 if reply is None or not scope(question) else score(reply, question), float(scope(question)))
            for question, reply in zip(questions, replies, strict=True)
        ]
        return np.array(rows, dtype=np.float64).reshape(-1, 2)

    return Metric(name, columns, scope=scope)
