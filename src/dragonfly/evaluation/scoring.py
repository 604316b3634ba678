"""From predictions to scores: every metric with its interval, beside the baselines, and broken down.

Promises that scores depend on the predictions alone, to the last digit written: no time, no path, no randomness.
Knows no model.
"""

from collections.abc import Sequence
from typing import Any

from . import intervals
from .questions import Question
from .scorers import Metric, Reply
from .tasks import TaskSpec

Records = list[dict[str, Any]]
FEW_VALUES = 20  # a meta key with more values than this breaks nothing down unless it is asked for


def score_task(
    task: TaskSpec, variants: dict[str, Records], majority: dict[str, str] | None, by: tuple[str, ...] = ()
) -> dict[str, Any]:
    """One task's part of scores.json.

    `variants` holds the predictions of `model`, `no_picture` and `shuffled_picture` where they were asked, and of `majority`
    where a judge read it. ValueError where a baseline answers other questions.
    """
    records = variants["model"]
    questions, replies = read_records(records)
    scored = applicable(task.metrics, questions, replies)
    result: dict[str, Any] = {
        "questions": len(records),
        "pictures": len({question.group for question in questions if question.images}),
        "split": task.split,
        "source": task.source,
        "broken": [{"id": record["id"], "error": record["error"]} for record in records if "error" in record],
        "scores": scores_of(scored, questions, replies),
        "baselines": {},
    }
    if majority:
        judged = variants.get("majority")
        constant: list[Reply] = [majority["answer"]] * len(questions) if judged is None else read_records(judged)[1]
        result["baselines"]["majority"] = {**majority, **against(scored, questions, replies, constant)}
    for variant in ("no_picture", "shuffled_picture"):
        if theirs := variants.get(variant):
            if [record["id"] for record in theirs] != [record["id"] for record in records]:
                raise ValueError(f"task {task.name!r}: {variant} does not answer the model's questions; finish the run")
            result["baselines"][variant] = against(scored, questions, replies, read_records(theirs)[1])
    keys = by or task.breakdown or _few_valued(questions)
    result["breakdown"] = {key: table for key in keys if (table := _breakdown(scored, questions, replies, key))}
    return result


def read_records(records: Records) -> tuple[list[Question], list[Reply]]:
    """The questions and replies that predictions hold; where a judge read a reply, its verdict stands for it."""
    return [_question(record) for record in records], [record.get("verdict", record.get("reply")) for record in records]


def _question(record: dict[str, Any]) -> Question:
    return Question(
        id=record["id"],
        text=record["question"],
        answers=tuple(record["answers"]),
        images=tuple(record["pictures"]),
        group=record["group"],
        options=tuple(record["options"]),
        meta=record["meta"],
    )


def applicable(metrics: Sequence[Metric], questions: Sequence[Question], replies: Sequence[Reply]) -> list[Metric]:
    """The metrics that say something of these questions."""
    return [metric for metric in metrics if metric.columns(questions, replies)[:, -1].any()]


def scores_of(metrics: Sequence[Metric], questions: Sequence[Question], replies: Sequence[Reply]) -> dict[str, Any]:
    """{metric: {value, low, high, n}}."""
    return {metric.name: _score(metric, questions, replies) for metric in metrics}


def _score(metric: Metric, questions: Sequence[Question], replies: Sequence[Reply]) -> dict[str, Any]:
    """{value, low, high, n}; low and high are None where one picture leaves nothing to draw, or a score has no interval."""
    columns = metric.columns(questions, replies)
    n = int((columns[:, -1] > 0).sum())
    if metric.whole is not None:
        return {"value": round(metric.whole(questions, replies), 6), "low": None, "high": None, "n": n}
    found = intervals.interval(columns, _groups(questions), metric.value)
    low, high = (None, None) if found is None else (round(found[0], 6), round(found[1], 6))
    return {"value": round(float(metric.value(columns.sum(axis=0))), 6), "low": low, "high": high, "n": n}


def _groups(questions: Sequence[Question]) -> list[str]:
    return [question.group for question in questions]


def against(
    metrics: Sequence[Metric], questions: Sequence[Question], ours: Sequence[Reply], theirs: Sequence[Reply]
) -> dict[str, Any]:
    """The scores of `theirs`, and for each metric the p of `ours` differing from them by chance."""
    scores: dict[str, Any] = {}
    for metric in metrics:
        p = None
        if metric.whole is None:
            sides = metric.columns(questions, ours), metric.columns(questions, theirs)
            p = intervals.paired_p(*sides, _groups(questions), metric.value)
        scores[metric.name] = {**_score(metric, questions, theirs), "p": None if p is None else round(p, 6)}
    return {"scores": scores}


def _few_valued(questions: Sequence[Question]) -> tuple[str, ...]:
    """Meta keys with 2 to `FEW_VALUES` plain values."""
    values: dict[str, set[str]] = {}
    for question in questions:
        for key, value in question.meta.items():
            if isinstance(value, str | int | float | bool):
                values.setdefault(key, set()).add(str(value))
    return tuple(sorted(key for key, found in values.items() if 2 <= len(found) <= FEW_VALUES))


def _breakdown(metrics: Sequence[Metric], questions: Sequence[Question], replies: Sequence[Reply], key: str) -> dict[str, Any]:
    """Scores of the questions that share a value of `key`; a list (several capabilities) counts under each of its values."""
    rows: dict[str, list[int]] = {}
    for index, question in enumerate(questions):
        value = question.meta.get(key)
        for one in [] if value is None else value if isinstance(value, list) else [value]:
            rows.setdefault(str(one), []).append(index)
    table: dict[str, Any] = {}
    for value in sorted(rows):
        some, their_replies = [questions[i] for i in rows[value]], [replies[i] for i in rows[value]]
        table[value] = scores_of(applicable(metrics, some, their_replies), some, their_replies)
    return table
