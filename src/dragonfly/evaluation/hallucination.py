"""Does the model say yes to what is not there? Yes/no questions of any task, and HallusionBench's sets of them.

A reply is read as yes or no where exactly one of the two words stands in it; any other counts as neither. POPE's own reading
and its yes ratio are among that task's metrics. Knows no file and no table.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from . import metrics
from .questions import Question
from .scorers import Metric, Reply, each


def _gold(question: Question) -> str | None:
    forms = {metrics.normalize_vqa(answer) for answer in question.answers}
    return forms.pop() if forms in ({"yes"}, {"no"}) else None


def _is(*golds: str) -> Callable[[Question], bool]:
    return lambda question: _gold(question) in golds


def _says(word: str | None) -> Callable[[str, Question], float]:
    return lambda reply, _: float(metrics.yes_or_no(reply) == word)


YES_NO = _is("yes", "no")
YES_TRUE = each("yes_true", lambda _, question: float(_gold(question) == "yes"), YES_NO)
TABLE = (
    each("yes_said", _says("yes"), YES_NO),
    each("false_yes", _says("yes"), _is("no")),  # of the questions whose answer is no
    each("false_no", _says("no"), _is("yes")),
    each("neither", _says(None), YES_NO),
)
METRICS: tuple[Metric, ...] = (YES_TRUE, *TABLE)

SETS = {
    "figure": ("category", "subcategory", "set_id", "figure_id"),
    "question": ("category", "subcategory", "set_id", "question_id"),
}


def applies(questions: Sequence[Question]) -> bool:
    """Whether some answers are yes and some are no, so that a habit of saying either can be seen."""
    return {"yes", "no"} <= {_gold(question) for question in questions}


def sets_of(questions: Sequence[Question], replies: Sequence[Reply]) -> dict[str, dict[str, int]] | None:
    """HallusionBench: of the sets of two or more questions on one figure, or of one question on several figures, how many are
    answered all right, some right, none right. None for a task whose rows do not say their sets.
    """
    if not all(key in question.meta for question in questions for keys in SETS.values() for key in keys):
        return None
    found = {name: _count(questions, replies, keys) for name, keys in SETS.items()}
    return found if any(sum(counts.values()) for counts in found.values()) else None


def _count(questions: Sequence[Question], replies: Sequence[Reply], keys: Sequence[str]) -> dict[str, int]:
    groups: dict[Hashable, list[bool]] = {}
    for question, reply in zip(questions, replies, strict=True):
        right = reply is not None and metrics.yes_or_no(reply) == _gold(question)
        groups.setdefault(tuple(str(question.meta[key]) for key in keys), []).append(right)
    several = [group for group in groups.values() if len(group) > 1]
    every, none = sum(all(group) for group in several), sum(not any(group) for group in several)
    return {"all right": every, "some right": len(several) - every - none, "none right": none}


def describe(
    questions: Sequence[Question],
    replies: Sequence[Reply],
    baselines: Mapping[str, Sequence[Reply]],
    score: Callable[..., dict[str, Any]],
) -> dict[str, Any] | None:
    """{"rows": {"all" or a category: {metric: score}}, "baselines": {name: {metric: score}}, "sets": ...}; None without yes/no
    questions of both answers.

    `baselines` are the replies of the same model without its image or with another: a yes that stays is a habit.
    `score(metrics, questions, replies)` gives each metric its interval.
    """
    if not applies(questions):
        return None
    rows: dict[str, list[int]] = {"all": [*range(len(questions))]}
    for index, question in enumerate(questions):
        if isinstance(category := question.meta.get("category"), str):
            rows.setdefault(f"category {category}", []).append(index)
    table: dict[str, Any] = {}
    for name in ["all", *sorted(set(rows) - {"all"})]:
        some, said = [questions[i] for i in rows[name]], [replies[i] for i in rows[name]]
        known = [metric for metric in METRICS if metric.columns(some, said)[:, -1].any()]
        if known:
            table[name] = score(known, some, said)
    others = {name: score(METRICS, questions, said) for name, said in baselines.items()}
    return {"rows": table, "baselines": others, "sets": sets_of(questions, replies)}
