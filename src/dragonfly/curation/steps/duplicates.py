"""`dedupe_exact`, `dedupe_images` and `dedupe_text`: of rows that say the same about the same image, the first is kept.

The first is the paper's own step (appendix A): same bytes, same instruction. The others find images that look alike and texts
that say nearly the same.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dragonfly.data.parquet import import_pyarrow

from ..engine import first_of_each, map_files, shared_buckets
from ..hashing import Indices, Numbers, jaccard, normalised, shingles
from ..image_hashes import near_pairs
from ..table import Table, image_columns, replaced, write_part
from .base import Counts, Job, counted, is_member, keep


def dedupe_exact(table: Table, target: Path, job: Job) -> tuple[Table, Counts]:
    """Keep the first of the rows with the same images (bytes) and the same instruction, whatever their answers."""
    rows = first_of_each(table.parts, ["image_key", "question"], 1)
    return counted(table, keep(table, target, job, rows), {"same image and instruction": table.rows - len(rows)})


DEFAULT_RADIUS = 6


def dedupe_images(
    table: Table,
    target: Path,
    job: Job,
    *,
    radius: int = DEFAULT_RADIUS,
    mirrored: bool = True,
    across_sources: bool = False,
    drop: Literal["same_instruction", "all"] = "same_instruction",
) -> tuple[Table, Counts]:
    """Let the first of the images that look alike stand for them all, in `image_key` and hence for every later step.

    Images look alike when their hashes, or with `mirrored` one's and the mirrored other's, differ in at most `radius` bits; what
    a radius finds, and wrongly joins, is measured in docs/curation.md. An image too plain to compare is like no other.
    `across_sources` joins images of different sources alone: one image published twice, and not two charts of one data set that
    happen to look alike. `drop`: `same_instruction` drops rows that ask the same of images that look alike; `all` drops every
    row on an image that another one stands for. The rows' own image files stay as they are.
    """
    if drop not in ("same_instruction", "all"):
        raise ValueError(f"dedupe_images: drop is {drop!r}; accepted: same_instruction, all")
    owners, keys = table.lists("image_keys")
    source = _first_sources(table, owners, keys) if across_sources else None
    stands_for = representatives(table, keys, radius, mirrored, source)
    rows = table.read("row", "question")
    replaced_rows = np.zeros(len(rows), dtype=bool)
    np.logical_or.at(replaced_rows, owners, _mapped(keys, stands_for) != keys)
    if drop == "all":
        kept = ~replaced_rows
    else:
        kept = _first_of_equal(_joined_keys(owners, _mapped(keys, stands_for), len(rows)), rows["question"].to_numpy())
    names = [str(part) for part in table.parts]
    plan = target / "plan.npz"
    np.savez(plan, rows=rows["row"].to_numpy()[kept], keys=stands_for[0], stands_for=stands_for[1])
    map_files(partial(_replaced_part, plan=str(plan), target=str(target)), names, job.workers)
    plan.unlink()
    reason = "image looks like another" + (", same instruction" if drop == "same_instruction" else "")
    replaced_images = int((stands_for[0] != stands_for[1]).sum())
    about = {"images": len(stands_for[0]), "images_like_another": replaced_images, "radius": radius}
    return counted(table, Table(target, table.facts), {reason: int((~kept).sum())}, **about)


def looks(table: Table, present: Any) -> tuple[Numbers, Numbers, Numbers]:
    """(keys, perceptual hashes, hashes of the mirror images) of the comparable images among `present` keys, by first use."""
    facts = import_pyarrow().parquet.read_table(table.facts, columns=["key", "looks", "mirrored"], use_threads=False)
    facts = facts.filter(facts["looks"].is_valid())
    known, place = np.unique(facts["key"].to_numpy(), return_index=True)
    keys, first = np.unique(present, return_index=True)
    keys = keys[np.argsort(first)]
    keys = keys[is_member(keys, known)]
    chosen = place[np.searchsorted(known, keys)]
    return keys, *(facts[name].to_numpy()[chosen].astype(np.uint64) for name in ("looks", "mirrored"))


def alike(hashes: Numbers, others: Numbers, mirrors: Numbers, radius: int, mirrored: bool) -> tuple[Indices, Indices]:
    """All pairs (i, j) where hashes[i] is within `radius` bits of others[j] or, if `mirrored`, of mirrors[j]."""
    first, second = near_pairs(hashes, others, radius)
    if not mirrored:
        return first, second
    flipped = near_pairs(hashes, mirrors, radius)
    return np.concatenate([first, flipped[0]]), np.concatenate([second, flipped[1]])


def _first_sources(table: Table, owners: Indices, keys: Any) -> tuple[Numbers, Indices]:
    """(keys of all images, sorted; for each the number of the source that shows it first)."""
    sources = table.read("origin")["origin"].combine_chunks().dictionary_encode().indices.to_numpy()
    every, first = np.unique(keys, return_index=True)
    return every, sources[owners[first]]


def _pair_numbers(first: Numbers, second: Indices) -> Indices:
    """For each pair a number that equal pairs alone share."""
    _, place = np.unique(first, return_inverse=True)
    return place * (int(second.max(initial=0)) + 1) + second


def representatives(
    table: Table, present: Any, radius: int, mirrored: bool, source: tuple[Numbers, Indices] | None = None
) -> tuple[Numbers, Numbers]:
    """(keys of all `present` images, sorted; for each the key of the image that stands for it).

    With `source` (keys, sorted; the source of each) an image is replaced by one of another source alone.
    """
    keys, hashes, mirrors = looks(table, present)
    sources = np.zeros(len(keys), dtype=np.int64) if source is None else source[1][np.searchsorted(source[0], keys)]
    # Equal hashes first, or a thousand copies would be compared a million times.
    labels = hashes if source is None else _pair_numbers(hashes, sources)
    _, first, group = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(first)
    distinct = first[order]
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    one, other = alike(hashes[distinct], hashes[distinct], mirrors[distinct], radius, mirrored)
    if source is not None:
        elsewhere = sources[distinct[one]] != sources[distinct[other]]
        one, other = one[elsewhere], other[elsewhere]
    kept = keep_first(np.minimum(one, other), np.maximum(one, other), len(distinct))
    members = place[group]
    stands_for = keys[distinct[kept[members]]]
    if source is not None:  # what shares source and hash alone stays apart
        stands_for = np.where(kept[members] == members, keys, stands_for)
    every = np.unique(present)
    answer = every.copy()
    answer[np.searchsorted(every, keys)] = stands_for
    return every, answer


def _mapped(keys: Any, stands_for: tuple[Numbers, Numbers]) -> Any:
    return stands_for[1][np.searchsorted(stands_for[0], keys)] if len(keys) else keys


def _joined_keys(owners: Indices, keys: Any, rows: int) -> Any:
    """One number per row for its images in order, as in the column `image_key`."""
    ends = np.searchsorted(owners, np.arange(rows + 1))
    lists = [keys[ends[row] : ends[row + 1]].tolist() for row in range(rows)]
    return image_columns(lists)["image_key"].to_numpy()


def _first_of_equal(images: Any, questions: Any) -> Any:
    """For each row whether no earlier one has its image and its question."""
    order = np.lexsort((np.arange(len(images)), questions, images))
    first = np.ones(len(order), dtype=bool)
    same = (np.diff(images[order]) == 0) & (np.diff(questions[order]) == 0)
    first[order[1:][same]] = False
    return first


def _replaced_part(name: str, plan: str, target: str) -> int:
    """Write one part with the keys of the images' representatives, without the dropped rows."""
    table = import_pyarrow().parquet.read_table(name, use_threads=False)
    with np.load(plan) as stored:
        rows, stands_for = stored["rows"], (stored["keys"], stored["stands_for"])
    table = table.filter(import_pyarrow().array(is_member(table["row"].to_numpy(), rows)))
    images = [_mapped(np.array(keys, dtype=np.uint64), stands_for).tolist() for keys in table["image_keys"].to_pylist()]
    write_part(replaced(table, image_columns(images)), Path(target) / Path(name).name)
    return table.num_rows


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


_HASHES = 128
_SURE = 0.95  # wanted chance of seeing a pair right at the threshold


def dedupe_text(table: Table, target: Path, job: Job, *, threshold: float = 0.8) -> tuple[Table, Counts]:
    """Keep the first of the rows on equal images whose conversations' three-word shingles have a Jaccard index of `threshold`.

    Candidates come from MinHash bands (Broder, 1997; Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3) and
    each is then compared exactly, so nothing is dropped wrongly; `found` in the counts is the chance that a pair right at the
    threshold is seen. Rows without images are compared with each other.
    """
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
    """(bands, rows of each): the most rows for which a pair at the threshold shares a band with a probability of 95 %."""
    for rows in range(_HASHES // 4, 0, -1):
        bands = _HASHES // rows
        if 1 - (1 - threshold**rows) ** bands >= _SURE:
            return bands, rows
    return _HASHES, 1


def conversations(messages: Any) -> list[str]:
    """The normalised texts of whole conversations, from an Arrow array of the manifest's `messages`."""
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
    shingles_of: dict[int, frozenset[str]] = {}
    for part in table.batches("row", "messages"):
        rows = part["row"].to_numpy()
        chosen = np.flatnonzero(is_member(rows, wanted))
        texts = conversations(part["messages"].combine_chunks().take(import_pyarrow().array(chosen)))
        shingles_of.update(zip(rows[chosen].tolist(), map(shingles, texts), strict=True))
    return shingles_of


def _like_an_earlier(buckets: list[list[int]], texts: dict[int, frozenset[str]], threshold: float) -> Indices:
    """The rows to drop, sorted. A row is compared only with earlier rows that are kept, so that chains do not grow."""
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
