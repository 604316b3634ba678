"""How sure a score is: bootstrap intervals and paired permutation tests, both over images, both by scipy.

Questions on one image are not independent, so an image with all its questions is the unit that is drawn. A score is a
function of column sums (`metric.value`): of (hits, weight) for a mean, of counts for an F1. That makes every resample one sum.
Promises the same numbers for the same input, whatever the machine. Knows no task and no file.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = NDArray[np.float64]
Value = Callable[[Columns], Columns]
"""(..., k) column sums -> (...) scores."""

RESAMPLES = 2000
_BATCH = 100  # resamples drawn at once, which bounds memory at _BATCH x images


def require() -> None:
    """ValueError in one line unless scipy can be imported."""
    _stats()


def cluster_sums(columns: Columns, groups: Sequence[str]) -> Columns:
    """(n, k) rows and the image of each -> (images, k) sums, images in the order they first occur."""
    order: dict[str, int] = {}
    index = [order.setdefault(group, len(order)) for group in groups]
    sums = np.zeros((len(order), columns.shape[1]))
    np.add.at(sums, index, columns)
    return sums


def interval(columns: Columns, groups: Sequence[str], value: Value, *, level: float = 0.95) -> tuple[float, float] | None:
    """Percentile bootstrap interval of `value`, images drawn with replacement; None with fewer than two images.

    A resample in which the score is not defined (none of its questions count) is left out.
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


def paired_p(ours: Columns, theirs: Columns, groups: Sequence[str], value: Value, *, resamples: int = RESAMPLES) -> float | None:
    """Two-sided p of a paired permutation test: is the difference of two sets of replies to the same questions chance?

    All answers on an image are swapped together. None with fewer than two images.
    """
    pairs = np.stack([cluster_sums(ours, groups), cluster_sums(theirs, groups)])
    pairs = pairs[:, (pairs[:, :, -1] > 0).any(axis=0)]
    if pairs.shape[1] < 2:
        return None
    k, index = pairs.shape[2], np.arange(pairs.shape[1])

    # scipy permutes one number per unit, so it gets the places: below n the image's own row, from n the other side's.
    rows = np.concatenate([pairs[0], pairs[1]])

    def difference(first: Any, second: Any, axis: int) -> Any:
        sides = [rows[np.asarray(side, dtype=np.intp)].sum(axis=axis if axis >= 0 else axis - 1) for side in (first, second)]
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


def _stats() -> Any:
    try:
        from scipy import stats
    except ImportError:
        raise ValueError("intervals need scipy, which is not installed; install it: pip install 'dragonfly-vlm[eval]'") from None
    return stats
