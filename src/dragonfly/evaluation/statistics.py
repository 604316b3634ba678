"""How certain a score is: bootstrap intervals, paired permutation tests, and calibration. Random draws are scipy's, from seed 0.

Questions about one image are not independent, so the unit that is resampled or swapped is an image with all its questions. A
score is a function of column sums (`metrics.Metric`): (points, weight) for a mean, counts for an F1; a resample is then one sum.
The same input gives the same numbers on every machine.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragonfly.installation import install_advice

Columns = NDArray[np.float64]
Value = Callable[[Columns], Columns]
"""(..., k) column sums -> (...) scores."""

RESAMPLES = 2000
_BATCH = 100  # resamples drawn at once, which bounds memory at _BATCH x images


def require_scipy() -> None:
    """ValueError in one line unless scipy can be imported."""
    _stats()


def cluster_sums(columns: Columns, groups: Sequence[str]) -> Columns:
    """(n, k) rows and the image of each -> (images, k) sums, images in the order in which they first occur."""
    order: dict[str, int] = {}
    index = [order.setdefault(group, len(order)) for group in groups]
    sums = np.zeros((len(order), columns.shape[1]))
    np.add.at(sums, index, columns)
    return sums


def interval(columns: Columns, groups: Sequence[str], value: Value, *, level: float = 0.95) -> tuple[float, float] | None:
    """Percentile bootstrap interval (low, high) of `value` at confidence `level`; images are drawn with replacement.

    Args:
        columns: (n, k), one row per question.
        groups: the image of each question.

    None with fewer than two images. A resample in which the score is undefined, because no question in it has weight, is left
    out.
    """
    sums = cluster_sums(columns, groups)
    sums = sums[sums[:, -1] > 0]
    if len(sums) < 2:
        return None
    result = _stats().bootstrap(
        tuple(sums.T),
        lambda *drawn, axis: value(np.stack([column.sum(axis=axis) for column in drawn], axis=-1)),
        n_resamples=RESAMPLES,
        batch=_BATCH,
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=level,
        rng=np.random.default_rng(0),
    )
    low, high = np.nanquantile(result.bootstrap_distribution, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_p(first: Columns, second: Columns, groups: Sequence[str], value: Value, *, resamples: int = RESAMPLES) -> float | None:
    """Two-sided p value of a paired permutation test of value(first) - value(second).

    `first` and `second` are (n, k) columns of two sets of replies to the same questions; a permutation swaps the two on an image,
    all its questions together. None with fewer than two images.
    """
    pairs = np.stack([cluster_sums(first, groups), cluster_sums(second, groups)])
    pairs = pairs[:, (pairs[:, :, -1] > 0).any(axis=0)]
    if pairs.shape[1] < 2:
        return None
    k, index = pairs.shape[2], np.arange(pairs.shape[1])

    # scipy permutes one number per unit, so it gets row numbers: below n an image's row of `first`, from n on of `second`.
    rows = np.concatenate([pairs[0], pairs[1]])

    def difference(left: Any, right: Any, axis: int) -> Any:
        sides = [rows[np.asarray(side, dtype=np.intp)].sum(axis=axis if axis >= 0 else axis - 1) for side in (left, right)]
        assert sides[0].shape[-1] == k
        return value(sides[0]) - value(sides[1])

    result = _stats().permutation_test(
        (index, index + len(index)),
        difference,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=_BATCH,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """The p values of several tests, corrected by Holm's step-down method (Holm 1979) so that one false finding stays rare.

    The smallest is multiplied by the number of tests, the next by one less, and so on; none falls below the one before it, none
    exceeds 1. None stands where no test was made, and does not count.
    """
    order = sorted((value, place) for place, value in enumerate(values) if value is not None)
    corrected: list[float | None] = [None] * len(values)
    least = 0.0
    for rank, (value, place) in enumerate(order):
        least = max(least, min(1.0, value * (len(order) - rank)))
        corrected[place] = round(least, 6)
    return corrected


BINS = 10
LEAST = 5  # replies in a bin: the mean of fewer is noise


def calibration(confidences: Sequence[float | None], scores: Sequence[float]) -> dict[str, Any] | None:
    """The calibration curve {"error", "n", "bins": [{confidence, score, n}]} of replies with confidences and scores in 0..1.

    Replies are sorted by confidence and cut into at most `BINS` bins of equal size; replies of equal confidence stay in one bin.
    `error` is the expected calibration error: the mean of |confidence - score| over bins, weighted by their replies. None with
    fewer than 2 * `LEAST` replies that carry a confidence.
    """
    known = [(confidence, score) for confidence, score in zip(confidences, scores, strict=True) if confidence is not None]
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
    """The first index from `place` on that does not separate equal confidences."""
    while 0 < place < len(known) and known[place][0] == known[place - 1][0]:
        place += 1
    return place


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 6)


def _stats() -> Any:
    try:
        from scipy import stats
    except ImportError:
        raise ValueError(f"intervals need scipy, which is not installed; install it: {install_advice('eval')}") from None
    return stats
