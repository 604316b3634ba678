"""From the answers under every condition to rates, differences, curves and a verdict for each kind of evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..metrics import Metric, captions, mean
from ..question import Question
from ..statistics import Columns
from ..tasks import TaskSpec
from . import told
from .conditions import SHARES, count_of

WHOLE = ("repeated", "blind", "shuffled_image")
OF_EVIDENCE = ("deleted", "random_deleted", "only", "random_only", "swapped")


def summarize(
    task: TaskSpec, questions: Sequence[Question], records: Sequence[dict[str, Any]], *, curves: bool
) -> dict[str, Any]:
    """Rates of all conditions and, for each kind of evidence, what follows."""
    unit = told.unit_of([record["reply"] for record in records])
    metric = _metric(task, questions) if unit == "answers" else None
    tally = _Tally(questions, records, unit, metric)
    evidence = {kind: _of_kind(tally, kind, curves) for kind in told.EVIDENCE if tally.having(f"{kind}_deleted")}
    return {
        "images": len({question.group for question in questions}),
        "unit": unit,
        "metric": metric.name if metric else None,
        "score": tally.score(None, range(len(records))),
        "controls": {name: found for name in WHOLE if (found := tally.rates(name))},
        "evidence": evidence,
    }


def _metric(task: TaskSpec, questions: Sequence[Question]) -> Metric | None:
    """The first metric that scores every question by itself, with words alone."""
    if task.rubric is not None or task.metrics in (captions.PTB_FIRST, captions.PLAIN_FIRST):
        return None
    return next((one for one in task.metrics if one.value is mean and all(map(one.scope, questions))), None)


@dataclass(frozen=True)
class _Tally:
    questions: Sequence[Question]
    records: Sequence[dict[str, Any]]
    unit: told.Unit
    metric: Metric | None

    def having(self, name: str) -> list[int]:
        return [place for place, record in enumerate(self.records) if name in record["replies"]]

    def groups(self, places: Sequence[int]) -> list[str]:
        return [self.questions[place].group for place in places]

    def changes(self, name: str, places: Sequence[int]) -> list[float]:
        return [told.change(self.records[one]["reply"], self.records[one]["replies"][name], self.unit) for one in places]

    def rates(self, name: str) -> dict[str, Any] | None:
        """{changed, score} of a condition over the questions that have it; None where none has."""
        places = self.having(name)
        if not places:
            return None
        changed = told.rate(told.weighted(self.changes(name, places)), self.groups(places))
        return {"changed": changed, "score": self.score(name, places)}

    def score(self, name: str | None, places: Sequence[int]) -> dict[str, Any] | None:
        """The task's metric of the answers under a condition, or of the first ones."""
        if self.metric is None:
            return None
        texts = [self.records[one]["reply"] if name is None else self.records[one]["replies"][name] for one in places]
        columns = self.metric.columns([self.questions[one] for one in places], texts)
        return told.rate(columns, self.groups(places))


def _of_kind(tally: _Tally, kind: str, curves: bool) -> dict[str, Any]:
    places = tally.having(f"{kind}_deleted")
    groups = tally.groups(places)
    changed = {name: tally.changes(f"{kind}_{name}", places) for name in OF_EVIDENCE if name != "swapped"}
    controls = {name: found for name in OF_EVIDENCE if (found := tally.rates(f"{kind}_{name}"))}
    removed, random = (controls[name]["changed"] for name in ("deleted", "random_deleted"))
    gap = told.difference(changed["deleted"], changed["random_deleted"], groups)
    facts = [tally.records[one][kind] for one in places]
    area, overlap = (round(float(np.mean([one[name] for one in facts])), 6) for name in ("area", "random_overlap"))
    found = told.verdict(gap, removed["images"], overlap)
    return {
        "sentence": told.sentence(kind, removed, random, tally.unit),
        "verdict": found,
        "verdict_sentence": told.verdict_in_words(kind, found, gap, removed, overlap),
        "questions": len(places),
        "area": area,
        "random_overlap": overlap,
        "controls": controls,
        "needed": gap,
        "sufficient": told.difference(changed["random_only"], changed["only"], groups),
        **({"curves": _curves(tally, places)} if curves and kind == "looked" else {}),
    }


def _curves(tally: _Tally, places: Sequence[int]) -> dict[str, Any]:
    """Deletion and insertion: the share of answers that stay as 0, 1/16, ... all of the ranking is deleted, or alone is left.

    Beside it the same area elsewhere. `area` is that under each curve, by trapezoids: a ranking that says where the evidence is
    has a smaller deletion and a larger insertion area than a random place.
    """
    groups, found = tally.groups(places), dict[str, Any]()
    for name in ("deletion", "insertion"):
        own, random = (_stays(tally, f"{kind}_{name}", name, places) for kind in ("looked", "looked_random"))
        areas: list[list[float]] = [np.trapezoid(side, (0.0, *SHARES), axis=1).tolist() for side in (own, random)]  # pyright: ignore[reportAssignmentType]
        points = {
            side: [told.rate(told.weighted(column.tolist()), groups) for column in table.T]
            for side, table in (("looked", own), ("random", random))
        }
        area = {side: told.rate(told.weighted(one), groups) for side, one in zip(("looked", "random"), areas, strict=True)}
        gap = told.difference(areas[0], areas[1], groups)
        found[name] = {"shares": [0.0, *SHARES], **points, "area": {**area, "difference": gap}}
    return found


def _stays(tally: _Tally, condition: str, name: str, places: Sequence[int]) -> Columns:
    """(questions, points): 1 where the answer stays, at share 0 first."""
    start = [1.0] * len(places) if name == "deletion" else [1 - one for one in tally.changes("blank", places)]
    rows: list[list[float]] = []
    for first, place in zip(start, places, strict=True):
        record = tally.records[place]
        names = [f"{condition}_{count_of(share, record['looked']['ranked'])}" for share in SHARES]
        rows.append([first, *(1 - tally.changes(one, [place])[0] for one in names)])
    return np.array(rows)
