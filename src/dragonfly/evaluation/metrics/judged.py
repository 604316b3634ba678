"""Judged tasks: here a `reply` is the judge's verdict on the model's reply. And MM-Vet's keyword check, which needs no judge."""

from ..question import Question
from .base import Reply, each
from .presence import FIGURE, QUESTION, all_right
from .text import normalize_vqa


def keyword_share(reply: str, answer: str) -> float:
    """Share of an MM-Vet answer's `<AND>` parts that stand in the reply as whole words, the best of its `<OR>` parts.

    Not MM-Vet's score, which a judge gives.
    """
    text = f" {normalize_vqa(reply)} "

    def share(parts: list[str]) -> float:
        return sum(f" {normalize_vqa(part)} " in text for part in parts) / len(parts)

    return max(share(option.split("<AND>")) for option in answer.split("<OR>"))


def _shown(question: Question) -> bool:
    return bool(question.meta.get("shown", True))


def _right(question: Question, verdict: Reply) -> bool:
    """A model that says it cannot tell is right where no image was shown."""
    return verdict == "correct" or (verdict == "unclear" and not _shown(question))


GRADE = each("judge_score", lambda verdict, _: float(verdict))
KEYWORD = each("keyword_match_not_the_official_score", lambda reply, question: keyword_share(reply, question.answers[0]))
HALLUSION_ALL = each("a_acc_judged", lambda verdict, question: float(_right(question, verdict)))
HALLUSION_FIGURE = all_right("f_acc_judged", FIGURE, _right, _shown)
HALLUSION_QUESTION = all_right("q_acc_judged", QUESTION, _right)
