"""What every step shares: its surroundings, its counts, and how a table is cut down to some of its rows.

A step is a function (table, target folder, job, **options) -> (table, counts). It reads the table's parts, writes new ones into
`target`, and changes nothing else. `counts` has `in`, `out`, `dropped` by reason (in - out in all), and what else
a reader of the data card should know.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dragonfly.data.parquet import import_pyarrow

from ..engine import map_files
from ..hamming_search import Indices
from ..table import Table, write_part

Counts = dict[str, Any]


@dataclass(frozen=True)
class Origin:
    """What the mix says of one of its sources: its `weight` among others, its `rows` at most, `general` if not biomedical."""

    weight: float = 1.0
    rows: int | None = None
    general: bool = False


@dataclass(frozen=True)
class Job:
    """The mix's seed, how many shares the work is dealt out in, and the mix's sources by name."""

    seed: int = 0
    workers: int | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)


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
