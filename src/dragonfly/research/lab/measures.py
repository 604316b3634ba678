"""What a study measures: scores of `evaluation`, each over the questions that its `where` names.

Every metric of a task is one, also those of a whole set (F1, HallusionBench's sets, BLEU, METEOR): a metric is columns of numbers
per question and a function of their sums, and that is all that intervals and tests need.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dragonfly.config import nearest
from dragonfly.evaluation import TASKS, Question, find_task
from dragonfly.evaluation.metrics import Metric, Reply, each
from dragonfly.evaluation.scoring import read_records
from dragonfly.evaluation.statistics import Columns, Value

from .study import Measure, Study, agrees

WORDS = each("words", lambda reply, _: float(len(reply.split())))


def unit(measure: Measure) -> str:
    """`words` (a count) or `share` (0 to 1; CIDEr goes to 10)."""
    return "words" if measure.metric == WORDS.name else "share"


def metrics_of(test: str) -> dict[str, Metric]:
    """The metrics of a test set, by name."""
    task = find_task(test if test in TASKS else "manifest:x")
    return {one.name: one for one in (*task.metrics, WORDS)}


def columns_of(measure: Measure, predictions: Sequence[dict[str, Any]]) -> tuple[Columns, Value]:
    """(questions, k) columns of one seed's predictions, and the score of their sums.

    A question outside the measure's `where`, or of a test set without its metric, is a row of zeros. Of each test set the
    questions inside are scored together, as a set of their own.

    Raises:
        ValueError: where no question has a weight, or test sets count the metric in different ways.
    """
    inside = [agrees(_meta(record["task"], record["answers"], record["meta"]), measure.where) for record in predictions]
    parts: list[tuple[list[int], Columns, Value]] = []
    for test in dict.fromkeys(record["task"] for record in predictions):
        metric = metrics_of(test).get(measure.metric)
        rows = [index for index, record in enumerate(predictions) if inside[index] and record["task"] == test]
        if metric is not None and rows:
            questions, replies = read_records([predictions[index] for index in rows])
            parts.append((rows, metric.columns(questions, _replies(metric, predictions, rows, replies)), metric.value))
    if not any(columns[:, -1].any() for _, columns, _ in parts):
        raise ValueError(_nothing(measure, (record["meta"] for record in predictions)))
    if len({columns.shape[1] for _, columns, _ in parts}) > 1:
        raise ValueError(f"metric {measure.metric!r} is counted in other sets on each test; name one: where: {{task: NAME}}")
    table = np.zeros((len(predictions), parts[0][1].shape[1]))
    for rows, columns, _ in parts:
        table[rows] = columns
    return table, parts[0][2]


def _replies(metric: Metric, records: Sequence[dict[str, Any]], rows: Sequence[int], replies: list[Reply]) -> list[Reply]:
    """What a metric reads: the judge's verdict where there is one; but words are those of the model."""
    return [records[index].get("reply") or "" for index in rows] if metric is WORDS else replies


def beside(tables: Sequence[Columns]) -> Columns:
    """The columns of several seeds side by side: (questions, seeds x k)."""
    return np.concatenate(tables, axis=1)


def mean_of(value: Value, seeds: int) -> Value:
    """The mean over so many seeds of a score, as a function of the sums of `beside`."""
    return lambda sums: value(sums.reshape(*sums.shape[:-1], seeds, -1)).mean(axis=-1)


def check_metrics(study: Study) -> None:
    """ValueError, with all faults, where a measure names a test set or a metric that the study does not have. Opens no file."""
    faults: list[str] = []
    for name, measure in study.measures.items():
        named = measure.where.get("task")
        wanted = study.test if named is None else [named] if isinstance(named, str) else named
        faults += [f"measures.{name}: test set {nearest(test, study.test)}" for test in wanted if test not in study.test]
        known = dict.fromkeys(metric for test in wanted for metric in metrics_of(test) if test in study.test)
        if known and measure.metric not in known:
            faults.append(f"measures.{name}: metric {nearest(measure.metric, known)}")
    if faults:
        raise ValueError("; ".join(faults))


def check_questions(study: Study, questions: Sequence[Sequence[Question]]) -> None:
    """ValueError, with all faults, where a measure counts none of the questions of the test sets, given in the study's order."""
    pairs = [(test, one) for test, asked in zip(study.test, questions, strict=True) for one in asked]
    faults: list[str] = []
    for name, measure in study.measures.items():
        inside = [(test, one) for test, one in pairs if agrees(_meta(test, one.answers, one.meta), measure.where)]
        known = {test: metrics_of(test).get(measure.metric) for test in study.test}
        if not any(metric is not None and metric.scope(one) for test, one in inside for metric in (known[test],)):
            faults.append(f"measures.{name}: {_nothing(measure, (one.meta for _, one in pairs))}")
    if faults:
        raise ValueError("; ".join(faults))


def _meta(test: str, answers: Sequence[str], meta: dict[str, Any]) -> dict[str, Any]:
    return {**meta, "answer": answers[0], "task": test}


def _nothing(measure: Measure, metas: Iterable[dict[str, Any]]) -> str:
    known = sorted({key for meta in metas for key in meta})
    return (
        f"no question agrees with where={measure.where} and metric {measure.metric!r}; meta keys here: "
        f"{', '.join(known) or 'none'}, answer, task"
    )
