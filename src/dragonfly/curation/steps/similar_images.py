"""`dedupe_images`: images that look alike count as one image; the rows that then say the same twice are dropped.

Two images look alike when their 64-bit hashes, or one's and the mirrored other's, differ in at most `radius` bits. What each
radius finds, and wrongly joins, is measured in docs/curation.md. An image too plain to compare is like no other.
"""

from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dragonfly.data.parquet import import_pyarrow

from ..engine import map_files
from ..hamming_search import Indices, keep_first, near_pairs
from ..hashing import Numbers
from ..table import Table, image_columns, replaced, write_part
from .base import Counts, Job, counted, is_member

DEFAULT_RADIUS = 6


def dedupe_images(
    table: Table,
    target: Path,
    job: Job,
    *,
    radius: int = DEFAULT_RADIUS,
    mirrored: bool = True,
    drop: Literal["same_instruction", "all"] = "same_instruction",
) -> tuple[Table, Counts]:
    """Let the first of the images that look alike stand for them all, in `image` and hence for every later step.

    `drop`: `same_instruction` drops rows that ask the same of images that look alike; `all` drops every row on an image
    that another one stands for. The rows' own image files stay as they are.
    """
    if drop not in ("same_instruction", "all"):
        raise ValueError(f"dedupe_images: drop is {drop!r}; accepted: same_instruction, all")
    owners, keys = table.lists("image_keys")
    stands_for = representatives(table, keys, radius, mirrored)
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
    map_files(partial(_part, plan=str(plan), target=str(target)), names, job.workers)
    plan.unlink()
    reason = "image looks like another" + (", same instruction" if drop == "same_instruction" else "")
    replaced_images = int((stands_for[0] != stands_for[1]).sum())
    about = {"images": len(stands_for[0]), "images_like_another": replaced_images, "radius": radius}
    return counted(table, Table(target, table.facts), {reason: int((~kept).sum())}, **about)


def looks(table: Table, present: Any) -> tuple[Numbers, Numbers, Numbers]:
    """(keys, hashes, mirrored hashes) of the images among `present` keys that can be compared, in order of first use."""
    facts = import_pyarrow().parquet.read_table(table.facts, columns=["key", "looks", "mirrored"], use_threads=False)
    facts = facts.filter(facts["looks"].is_valid())
    known, place = np.unique(facts["key"].to_numpy(), return_index=True)
    keys, first = np.unique(present, return_index=True)
    keys = keys[np.argsort(first)]
    keys = keys[is_member(keys, known)]
    chosen = place[np.searchsorted(known, keys)]
    return keys, *(facts[name].to_numpy()[chosen].astype(np.uint64) for name in ("looks", "mirrored"))


def alike(hashes: Numbers, others: Numbers, mirrors: Numbers, radius: int, mirrored: bool) -> tuple[Indices, Indices]:
    """Pairs (i, j) where hashes[i] is near others[j], or near its mirror image."""
    first, second = near_pairs(hashes, others, radius)
    if not mirrored:
        return first, second
    flipped = near_pairs(hashes, mirrors, radius)
    return np.concatenate([first, flipped[0]]), np.concatenate([second, flipped[1]])


def representatives(table: Table, present: Any, radius: int, mirrored: bool) -> tuple[Numbers, Numbers]:
    """(keys of all `present` images, sorted; for each the key of the image that stands for it)."""
    keys, hashes, mirrors = looks(table, present)
    # Equal hashes first, or a thousand copies would be compared a million times.
    _, first, group = np.unique(hashes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    distinct = first[order]
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    pairs = alike(hashes[distinct], hashes[distinct], mirrors[distinct], radius, mirrored)
    kept = keep_first(np.minimum(*pairs), np.maximum(*pairs), len(distinct))
    stands_for = keys[distinct[kept[place[group]]]]
    every = np.unique(present)
    answer = every.copy()
    answer[np.searchsorted(every, keys)] = stands_for
    return every, answer


def _mapped(keys: Any, stands_for: tuple[Numbers, Numbers]) -> Any:
    return stands_for[1][np.searchsorted(stands_for[0], keys)] if len(keys) else keys


def _joined_keys(owners: Indices, keys: Any, rows: int) -> Any:
    """One number per row for its images in order, as in the column `image`."""
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


def _part(name: str, plan: str, target: str) -> int:
    """One part with its images' stand-ins and without the dropped rows."""
    table = import_pyarrow().parquet.read_table(name, use_threads=False)
    with np.load(plan) as stored:
        rows, stands_for = stored["rows"], (stored["keys"], stored["stands_for"])
    table = table.filter(import_pyarrow().array(is_member(table["row"].to_numpy(), rows)))
    images = [_mapped(np.array(keys, dtype=np.uint64), stands_for).tolist() for keys in table["image_keys"].to_pylist()]
    write_part(replaced(table, image_columns(images)), Path(target) / Path(name).name)
    return table.num_rows
