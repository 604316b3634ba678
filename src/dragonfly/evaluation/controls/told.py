"""What an audit found: how many answers a control changes, with intervals, and a verdict that says no more than that.

Intervals are 95 % bootstrap intervals over images, p is that of a paired permutation test: `statistics`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ..metrics import mean
from ..metrics.short import token_f1
from ..metrics.text import normalize_vqa, words
from ..statistics import Columns, interval, paired_p

Verdict = Literal["matters", "no more than chance", "cannot be told"]
MATTERS, NOT_MORE, UNTOLD = "matters", "no more than chance", "cannot be told"

SIGNIFICANT = 0.05
MARGIN = 0.05
"""A difference whose interval ends below this share of answers is none that anyone would rely on."""
LEAST = math.ceil(3 / MARGIN)
"""Images below which agreement proves nothing: what never happened on n of them may still happen on 3 in n (95 %)."""
SAME = 0.5  # of the evidence: where a random box takes more of it away too, the two are hardly compared
LONG = 8  # words: longer answers change by shares of their words, for hardly any two are equal

Unit = Literal["answers", "words"]
EVIDENCE = {"looked": "what it looked at", "annotated": "the annotated evidence"}


def unit_of(texts: Sequence[str]) -> Unit:
    """What changes are counted in: `words` where half of the answers to the whole images are longer than `LONG` words."""
    return "words" if np.median([len(words(text)) for text in texts]) > LONG else "answers"


def change(before: str, after: str, unit: Unit) -> float:
    """0 for the same answer to 1 for another: equal or not after normalisation, or the share of words not in common (1 - F1)."""
    if unit == "words":
        return 1 - token_f1(after, before)
    return float(normalize_vqa(before) != normalize_vqa(after))


def rate(columns: Columns, groups: Sequence[str]) -> dict[str, Any]:
    """{value, low, high, n, images} of (points, weight) rows; low and high are None with a single image."""
    ends = interval(columns, groups, mean)
    counted = columns[:, -1] > 0
    low, high = (None, None) if ends is None else (round(ends[0], 6), round(ends[1], 6))
    images = len({group for group, yes in zip(groups, counted, strict=True) if yes})
    value = round(float(mean(columns.sum(axis=0))), 6)
    return {"value": value, "low": low, "high": high, "n": int(counted.sum()), "images": images}


def weighted(values: Sequence[float]) -> Columns:
    """(n, 2): each value with the weight 1."""
    return np.stack([np.asarray(values, dtype=np.float64), np.ones(len(values))], axis=1)


def difference(first: Sequence[float], second: Sequence[float], groups: Sequence[str]) -> dict[str, Any]:
    """{value, low, high, p}: the mean of first - second on the same questions."""
    table = np.stack([np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64), np.ones(len(first))], axis=1)
    ends = interval(table, groups, lambda sums: mean(sums[..., [0, 2]]) - mean(sums[..., [1, 2]]))
    p = paired_p(weighted(first), weighted(second), groups, mean)
    low, high = (None, None) if ends is None else (round(ends[0], 6), round(ends[1], 6))
    value = round(float((table[:, 0] - table[:, 1]).mean()), 6)
    return {"value": value, "low": low, "high": high, "p": None if p is None else round(p, 6)}


def verdict(gap: dict[str, Any], images: int, overlap: float) -> Verdict:
    """`MATTERS` where the test finds more change without the evidence; `NOT_MORE` where at least `LEAST` images bound the
    difference below `MARGIN` and a random place is another one (`overlap` with the evidence); `UNTOLD` otherwise."""
    if gap["p"] is not None and gap["p"] < SIGNIFICANT and gap["value"] > 0:
        return MATTERS
    if gap["high"] is not None and gap["high"] < MARGIN and images >= LEAST and overlap <= SAME:
        return NOT_MORE
    return UNTOLD


def sentence(kind: str, removed: dict[str, Any], random: dict[str, Any], unit: Unit) -> str:
    """`Removing what it looked at changes 31.0 % of answers [...], removing a random box of the same area 9.0 % [...].`"""
    both = [f"{_percent(one)}{_of(unit) if one is removed else ''}{_ends(one)}" for one in (removed, random)]
    asked = f"{removed['n']} questions about {_images(removed['images'])}"
    return f"Removing {EVIDENCE[kind]} changes {both[0]}, removing a random box of the same area {both[1]} (n = {asked})."


def verdict_in_words(kind: str, found: Verdict, gap: dict[str, Any], removed: dict[str, Any], overlap: float) -> str:
    """The verdict as a sentence, with the difference on which it rests."""
    what = EVIDENCE[kind]
    points = f"difference {100 * gap['value']:.1f} points"
    points += "" if gap["low"] is None else f" [{100 * gap['low']:.1f}, {100 * gap['high']:.1f}]"
    points += "" if gap["p"] is None else f", p {_p(gap['p'])}"
    if found == MATTERS:
        return f"{what[0].upper()}{what[1:]} matters more than chance ({points})."
    if found == NOT_MORE:
        return f"{what[0].upper()}{what[1:]} does not matter more than chance ({points})."
    if overlap > SAME:
        same = f"a random box of the same area removes {100 * overlap:.0f} % of it too"
        return f"Whether {what} matters more than chance cannot be told: {same} ({points})."
    asked = f"{removed['n']} questions about {_images(removed['images'])}"
    return f"Whether {what} matters more than chance cannot be told from {asked} ({points})."


def _percent(one: dict[str, Any]) -> str:
    return f"{100 * one['value']:.1f} %"


def _ends(one: dict[str, Any]) -> str:
    return " [no interval]" if one["low"] is None else f" [{100 * one['low']:.1f}, {100 * one['high']:.1f}]"


def _of(unit: Unit) -> str:
    return " of answers" if unit == "answers" else " of the words of its answers"


def _images(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
