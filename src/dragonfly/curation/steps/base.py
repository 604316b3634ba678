"""What every step shares: its surroundings, its counts, how a table is cut down to some rows, and which rows belong together.

A step is a function (table, target folder, job, **options) -> (table, counts). It reads the table's parts, writes new ones into
`target`, and changes nothing else. `counts` has `in`, `out`, `dropped` by reason (in - out in all), and whatever else the data
card should show.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dragonfly.data import BadRow, Sample
from dragonfly.data.parquet import import_pyarrow

from ..engine import map_files
from ..hashing import Indices, Numbers
from ..table import Table, write_part

Counts = dict[str, Any]


@dataclass(frozen=True)
class Origin:
    """One source as the mix describes it: its `weight` among others, at most `rows` of it, `general` or else biomedical."""

    weight: float = 1.0
    rows: int | None = None
    general: bool = False


@dataclass(frozen=True)
class Job:
    """The mix's seed, the number of shares that the work is divided into (None: one per part), and the sources by name.

    `held_out` reads the official test split of a data source, by the source's name.
    """

    seed: int = 0
    workers: int | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)
    held_out: Mapping[str, Callable[[], Iterable[Sample | BadRow]]] = field(default_factory=dict)


def counted(table: Table, result: Table, dropped: Mapping[str, int], **more: Any) -> tuple[Table, Counts]:
    """The result with its counts; reasons without rows are left out."""
    named = {reason: int(number) for reason, number in dropped.items() if number}
    counts: Counts = {"in": table.rows, "out": result.rows, "dropped": named, **more}
    assert counts["in"] - counts["out"] == sum(named.values()), counts
    return result, counts


def keep(table: Table, target: Path, job: Job, rows: Indices) -> Table:
    """The table with the rows of these numbers alone (sorted), written part by part into `target`."""
    chosen = target / "kept.npy"
    np.save(chosen, rows)
    map_files(partial(_kept_part, chosen=str(chosen), target=str(target)), [str(part) for part in table.parts], job.workers)
    chosen.unlink()
    return Table(target, table.facts)


def _kept_part(name: str, chosen: str, target: str) -> int:
    table = import_pyarrow().parquet.read_table(name, use_threads=False)
    kept = table.filter(import_pyarrow().array(is_member(table["row"].to_numpy(), np.load(chosen, mmap_mode="r"))))
    write_part(kept, Path(target) / Path(name).name)
    return kept.num_rows


def is_member(values: Any, sorted_values: Any) -> Any:
    """For each value whether it is among `sorted_values`."""
    if not len(sorted_values):
        return np.zeros(len(values), dtype=bool)
    place = np.minimum(np.searchsorted(sorted_values, values), len(sorted_values) - 1)
    return sorted_values[place] == values


def connected_units(table: Table, *, groups: bool, images: bool) -> Numbers:
    """(rows,) One number per row, equal for rows that share a group or an image (as asked), directly or through other rows.

    A connected component's number is the smallest key of the groups and images that connect it, so it is the same whatever else
    is in the table. A row without any is a component of its own, under its own key.
    """
    columns = [name for name, wanted in (("groups", groups), ("image_keys", images)) if wanted]
    owners, keys = (np.concatenate(each) for each in zip(*map(table.lists, columns), strict=True))
    own = table.numbers("key").astype(np.uint64)
    labels = own.copy()
    labels[owners] = np.iinfo(np.uint64).max
    if len(keys):
        np.minimum.at(labels, owners, keys.astype(np.uint64))
        _spread(labels, owners, keys)
    return labels


def _spread(labels: Numbers, owners: Indices, keys: Numbers) -> None:
    """Give every row the smallest label of its component: from rows to keys and back, until nothing changes."""
    _, members = np.unique(keys, return_inverse=True)
    while True:
        smallest = np.full(members.max() + 1, np.iinfo(np.uint64).max, dtype=np.uint64)
        np.minimum.at(smallest, members, labels[owners])
        before = labels.copy()
        np.minimum.at(labels, owners, smallest[members])
        if np.array_equal(before, labels):
            return
