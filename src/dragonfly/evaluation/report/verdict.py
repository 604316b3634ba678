"""What a run's scores say, in a sentence: the first metric beside the best guess, and whether the image mattered.

"Above" and "below" are said of differences that a paired test finds (p < 0.05); any other is "not above", and between runs "not
significant". Where several runs are set against the first, p is Holm's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .tables import headline_metric, percent

SIGNIFICANT = 0.05


def verdict(task: dict[str, Any]) -> str:
    """`31.7 % exact match, not above always answering "No" (33.3 %).` and what the image adds."""
    metric = headline_metric(task)
    score = task["scores"][metric]
    said = f"{_percent(score['value'])} {metric.replace('_', ' ')}"
    others = {name: one["scores"][metric] for name, one in task["baselines"].items() if metric in one["scores"]}
    if not others:
        return f"{said}; compared with no baseline, so it says nothing yet."
    best = max(others, key=lambda name: others[name]["value"])
    other = others[best]
    beside = f"{_guess(best, task)} ({_percent(other['value'])})"
    found = f"{said}, {_relation(score, other)} {beside}."
    if best in ("majority", "random") and _relation(score, other) == "above":
        unseen = [name for name in ("blind", "shuffled_image") if name in others and _relation(score, others[name]) != "above"]
        if unseen:
            found += f" It is not above {_guess(unseen[0], task)} ({_percent(others[unseen[0]]['value'])}): "
            found += "the answers may not come from the image."
    if len(task["broken"]):
        found += f" {len(task['broken'])} of {task['questions']} questions could not be asked and count as wrong."
    return found


def standing(task: dict[str, Any]) -> str:
    """`above`, `not above` or `below` all baselines, or `not compared`."""
    metric = headline_metric(task)
    others = [one["scores"][metric] for one in task["baselines"].values() if metric in one["scores"]]
    if not others:
        return "not compared"
    relations = {_relation(task["scores"][metric], other) for other in others}
    return "above" if relations == {"above"} else "below" if "below" in relations else "not above"


def comparison_verdict(task: str, columns: dict[str, Sequence[dict[str, Any]]], labels: Sequence[str]) -> str:
    """`vqa_rad: runs/b (58.0 %) is above runs/a (50.0 %).` for each run after the first, by the first metric.

    Runs whose differences are not significant are ranked in no order, and it says so.
    """
    metric, (first, *rest) = next(iter(columns.items()))
    relations = [_relation(score, {**first, "p": score.get("p_holm", score.get("p"))}) for score in rest]
    told = [
        f"{label} ({_percent(score['value'])}) is {_between_runs(relation)} {labels[0]}"
        for label, score, relation in zip(labels[1:], rest, relations, strict=True)
    ]
    found = f"{task}, {metric.replace('_', ' ')}: {'; '.join(told)} ({_percent(first['value'])})."
    return found if set(relations) != {"not above"} else f"{found} Not significant: these questions rank no run above another."


def _between_runs(relation: str) -> str:
    return "not significantly different from" if relation == "not above" else relation


def _relation(score: dict[str, Any], other: dict[str, Any]) -> str:
    different = other.get("p") is not None and other["p"] < SIGNIFICANT
    if not different or score["value"] == other["value"]:
        return "not above"
    return "above" if score["value"] > other["value"] else "below"


def _guess(name: str, task: dict[str, Any]) -> str:
    if name == "majority":
        return f"always answering \u201c{' '.join(task['baselines']['majority']['answer'].split())[:60]}\u201d"
    return {
        "random": "a random option",
        "blind": "the same model without the image",
        "shuffled_image": "the same model with another question's image",
    }[name]


def _percent(value: float) -> str:
    return f"{percent({'value': value, 'low': None}).partition(' ')[0]} %"
