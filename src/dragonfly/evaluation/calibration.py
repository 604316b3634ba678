"""Is the model as often right as it is sure? Confidence of replies against how many of them are right.

Replies are put in order of confidence and cut into bins of as equal size as can be; the expected calibration error is the mean
distance of a bin's confidence from its score, weighted by the bin's replies. Knows no file and no image.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

BINS = 10
LEAST = 5  # replies in a bin: a mean of fewer says nothing


def calibration(confidences: Sequence[float | None], scores: Sequence[float]) -> dict[str, Any] | None:
    """{"error", "n", "bins": [{confidence, score, n}]}; None with fewer than 2 * `LEAST` replies that carry a confidence."""
    known = [(sure, right) for sure, right in zip(confidences, scores, strict=True) if sure is not None]
    known.sort(key=lambda pair: pair[0])
    count = min(BINS, len(known) // LEAST)
    if count < 2:
        return None
    edges = sorted({_edge(known, round(len(known) * i / count)) for i in range(count + 1)})
    parts = [known[start:end] for start, end in pairwise(edges)]
    bins = [{"confidence": _mean([c for c, _ in part]), "score": _mean([s for _, s in part]), "n": len(part)} for part in parts]
    error = sum(len(part) * abs(_mean([c - s for c, s in part])) for part in parts) / len(known)
    return {"error": round(error, 6), "n": len(known), "bins": bins}


def _edge(known: Sequence[tuple[float, float]], place: int) -> int:
    """The next place that does not part equal confidences."""
    while 0 < place < len(known) and known[place][0] == known[place - 1][0]:
        place += 1
    return place


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 6)
