"""Which of many 64-bit hashes differ in few bits: all such pairs, none missed, without comparing each with each.

Two hashes within `radius` of each other agree, in at least one of four 16-bit bands, up to radius // 4 bits
(multi-index hashing: Norouzi, Punjani and Fleet, CVPR 2012). Every pair found that way is then compared whole. Knows
numbers only.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .hashing import Numbers

MAX_RADIUS = 11  # beyond it a band may differ in three bits, and the search compares almost each with each

_BANDS, _BAND_BITS = 4, 16
_CHUNK = 4_000_000  # pairs compared at once

Indices = NDArray[np.int64]


def near_pairs(hashes: Numbers, others: Numbers, radius: int) -> tuple[Indices, Indices]:
    """All (i, j) with at most `radius` bits between hashes[i] and others[j], sorted by i, then j.

    ValueError for a radius outside 0 to `MAX_RADIUS`.
    """
    if not 0 <= radius <= MAX_RADIUS:
        raise ValueError(f"image radius is {radius} bits of 64; give 0 to {MAX_RADIUS} (beyond, unrelated images match)")
    hashes, others = np.asarray(hashes, dtype=np.uint64), np.asarray(others, dtype=np.uint64)
    found = [np.empty((0, 2), dtype=np.int64)]
    for band in range(_BANDS):
        mine, theirs = _band(hashes, band), _band(others, band)
        order = np.argsort(theirs, kind="stable")
        starts = np.searchsorted(theirs[order], np.arange(2**_BAND_BITS + 1))
        for mask in _masks(radius // _BANDS):
            probes = mine ^ mask
            for left, right in _expanded(starts[probes], starts[probes + 1]):
                right = order[right]  # noqa: PLW2901 - positions in the sorted band become indices
                near = np.bitwise_count(hashes[left] ^ others[right]) <= radius
                found.append(np.stack([left[near], right[near]], axis=1))
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs[:, 0], pairs[:, 1]


def keep_first(first: Indices, second: Indices, count: int) -> Indices:
    """For each of `count` items the item that stands for it: itself, or the first *kept* one that it is paired with.

    Items are judged in order, so a chain of small differences does not swallow what differs much: whatever is replaced is
    paired with what replaces it.
    """
    stands_for = np.arange(count)
    later = second > first
    first, second = first[later], second[later]
    order = np.lexsort((first, second))
    for earlier, item in zip(first[order].tolist(), second[order].tolist(), strict=True):
        if stands_for[item] == item and stands_for[earlier] == earlier:
            stands_for[item] = earlier
    return stands_for


def _band(hashes: Numbers, band: int) -> Indices:
    return ((hashes >> np.uint64(band * _BAND_BITS)) & np.uint64(2**_BAND_BITS - 1)).astype(np.int64)


def _masks(most: int) -> Iterator[int]:
    """Every 16-bit number with at most `most` bits set."""
    for bits in range(most + 1):
        for chosen in combinations(range(_BAND_BITS), bits):
            yield sum(1 << bit for bit in chosen)


def _expanded(starts: Indices, ends: Indices) -> Iterator[tuple[Indices, Indices]]:
    """(item, position) for every position from starts[item] to ends[item], some millions at a time."""
    counts = ends - starts
    edges = np.flatnonzero(np.diff(np.cumsum(counts) // _CHUNK, prepend=0))
    for items in np.split(np.arange(len(counts)), edges):
        own = counts[items]
        left = np.repeat(items, own)
        offset = np.arange(len(left)) - np.repeat(np.cumsum(own) - own, own)
        yield left, starts[left] + offset
