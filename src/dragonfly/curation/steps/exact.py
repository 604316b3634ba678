"""`dedupe_exact` and `cap`, the paper's own two steps (appendix A): one row per picture and instruction, eight per picture."""

from pathlib import Path

import numpy as np

from ..engine import first_of_each
from ..table import Table
from .base import Counts, Job, counted, keep


def dedupe_exact(table: Table, target: Path, job: Job) -> tuple[Table, Counts]:
    """Of rows with the same pictures (bytes) and the same instruction (words) the first is kept, whatever they answer."""
    rows = first_of_each(table.parts, ["picture", "question"], 1)
    return counted(table, keep(table, target, job, rows), {"same picture and instruction": table.rows - len(rows)})


def cap(table: Table, target: Path, job: Job, *, per_picture: int = 8) -> tuple[Table, Counts]:
    """At most `per_picture` random rows per picture, drawn from (seed, what the row says); rows without pictures all stay."""
    if per_picture < 1:
        raise ValueError(f"cap: per_picture is {per_picture}; give at least 1")
    drawn = first_of_each(table.parts, ["picture"], per_picture, draw=(job.seed, "cap"))
    columns = table.read("row", "picture")
    text_only = columns["row"].to_numpy()[columns["picture"].to_numpy() == 0]
    rows = np.union1d(drawn, text_only)
    return counted(table, keep(table, target, job, rows), {f"over {per_picture} per picture": table.rows - len(rows)})
