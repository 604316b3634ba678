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


def _f1_mean_of(name: str, read: Callable[[str], str], key: str) -> Metric:
    """The mean of the F1 of each value of the meta key `key`: four columns for each, of which the last is its weight."""
    pooled = _f1(name, read)

    def columns(questions: Sequence[Question], replies: Sequence[Reply]) -> Columns:
        rows, found = pooled.columns(questions, replies), [str(question.meta.get(key)) for question in questions]
        sets = sorted(set(found))
        table = np.zeros((len(questions), len(sets), 4))
        for index, value in enumerate(found):
            table[index, sets.index(value)] = rows[index]
        return np.concatenate([table.reshape(len(questions), -1), rows[:, -1:]], axis=1)

    def value(sums: Columns) -> Columns:
        counts = sums[..., :-1].reshape(*sums.shape[:-1], -1, 4)
        present = counts[..., -1] > 0
        return (f1(counts) * present).sum(axis=-1) / np.maximum(1, present.sum(axis=-1))

    return Metric(name, columns, value)


def _yes_or_no(reply: str) -> str:
    """VLMEvalKit's reading: what says neither word, or both, is no yes."""
    return metrics.yes_or_no(reply) or "no"


POPE_F1 = _f1("f1_official", metrics.pope_answer)
POPE_F1_SETS = _f1_mean_of("f1_mean_of_sets", metrics.pope_answer, "category")
POPE_F1_LMMS = _f1("f1_lmms_eval", metrics.pope_answer_lmms)
POPE_F1_VLMEVALKIT = _f1("f1_vlmevalkit", _yes_or_no)
POPE_ACCURACY = each("accuracy_official", lambda reply, question: float(metrics.pope_answer(reply) == _gold(question)))
POPE_ACCURACY_LMMS = each("accuracy_lmms_eval", lambda reply, question: float(metrics.pope_answer_lmms(reply) == _gold(question)))
POPE_YES_RATIO = each("yes_ratio", lambda reply, _: float(metrics.pope_answer(reply) == "yes"))


def _right(question: Question, reply: Reply) -> bool:
    return reply is not None and metrics.yes_or_no(reply) == _gold(question)


def all_right(
    name: str,
    key: Callable[[Question], Hashable],
    right: Callable[[Question, Reply], bool],
    scope: Callable[[Question], bool] = lambda _: True,
) -> Metric:
    """The share of groups all of whose questions are right, of those within `scope`; a group's point stands with its first."""

    def columns(questions: Sequence[Question], replies: Sequence[Reply]) -> Columns:
        table = np.zeros((len(questions), 2))
        first: dict[Hashable, int] = {}
        for index, (question, reply) in enumerate(zip(questions, replies, strict=True)):
            if scope(question):
                row = first.setdefault(key(question), index)
                if row == index:
                    table[row] = 1.0
                table[row, 0] *= right(question, reply)
        return table

    return Metric(name, columns)


def meta_key(*keys: str) -> Callable[[Question], Hashable]:
    return lambda question: tuple(str(question.meta.get(key)) for key in keys)


HALLUSION_ALL = each("a_acc", lambda reply, question: float(_right(question, reply)))
HALLUSION_FIGURE = all_right("f_acc", meta_key("category", "subcategory", "set_id", "figure_id"), _right)
HALLUSION_QUESTION = all_right("q_acc", meta_key("category", "subcategory", "set_id", "question_id"), _right)
