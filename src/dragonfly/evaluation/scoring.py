"""From predictions to scores: every metric with its interval, beside its baselines, and broken down by what the rows state.

Scores depend on the predictions alone, to the last digit written: not on time, paths or random state.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .controls import random_options
from .metrics import Metric, Reply, mean, presence
from .question import Question
from .statistics import Columns, calibration, interval, paired_p
from .tasks import TaskSpec

Records = list[dict[str, Any]]
FEW_VALUES = 20  # a meta key with more values than this breaks nothing down unless it is asked for


def score_task(
    task: TaskSpec, variants: dict[str, Records], majority: dict[str, str] | None, by: tuple[str, ...] = ()
) -> dict[str, Any]:
    """One task's part of scores.json.

    `variants` holds the predictions of `model`; of `blind` and `shuffled_image` where these were asked; and of `majority` where a
    judge graded it. ValueError where a baseline answers other questions.
    """
    records = variants["model"]
    questions, replies = read_records(records)
    questions = with_modality(task.name, questions)
    scored = applicable(task.metrics, questions)
    named: dict[str, list[Reply]] = {}
    result: dict[str, Any] = {
        "questions": len(records),
        "images": len({(question.group, question.images) for question in questions if question.images}),
        "groups": len({question.group for question in questions if question.images}),
        "split": task.split,
        "source": task.source,
        "medical": any("modality" in question.meta for question in questions),
        "broken": [{"id": record["id"], "error": record["error"]} for record in records if "error" in record],
        "scores": scores_of(scored, questions, replies),
        "baselines": {},
    }
    if majority:
        judged = variants.get("majority")
        named["majority"] = [majority["answer"]] * len(questions) if judged is None else read_records(judged)[1]
        result["baselines"]["majority"] = {**majority, **against(scored, questions, replies, named["majority"])}
        if letters := random_options(questions):
            named["random"] = [*letters]
            result["baselines"]["random"] = against(scored, questions, replies, named["random"])
    for variant in ("blind", "shuffled_image"):
        if baseline := variants.get(variant):
            if [record["id"] for record in baseline] != [record["id"] for record in records]:
                raise ValueError(f"task {task.name!r}: {variant} does not answer the model's questions; finish the run")
            named[variant] = read_records(baseline)[1]
            result["baselines"][variant] = against(scored, questions, replies, named[variant])
    keys = by or dict.fromkeys((*(task.breakdown or _few_valued(questions)), "modality"))
    result["breakdown"] = {key: table for key in keys if (table := _breakdown(scored, questions, replies, key, named))}
    texts = {name: [record.get("reply") for record in asked] for name, asked in variants.items() if name != "majority"}
    result["hallucination"] = presence.describe(questions, texts.pop("model"), texts, scores_of)
    result["calibration"] = _calibration(scored, questions, records)
    return result


def item_scores(
    metrics: Sequence[Metric], questions: Sequence[Question], replies: Sequence[Reply]
) -> tuple[str, list[float]] | None:
    """The first metric that scores every question by itself, and those scores; None where there is no such metric."""
    for metric in metrics:
        columns = metric.columns(questions, replies)
        if metric.value is mean and columns[:, -1].all():
            return metric.name, (columns[:, 0] / columns[:, 1]).tolist()
    return None


def _calibration(metrics: Sequence[Metric], questions: Sequence[Question], records: Records) -> dict[str, Any] | None:
    """The calibration of the confidences under the metric that it names; None without confidences, or where a score exceeds 1
    (CIDEr)."""
    scored = item_scores(metrics, questions, read_records(records)[1])
    if scored is None or max(scored[1]) > 1:
        return None
    curve = calibration([record.get("confidence") for record in records], scored[1])
    return {"metric": scored[0], **curve} if curve else None


def read_records(records: Records) -> tuple[list[Question], list[Reply]]:
    """The questions and replies in predictions; a judge's verdict takes the place of the reply that it is about."""
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


def applicable(metrics: Sequence[Metric], questions: Sequence[Question]) -> list[Metric]:
    """The metrics in which at least one of these questions has weight."""
    return [metric for metric in metrics if any(map(metric.scope, questions))]


def scores_of(metrics: Sequence[Metric], questions: Sequence[Question], replies: Sequence[Reply]) -> dict[str, Any]:
    """{metric: {value, low, high, n}}."""
    return {metric.name: _score(metric, questions, replies) for metric in metrics}


def _score(metric: Metric, questions: Sequence[Question], replies: Sequence[Reply]) -> dict[str, Any]:
    """{value, low, high, n}; low and high are None with a single image."""
    columns = metric.columns(questions, replies)
    bounds = interval(columns, _groups(questions), metric.value)
    low, high = (None, None) if bounds is None else (round(bounds[0], 6), round(bounds[1], 6))
    return {"value": _value(metric, columns), "low": low, "high": high, "n": int((columns[:, -1] > 0).sum())}


def _value(metric: Metric, columns: Columns) -> float:
    return round(float(metric.value(columns.sum(axis=0))), 6)


def _groups(questions: Sequence[Question]) -> list[str]:
    return [question.group for question in questions]


def against(
    metrics: Sequence[Metric], questions: Sequence[Question], replies: Sequence[Reply], others: Sequence[Reply]
) -> dict[str, Any]:
    """{"scores": {metric: {value, low, high, n, p}}} of `others`; `p` tests its difference from `replies` (paired, two-sided)."""
    scores: dict[str, Any] = {}
    for metric in metrics:
        sides = metric.columns(questions, replies), metric.columns(questions, others)
        p = paired_p(*sides, _groups(questions), metric.value)
        scores[metric.name] = {**_score(metric, questions, others), "p": None if p is None else round(p, 6)}
    return {"scores": scores}


def _few_valued(questions: Sequence[Question]) -> tuple[str, ...]:
    """Meta keys with 2 to `FEW_VALUES` plain values."""
    values: dict[str, set[str]] = {}
    for question in questions:
        for key, value in question.meta.items():
            if isinstance(value, str | int | float | bool):
                values.setdefault(key, set()).add(str(value))
    return tuple(sorted(key for key, different in values.items() if 2 <= len(different) <= FEW_VALUES))


def _breakdown(
    metrics: Sequence[Metric],
    questions: Sequence[Question],
    replies: Sequence[Reply],
    key: str,
    baselines: dict[str, list[Reply]],
) -> dict[str, Any]:
    """Scores of the questions that share a value of `key`; a list (several capabilities) counts under each of its values.

    An empty value is NOT_STATED. Each score also holds those of the baselines on the same questions.
    """
    rows: dict[str, list[int]] = {}
    for index, question in enumerate(questions):
        value = question.meta.get(key)
        for one in [] if value is None else value if isinstance(value, list) else [value]:
            rows.setdefault(str(one).strip() or NOT_STATED, []).append(index)
    table: dict[str, Any] = {}
    for value in sorted(rows):
        subset, predictions = [questions[i] for i in rows[value]], [replies[i] for i in rows[value]]
        known = applicable(metrics, subset)
        table[value] = scores_of(known, subset, predictions)
        others = {name: [baseline[i] for i in rows[value]] for name, baseline in baselines.items()}
        for metric in known:
            table[value][metric.name]["baselines"] = {
                name: _value(metric, metric.columns(subset, other)) for name, other in others.items()
            }
    return table


XRAY, CT, MRI, HISTOPATHOLOGY, GROSS = "X-ray", "CT", "MRI", "histopathology", "gross"
NOT_STATED = "not stated"

_SPELLINGS = {
    XRAY: "xray x-ray cxr xr cr dx radiograph plain-film chest-x-ray chest-xray chest-radiograph",
    CT: "ct computed-tomography ct-scan",
    MRI: "mri mr magnetic-resonance-imaging magnetic-resonance",
    HISTOPATHOLOGY: "histopathology histology microscopy sm h-e",
    GROSS: "gross gross-pathology macroscopy",
}
_MODALITIES = {word: name for name, words in _SPELLINGS.items() for word in words.split()}

_MODALITY_OF_TASK = {  # by the first part of a task's name, so that variants of a task need no entry of their own
    "cxr": XRAY,
    "iu_xray": XRAY,
    "mimic_cxr": XRAY,
    "peir_gross": GROSS,
    "vqa_rad": NOT_STATED,
    "slake": NOT_STATED,
    "path_vqa": NOT_STATED,
    "roco": NOT_STATED,
}


def canonical_modality(word: str) -> str:
    """One spelling of a modality (`Chest X-Ray`, `CXR` -> `X-ray`); a word that is none of the five stays as it is."""
    return _MODALITIES.get(re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-"), word.strip() or NOT_STATED)


def with_modality(task: str, questions: Sequence[Question]) -> list[Question]:
    """The questions with `modality` in their meta, in one spelling for all data sets.

    It is what the row's meta states, else the task's; NOT_STATED where neither does, never a guess from image or question. The
    questions come back unchanged where neither any row nor the task has a modality.
    """
    usual = next((name for start, name in _MODALITY_OF_TASK.items() if task == start or task.startswith(f"{start}_")), None)
    if usual is None and not any(_stated(question) for question in questions):
        return list(questions)
    stated = [canonical_modality(_stated(question) or usual or NOT_STATED) for question in questions]
    return [replace(one, meta={**one.meta, "modality": word}) for one, word in zip(questions, stated, strict=True)]


def _stated(question: Question) -> str:
    value = question.meta.get("modality")
    return value.strip() if isinstance(value, str) else ""
