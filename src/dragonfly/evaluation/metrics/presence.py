"""Hallucination: yes/no questions about what may not be there, POPE's F1 and HallusionBench's sets of questions.

POPE: RUCAIBox/POPE `evaluate.py`; the readings of lmms-eval and VLMEvalKit have names of their own. The last part works on any
task with yes/no questions (`describe`): how often the model replies yes, and how often that is wrong.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ..question import Question
from ..statistics import Columns
from .base import Metric, Reply, each
from .short import yes_or_no
from .text import normalize_vqa

# -- POPE


def pope_answer(reply: str) -> Literal["yes", "no"]:
    """Up to the first full stop, commas removed: "No", "no" or "not" among the words is no; everything else is yes."""
    spoken = reply.partition(".")[0].replace(",", "").split(" ")
    return "no" if {"No", "not", "no"} & set(spoken) else "yes"


def pope_answer_lmms(reply: str) -> str:
    """lmms-eval's reading: the stripped reply in lower case; only "yes" and "no" themselves count ("Yes." is neither)."""
    return reply.strip().lower()


def pope_outcome(predicted: str, label: str) -> Literal["tp", "fp", "tn", "fn"]:
    """True or false positive or negative; yes is the positive class."""
    if label == "yes":
        return "tp" if predicted == "yes" else "fn"
    return "fp" if predicted == "yes" else "tn"


def _label(question: Question) -> str:
    return normalize_vqa(question.answers[0])


def f1(sums: Columns) -> Columns:
    """(true positives, false positives, false negatives, weight) -> F1; 0 where all three are 0."""
    true_positives, false_positives, false_negatives = sums[..., 0], sums[..., 1], sums[..., 2]
    total = 2 * true_positives + false_positives + false_negatives
    return np.divide(2 * true_positives, total, out=np.zeros(sums.shape[:-1]), where=total > 0)


def _f1(name: str, parse: Callable[[str], str]) -> Metric:
    """F1 of the class yes.

    A reply that `parse` reads as neither yes nor no is in no count, as in lmms-eval; a question without reply counts as wrong.
    """

    def row(question: Question, reply: Reply) -> tuple[float, float, float, float]:
        label = _label(question)
        predicted = ("no" if label == "yes" else "yes") if reply is None else parse(reply)
        if predicted not in ("yes", "no"):
            return 0.0, 0.0, 0.0, 1.0
        outcome = pope_outcome(predicted, label)
        return float(outcome == "tp"), float(outcome == "fp"), float(outcome == "fn"), 1.0

    def columns(questions: Sequence[Question], replies: Sequence[Reply]) -> Columns:
        return np.array([row(*pair) for pair in zip(questions, replies, strict=True)], dtype=np.float64).reshape(-1, 4)

    return Metric(name, columns, f1)


def _f1_mean_of(name: str, parse: Callable[[str], str], key: str) -> Metric:
    """The mean of the F1 of each value of the meta key `key`: four columns per value, of which the last is its weight."""
    pooled = _f1(name, parse)

    def columns(questions: Sequence[Question], replies: Sequence[Reply]) -> Columns:
        rows, values = pooled.columns(questions, replies), [str(question.meta.get(key)) for question in questions]
        sets = sorted(set(values))
        table = np.zeros((len(questions), len(sets), 4))
        for index, value in enumerate(values):
            table[index, sets.index(value)] = rows[index]
        return np.concatenate([table.reshape(len(questions), -1), rows[:, -1:]], axis=1)

    def value(sums: Columns) -> Columns:
        counts = sums[..., :-1].reshape(*sums.shape[:-1], -1, 4)
        present = counts[..., -1] > 0
        return (f1(counts) * present).sum(axis=-1) / np.maximum(1, present.sum(axis=-1))

    return Metric(name, columns, value)


def _vlmevalkit_answer(reply: str) -> str:
    """VLMEvalKit's reading: a reply with neither word, or with both, is a no."""
    return yes_or_no(reply) or "no"


POPE_F1 = _f1("f1_official", pope_answer)
POPE_F1_SETS = _f1_mean_of("f1_mean_of_sets", pope_answer, "category")
POPE_F1_LMMS = _f1("f1_lmms_eval", pope_answer_lmms)
POPE_F1_VLMEVALKIT = _f1("f1_vlmevalkit", _vlmevalkit_answer)
POPE_ACCURACY = each("accuracy_official", lambda reply, question: float(pope_answer(reply) == _label(question)))
POPE_ACCURACY_LMMS = each("accuracy_lmms_eval", lambda reply, question: float(pope_answer_lmms(reply) == _label(question)))
POPE_YES_RATIO = each("yes_ratio", lambda reply, _: float(pope_answer(reply) == "yes"))

# -- HallusionBench

FIGURE = ("category", "subcategory", "set_id", "figure_id")
"""The meta keys that name a figure; `QUESTION` are those that name a question, which is asked about several figures."""
QUESTION = ("category", "subcategory", "set_id", "question_id")


def _right(question: Question, reply: Reply) -> bool:
    return reply is not None and yes_or_no(reply) == _label(question)


def all_right(
    name: str,
    keys: Sequence[str],
    right: Callable[[Question, Reply], bool],
    scope: Callable[[Question], bool] = lambda _: True,
) -> Metric:
    """The share of groups whose questions are all right, of the questions within `scope`.

    A group holds the questions with the same values of the meta `keys`; its weight is in the row of its first question.
    """

    def columns(questions: Sequence[Question], replies: Sequence[Reply]) -> Columns:
        table = np.zeros((len(questions), 2))
        first: dict[Hashable, int] = {}
        for index, (question, reply) in enumerate(zip(questions, replies, strict=True)):
            if scope(question):
                row = first.setdefault(tuple(str(question.meta.get(key)) for key in keys), index)
                if row == index:
                    table[row] = 1.0
                table[row, 0] *= right(question, reply)
        return table

    return Metric(name, columns, scope=scope)


HALLUSION_ALL = each("a_acc", lambda reply, question: float(_right(question, reply)))
HALLUSION_FIGURE = all_right("f_acc", FIGURE, _right)
HALLUSION_QUESTION = all_right("q_acc", QUESTION, _right)

# -- yes/no questions of any task


def _yes_no_label(question: Question) -> str | None:
    forms = {normalize_vqa(answer) for answer in question.answers}
    return forms.pop() if forms in ({"yes"}, {"no"}) else None


def _labelled(*labels: str) -> Callable[[Question], bool]:
    return lambda question: _yes_no_label(question) in labels


def _predicts(word: str | None) -> Callable[[str, Question], float]:
    return lambda reply, _: float(yes_or_no(reply) == word)


_YES_NO = _labelled("yes", "no")
_RATES = (
    each("yes_true", lambda _, question: float(_yes_no_label(question) == "yes"), _YES_NO),
    each("yes_said", _predicts("yes"), _YES_NO),
    each("false_yes", _predicts("yes"), _labelled("no")),  # of the questions whose answer is no
    each("false_no", _predicts("no"), _labelled("yes")),
    each("neither", _predicts(None), _YES_NO),
)
_SETS = {"figure": FIGURE, "question": QUESTION}


def applies(questions: Sequence[Question]) -> bool:
    """Whether some labels are yes and some are no; without both, a model that always replies yes looks like a good one."""
    return {"yes", "no"} <= {_yes_no_label(question) for question in questions}


def sets_of(questions: Sequence[Question], replies: Sequence[Reply]) -> dict[str, dict[str, int]] | None:
    """HallusionBench: of the sets of two or more questions on one figure, or of one question on several figures, how many are
    answered all right, some right, none right. None for a task whose rows do not name their sets.
    """
    if not all(key in question.meta for question in questions for keys in _SETS.values() for key in keys):
        return None
    sets = {name: _count(questions, replies, keys) for name, keys in _SETS.items()}
    return sets if any(sum(counts.values()) for counts in sets.values()) else None


def _count(questions: Sequence[Question], replies: Sequence[Reply], keys: Sequence[str]) -> dict[str, int]:
    groups: dict[Hashable, list[bool]] = {}
    for question, reply in zip(questions, replies, strict=True):
        right = reply is not None and yes_or_no(reply) == _yes_no_label(question)
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
    """{"rows": {"all" or a category: {metric: score}}, "baselines": {name: {metric: score}}, "sets": `sets_of`}.

    None where `applies` is false. `baselines` are the same model's replies without its image or with another one: a yes that
    stays does not depend on the image. `score(metrics, questions, replies)` gives each metric its interval.
    """
    if not applies(questions):
        return None
    rows: dict[str, list[int]] = {"all": [*range(len(questions))]}
    for index, question in enumerate(questions):
        if isinstance(category := question.meta.get("category"), str):
            rows.setdefault(f"category {category}", []).append(index)
    table: dict[str, Any] = {}
    for name in ["all", *sorted(set(rows) - {"all"})]:
        subset, predictions = [questions[i] for i in rows[name]], [replies[i] for i in rows[name]]
        known = [metric for metric in _RATES if metric.columns(subset, predictions)[:, -1].any()]
        if known:
            table[name] = score(known, subset, predictions)
    others = {name: score(_RATES, questions, predictions) for name, predictions in baselines.items()}
    return {"rows": table, "baselines": others, "sets": sets_of(questions, replies)}
