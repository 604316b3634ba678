"""From predictions to scores: every metric with its interval, beside the baselines, and broken down.

Promises that scores depend on the predictions alone, to the last digit written: no time, no path, no randomness.
Knows no model.
"""

from collections.abc import Sequence
from typing import Any

from . import hallucination, intervals
from .calibration import calibration
from .modality import with_modality
from .questions import Question
from .scorers import Metric, Reply, mean
from .tasks import TaskSpec

Records = list[dict[str, Any]]
FEW_VALUES = 20  # a meta key with more values than this breaks nothing down unless it is asked for


def score_task(
    task: TaskSpec, variants: dict[str, Records], majority: dict[str, str] | None, by: tuple[str, ...] = ()
) -> dict[str, Any]:
    """One task's part of scores.json.

    `variants` holds the predictions of `model`, `blind` and `shuffled_image` where they were asked, and of `majority`
    where a judge read it. ValueError where a baseline answers other questions.
    """
    records = variants["model"]
    questions, replies = read_records(records)
    questions = with_modality(task.name, questions)
    scored = applicable(task.metrics, questions, replies)
    named: dict[str, list[Reply]] = {}
    result: dict[str, Any] = {
        "questions": len(records),
        "images": len({question.group for question in questions if question.images}),
        "split": task.split,
        "source": task.source,
        "broken": [{"id": record["id"], "error": record["error"]} for record in records if "error" in record],
        "scores": scores_of(scored, questions, replies),
        "baselines": {},
    }
    if majority:
        judged = variants.get("majority")
        named["majority"] = [majority["answer"]] * len(questions) if judged is None else read_records(judged)[1]
        result["baselines"]["majority"] = {**majority, **against(scored, questions, replies, named["majority"])}
    for variant in ("blind", "shuffled_image"):
        if theirs := variants.get(variant):
            if [record["id"] for record in theirs] != [record["id"] for record in records]:
                raise ValueError(f"task {task.name!r}: {variant} does not answer the model's questions; finish the run")
            named[variant] = read_records(theirs)[1]
            result["baselines"][variant] = against(scored, questions, replies, named[variant])
    keys = by or dict.fromkeys((*(task.breakdown or _few_valued(questions)), "modality"))
    result["breakdown"] = {key: table for key in keys if (table := _breakdown(scored, questions, replies, key, named))}
    said = {name: [record.get("reply") for record in theirs] for name, theirs in variants.items() if name != "majority"}
    result["hallucination"] = hallucination.describe(questions, said.pop("model"), said, scores_of)
    result["calibration"] = _calibration(scored, questions, records)
    return result


def item_scores(
    metrics: Sequence[Metric], questions: Sequence[Question], replies: Sequence[Reply]
) -> tuple[str, list[float]] | None:
    """The first metric that scores every question by itself, and those scores; None where there is no such metric."""
    for metric in metrics:
        columns = metric.columns(questions, replies)
        if metric.whole is None and metric.value is mean and columns[:, -1].all():
            return metric.name, (columns[:, 0] / columns[:, 1]).tolist()
    return None


def _calibration(metrics: Sequence[Metric], questions: Sequence[Question], records: Records) -> dict[str, Any] | None:
    """The calibration of a run's confidences under the metric that it names; None without confidences, or where scores are no
    shares of right (CIDEr)."""
    found = item_scores(metrics, questions, read_records(records)[1])
    if found is None or max(found[1]) > 1:
        return None
    curve = calibration([record.get("confidence") for record in records], found[1])
    return {"metric": found[0], **curve} if curve else None


def read_records(records: Records) -> tuple[list[Question], list[Reply]]:
    """The questions and replies that predictions hold; where a judge read a reply, its verdict stands for it."""
    return [_question(record) for record in records], [record.get("verdict", record.get("reply")) for record in records]


def _question(record: dict[str, Any]) -> Question:
    return Question(
        id=record["id"],
        text=record["question"],
        answers=tuple(record["answers"]),
        images=tuple(record["images"]),
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
    """{value, low, high, n}; low and high are None where one image leaves nothing to draw, or a score has no interval."""
    columns = metric.columns(questions, replies)
    n, value = int((columns[:, -1] > 0).sum()), _value(metric, questions, replies)
    if metric.whole is not None:
        return {"value": value, "low": None, "high": None, "n": n}
    found = intervals.interval(columns, _groups(questions), metric.value)
    low, high = (None, None) if found is None else (round(found[0], 6), round(found[1], 6))
    return {"value": value, "low": low, "high": high, "n": n}


def _value(metric: Metric, questions: Sequence[Question], replies: Sequence[Reply]) -> float:
    columns = metric.columns(questions, replies)
    return round(metric.whole(questions, replies) if metric.whole else float(metric.value(columns.sum(axis=0))), 6)


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


def _breakdown(
    metrics: Sequence[Metric],
    questions: Sequence[Question],
    replies: Sequence[Reply],
    key: str,
    baselines: dict[str, list[Reply]],
) -> dict[str, Any]:
    """Scores of the questions that share a value of `key`; a list (several capabilities) counts under each of its values.

    Each score also holds those of the baselines on the same questions.
    """
    rows: dict[str, list[int]] = {}
    for index, question in enumerate(questions):
        value = question.meta.get(key)
        for one in [] if value is None else value if isinstance(value, list) else [value]:
            rows.setdefault(str(one), []).append(index)
    table: dict[str, Any] = {}
    for value in sorted(rows):
        some, their_replies = [questions[i] for i in rows[value]], [replies[i] for i in rows[value]]
        known = applicable(metrics, some, their_replies)
        table[value] = scores_of(known, some, their_replies)
        for metric in known:
            others = {name: [said[i] for i in rows[value]] for name, said in baselines.items()}
            table[value][metric.name]["baselines"] = {name: _value(metric, some, said) for name, said in others.items()}
    return table
