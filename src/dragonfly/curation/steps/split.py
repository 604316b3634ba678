"""`split`: some patients, documents or images are set aside for evaluation, whole; nothing is dropped."""

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from dragonfly.data.parquet import import_pyarrow

from ..connected_components import units
from ..engine import map_files
from ..hashing import draws
from ..table import Table, replaced, write_part
from .base import Counts, Job, counted, is_member


def split(
    table: Table, target: Path, job: Job, *, eval_share: float = 0.0, by: Literal["group", "image"] = "group"
) -> tuple[Table, Counts]:
    """Mark about `eval_share` of the units as `eval`. `by: group` keeps rows that share a patient, a document or an image
    (also one that looks alike, after `dedupe_images`) on one side; `image` looks at images alone.

    Each unit is drawn by itself from (seed, unit), so adding rows moves no other unit.
    """
    if not 0.0 <= eval_share < 1.0:
        raise ValueError(f"split: eval_share is {eval_share}; give a share from 0 up to, not including, 1")
    if by not in ("group", "image"):
        raise ValueError(f"split: by is {by!r}; accepted: group, image")
    unit = units(table, groups=by == "group", images=True)
    aside = draws(unit, job.seed, "split").astype(np.float64) / 2.0**64 < eval_share
    chosen = target / "eval.npy"
    np.save(chosen, table.numbers("row")[aside])
    names = [str(part) for part in table.parts]
    map_files(partial(_part, chosen=str(chosen), target=str(target)), names, job.workers)
    chosen.unlink()
    about = {"eval_rows": int(aside.sum()), "units": len(np.unique(unit)), "eval_units": len(np.unique(unit[aside]))}
    return counted(table, Table(target, table.facts), {}, **about)


def _part(name: str, chosen: str, target: str) -> int:
    table = import_pyarrow().parquet.read_table(name, use_threads=False)
    aside = is_member(table["row"].to_numpy(), np.load(chosen, mmap_mode="r"))
    sides = import_pyarrow().array(np.where(aside, "eval", "train"))
    write_part(replaced(table, {"split": sides}), Path(target) / Path(name).name)
    return int(aside.sum())
