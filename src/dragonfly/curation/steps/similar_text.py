"""`dedupe_text`: of rows that say nearly the same about the same images, the first is kept.

Texts resemble each other when the Jaccard index of their three-word shingles is at least `threshold`. Candidates come from
MinHash bands (Broder, 1997; Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3) and each is then
compared exactly, so nothing is dropped wrongly; `found` in the counts is the chance that a pair right at the threshold is
seen. Rows without images are compared with each other.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dragonfly.data.parquet import import_pyarrow

from ..engine import shared_buckets
from ..hamming_search import Indices
from ..hashing import jaccard, normalised, shingles
from ..table import Table
from .base import Counts, Job, counted, is_member, keep

_HASHES = 128
_SURE = 0.95  # wanted chance of seeing a pair right at the threshold


def dedupe_text(table: Table, target: Path, job: Job, *, threshold: float = 0.8) -> tuple[Table, Counts]:
    """Keep the first of the rows on equal images whose whole conversations resemble each other."""
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"dedupe_text: threshold is {threshold}; give a Jaccard index above 0, up to 1")
    bands, rows = banding(threshold)
    buckets = shared_buckets(table.parts, "image_key", conversations, "messages", bands, rows, job.seed)
    dropped = _like_an_earlier(buckets, _texts(table, buckets), threshold)
    numbers = table.numbers("row")
    result = keep(table, target, job, numbers[~is_member(numbers, dropped)])
    seen = round(1 - (1 - threshold**rows) ** bands, 3)
    return counted(table, result, {f"words like another row's ({threshold:g})": len(dropped)}, bands=[bands, rows], found=seen)


def banding(threshold: float) -> tuple[int, int]:
    """(bands, rows of each): as many rows as still see a pair at the threshold with a chance of 95 %."""
    for rows in range(_HASHES // 4, 0, -1):
        bands = _HASHES // rows
        if 1 - (1 - threshold**rows) ** bands >= _SURE:
            return bands, rows
    return _HASHES, 1


def conversations(messages: Any) -> list[str]:
    """The words of whole conversations, from an Arrow array of the manifest's `messages`."""
    pa = import_pyarrow()
    pc = pa.compute
    contents = pc.struct_field(messages.values, "content")
    texts = pc.struct_field(contents.values, "text")
    ends = contents.offsets.take(messages.offsets).cast(pa.int32())
    per_row = pa.ListArray.from_arrays(ends, texts.cast(pa.string()))  # Daft makes large lists of large strings
    return [normalised(text) for text in pc.binary_join(per_row, "\n").to_pylist()]


def _texts(table: Table, buckets: list[list[int]]) -> dict[int, frozenset[str]]:
    """The shingles of every row that is in a bucket."""
    wanted = np.unique(np.fromiter((row for bucket in buckets for row in bucket), dtype=np.int64))
    found: dict[int, frozenset[str]] = {}
    for part in table.batches("row", "messages"):
        rows = part["row"].to_numpy()
        chosen = np.flatnonzero(is_member(rows, wanted))
        texts = conversations(part["messages"].combine_chunks().take(import_pyarrow().array(chosen)))
        found.update(zip(rows[chosen].tolist(), map(shingles, texts), strict=True))
    return found


def _like_an_earlier(buckets: list[list[int]], texts: dict[int, frozenset[str]], threshold: float) -> Indices:
    """The rows to drop, sorted. A row is compared with those kept before it alone, so chains do not grow."""
    places: dict[int, list[int]] = {}
    for place, bucket in enumerate(buckets):
        for row in bucket:
            places.setdefault(row, []).append(place)
    kept: list[list[int]] = [[] for _ in buckets]
    dropped: list[int] = []
    for row in sorted(places):
        if any(jaccard(texts[row], texts[other]) >= threshold for other in _once(kept[place] for place in places[row])):
            dropped.append(row)
            continue
        for place in places[row]:
            kept[place].append(row)
    return np.array(dropped, dtype=np.int64)


def _once(lists: Iterator[list[int]]) -> Iterator[int]:
    seen: set[int] = set()
    for rows in lists:
        for row in rows:
            if row not in seen:
                seen.add(row)
                yield row
