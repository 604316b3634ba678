"""Metrics of questions whose answer is a letter; `answers[0]` is the letter, or MMMU's accepted texts."""

from collections.abc import Callable, Mapping

from .. import metrics
from ..questions import Question
from .base import Metric, each


def _letter(name: str, parse: Callable[[str], str | None], *, any_case: bool = False) -> Metric:
    def score(reply: str, question: Question) -> float:
        said, meant = parse(reply), question.answers[0]
        return float(said is not None and (said.upper() == meant.upper() if any_case else said == meant))

    return each(name, score)


def _options(question: Question) -> dict[str, str]:
    return dict(zip(metrics.LETTERS, question.options, strict=False))


def _mmmu(parse: Callable[[str, Mapping[str, str]], str | None]) -> Callable[[str, Question], float]:
    def score(reply: str, question: Question) -> float:
        if not question.options:
            return metrics.mmmu_open(reply, question.answers)
        return float(metrics.mmmu_choice(reply, _options(question), question.id, parse) == question.answers[0])

    return score


AI2D = _letter("accuracy", metrics.ai2d_letter, any_case=True)
SCIENCE_QA = _letter("accuracy_lmms_eval", metrics.science_qa_letter_lmms)
SCIENCE_QA_LLAVA = _letter("accuracy_llava", metrics.science_qa_letter)
VLMEVALKIT = each(
    "accuracy_vlmevalkit",
    lambda reply, question: float(metrics.vlmevalkit_letter(reply, _options(question)) == question.answers[0]),
)
MMMU = each("accuracy_official", _mmmu(metrics.mmmu_letter))
MMMU_LMMS = each("accuracy_lmms_eval", _mmmu(metrics.mmmu_letter_lmms))
