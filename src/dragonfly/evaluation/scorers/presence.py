"""Metrics of hallucination: POPE's F1 and yes ratio, HallusionBench's accuracies per question, figure and pair."""

from collections.abc import Callable, Hashable, Sequence

import numpy as np

from .. import metrics
from ..intervals import Columns
from ..questions import Question
from .base import Metric, Reply, each


def _gold(question: Question) -> str:
    return metrics.normalize_vqa(question.answers[0])


def f1(sums: Columns) -> Columns:
    """(true positives, false positives, false negatives, weight) -> F1; 0 where there is nothing to find."""
    found, wrong, missed = sums[..., 0], sums[..., 1], sums[..., 2]
    total = 2 * found + wrong + missed
    return np.divide(2 * found, total, out=np.zeros(sums.shape[:-1]), where=total > 0)


def _f1(name: str, read: Callable[[str], str]) -> Metric:
    """F1 of saying yes. A reply that `read` takes for neither counts nowhere, as in lmms-eval; one that is not there is wrong."""

    def row(question: Question, reply: Reply) -> tuple[float, float, float, float]:
        gold = _gold(question)
        said = ("no" if gold == "yes" else "yes") if reply is None else read(reply)
        if said not in ("yes", "no"):
            return 0.0, 0.0, 0.0, 1.0
        outcome = metrics.pope_outcome(said, gold)
        return float(outcome == "tp"), float(outcome == "fp"), float(outcome == "fn"), 1.0

    def columns(questions: Sequence[Question], replies: Sequence[Reply]) -> Columns:
        return np.array([row(*pair) for pair in zip(questions, replies, strict=True)], dtype=np.float64).reshape(-1, 4)

    return Metric(name, columns, f1)


POPE_F1 = _f1("f1_official", metrics.pope_answer)
POPE_F1_LMMS = _f1("f1_lmms_eval", metrics.pope_answer_lmms)
POPE_ACCURACY = each("accuracy_official", lambda reply, question: float(metrics.pope_answer(reply) == _gold(question)))
POPE_ACCURACY_LMMS = each("accuracy_lmms_eval", lambda reply, question: float(metrics.pope_answer_lmms(reply) == _gold(question)))
POPE_YES_RATIO = each("yes_ratio", lambda reply, _: float(metrics.pope_answer(reply) == "yes"))


def _right(question: Question, reply: Reply) -> bool:
    return reply is not None and metrics.yes_or_no(reply) == _gold(question)


def _all_right(name: str, key: Callable[[Question], Hashable]) -> Metric:
    """The share of groups all of whose questions are right; a group's point stands with its first question."""

    def columns(questions: Sequence[Question], replies: Sequence[Reply]) -> Columns:
        table = np.zeros((len(questions), 2))
        first: dict[Hashable, int] = {}
        for index, (question, reply) in enumerate(zip(questions, replies, strict=True)):
            row = first.setdefault(key(question), index)
            if row == index:
                table[row] = 1.0
            table[row, 0] *= _right(question, reply)
        return table

    return Metric(name, columns)


def _meta(*keys: str) -> Callable[[Question], Hashable]:
    return lambda question: tuple(str(question.meta.get(key)) for key in keys)


HALLUSION_ALL = each("a_acc", lambda reply, question: float(_right(question, reply)))
HALLUSION_FIGURE = _all_right("f_acc", _meta("category", "subcategory", "set_id", "figure_id"))
HALLUSION_QUESTION = _all_right("q_acc", _meta("category", "subcategory", "set_id", "question_id"))
