"""`dedupe_exact` and `cap`, the paper's own two steps (appendix A): one row per image and instruction, eight per image."""

from pathlib import Path

import numpy as np

from ..engine import first_of_each
from ..table import Table
from .base import Counts, Job, counted, keep


def dedupe_exact(table: Table, target: Path, job: Job) -> tuple[Table, Counts]:
    """Of rows with the same images (bytes) and the same instruction (words) the first is kept, whatever they answer."""
    rows = first_of_each(table.parts, ["image_key", "question"], 1)
    return counted(table, keep(table, target, job, rows), {"same image and instruction": table.rows - len(rows)})


def cap(table: Table, target: Path, job: Job, *, per_image: int = 8) -> tuple[Table, Counts]:
    """At most `per_image` random rows per image, drawn from (seed, what the row says); rows without images all stay."""
    if per_image < 1:
        raise ValueError(f"cap: per_image is {per_image}; give at least 1")
    drawn = first_of_each(table.parts, ["image_key"], per_image, draw=(job.seed, "cap"))
    columns = table.read("row", "image_key")
    text_only = columns["row"].to_numpy()[columns["image_key"].to_numpy() == 0]
    rows = np.union1d(drawn, text_only)
    return counted(table, keep(table, target, job, rows), {f"over {per_image} per image": table.rows - len(rows)})
