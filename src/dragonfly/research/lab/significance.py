"""Is one variant better than another? Differences of paired answers, with interval, p and the sign in every seed.

Both variants answer the same questions with the same seeds. A pair is one question under one seed, so seeds are strata; an image
with all its questions, in all seeds at once, is the unit that is drawn and swapped: what makes an image hard makes it
hard in every seed. 10,000 draws, by scipy. Knows no variant's name and no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dragonfly.evaluation.metrics import mean
from dragonfly.evaluation.statistics import Columns, interval, paired_p

DRAWS = 10_000


@dataclass(frozen=True)
class Difference:
    """`value` = ours - theirs over all seeds, its 95 % interval, p, and the difference in each seed."""

    value: float
    low: float | None
    high: float | None
    p: float | None
    seeds: tuple[float, ...]

    @property
    def consistent(self) -> bool:
        """Whether every seed's difference has the sign of the whole; a seed without difference has not."""
        return all(one * self.value > 0 for one in self.seeds)


def compare(ours: Sequence[Columns], theirs: Sequence[Columns], groups: Sequence[str]) -> Difference:
    """Two variants on the same questions.

    Args:
        ours, theirs: for each seed (n, 2) columns (points, weight) of the same questions in the same order.
        groups: the image of each question.

    Raises:
        ValueError: where seeds or questions are not the same.
    """
    if len(ours) != len(theirs) or not ours or any(len(one) != len(groups) for one in (*ours, *theirs)):
        raise ValueError(
            f"a comparison is paired: {len(ours)} and {len(theirs)} seeds of {len(groups)} questions each are needed"
        )
    a, b, units = np.concatenate(ours), np.concatenate(theirs), list(groups) * len(ours)
    both = np.column_stack([a[:, 0], b[:, 0], a[:, 1]])
    found = interval(both, units, _difference)
    low, high = (None, None) if found is None else (round(found[0], 6), round(found[1], 6))
    p = paired_p(a, b, units, mean, resamples=DRAWS)
    seeds = tuple(round(float(_difference(_sums(one, other))), 6) for one, other in zip(ours, theirs, strict=True))
    return Difference(round(float(_difference(both.sum(axis=0))), 6), low, high, None if p is None else round(p, 6), seeds)


def _sums(ours: Columns, theirs: Columns) -> Columns:
    return np.array([ours[:, 0].sum(), theirs[:, 0].sum(), ours[:, 1].sum()])


def _difference(sums: Columns) -> Columns:
    """(ours, theirs, weight) -> difference of means."""
    return mean(sums[..., [0, 2]]) - mean(sums[..., [1, 2]])
