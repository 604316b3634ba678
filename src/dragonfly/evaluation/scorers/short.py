"""Metrics of short answers: exact match, closed questions, words in common, numbers within a tolerance."""

from collections.abc import Callable

from .. import metrics
from ..questions import Question
from .base import each


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
