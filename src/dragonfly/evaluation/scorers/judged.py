"""Metrics of judged tasks, whose `reply` is the judge's verdict on the model's reply; and MM-Vet's check without a judge."""

from .. import metrics
from ..questions import Question
from .base import Reply, each
from .presence import all_right, meta_key

GRADE = each("judge_score", lambda verdict, _: float(verdict))
KEYWORD = each("keyword_match_not_the_official_score", lambda reply, question: metrics.keyword_share(reply, question.answers[0]))


def _shown(question: Question) -> bool:
    return bool(question.meta.get("shown", True))


def _right(question: Question, verdict: Reply) -> bool:
    """To say that one cannot tell is right where nothing was shown."""
    return verdict == "correct" or (verdict == "unclear" and not _shown(question))


HALLUSION_ALL = each("a_acc_judged", lambda verdict, question: float(_right(question, verdict)))
HALLUSION_FIGURE = all_right("f_acc_judged", meta_key("category", "subcategory", "set_id", "figure_id"), _right, _shown)
HALLUSION_QUESTION = all_right("q_acc_judged", meta_key("category", "subcategory", "set_id", "question_id"), _right)
