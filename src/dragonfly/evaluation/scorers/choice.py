"""Metrics of questions whose answer is a letter; `answers[0]` is the letter, or MMMU's accepted texts."""

from collections.abc import Callable

from .. import metrics
from ..questions import Question
from .base import Metric, each


def _letter(name: str, parse: Callable[[str], str | None], *, any_case: bool = False) -> Metric:
    def score(reply: str, question: Question) -> float:
        said, meant = parse(reply), question.answers[0]
        return float(said is not None and (said.upper() == meant.upper() if any_case else said == meant))

    return each(name, score)


def _mmmu(reply: str, question: Question) -> float:
    if not question.options:
        return metrics.mmmu_open(reply, question.answers)
    options = dict(zip(metrics.LETTERS, question.options, strict=False))
    return float(metrics.mmmu_choice(reply, options, question.id) == question.answers[0])


AI2D = _letter("accuracy", metrics.ai2d_letter, any_case=True)
SCIENCE_QA = _letter("accuracy_lmms_eval", metrics.science_qa_letter_lmms)
SCIENCE_QA_LLAVA = _letter("accuracy_llava", metrics.science_qa_letter)
MMMU = each("accuracy_official", _mmmu)
