"""`cap`, `mixture` and `split`: how many rows go into the set, which ones, and which are set aside for evaluation.

Every draw depends on (seed, row content) or (seed, unit) alone, so adding rows elsewhere changes none.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dragonfly.data.parquet import import_pyarrow

from ..engine import first_of_each, map_files
from ..hashing import draws
from ..options import Mixture
from ..quotas import Supply, quotas
from ..table import Table, replaced, write_part
from .base import Counts, Job, Origin, connected_units, counted, is_member, keep

KINDS = ("text", "general", "biomedical")
"""Rows without images, rows of a source that the mix calls general, and all others."""


def cap(table: Table, target: Path, job: Job, *, per_image: int = 8) -> tuple[Table, Counts]:
    """Keep at most `per_image` rows per image, drawn by (seed, row content); rows without images all stay."""
    if per_image < 1:
        raise ValueError(f"cap: per_image is {per_image}; give at least 1")
    drawn = first_of_each(table.parts, ["image_key"], per_image, draw=(job.seed, "cap"))
    columns = table.read("row", "image_key")
    text_only = columns["row"].to_numpy()[columns["image_key"].to_numpy() == 0]
    rows = np.union1d(drawn, text_only)
    return counted(table, keep(table, target, job, rows), {f"over {per_image} per image": table.rows - len(rows)})


def mixture(
    table: Table,
    target: Path,
    job: Job,
    *,
    total: int | None = None,
    text_share: float | None = None,
    general_share: float | None = None,
) -> tuple[Table, Counts]:
    """Take `total` rows, or as many as the shares allow, of the three `KINDS`; `quotas` says how many of each source.

    `text_share`: of all rows, those without images. `general_share`: of the rows with images, those of general sources. None
    leaves a share as the rows have it. No row is taken twice. Where a source has too few rows, the others of its kind fill up; a
    kind that has too few stays short and is reported.
    """
    options = Mixture(step="mixture", total=total, text_share=text_share, general_share=general_share)
    columns = table.read("row", "key", "origin", "image_key")
    buckets, names = _buckets(columns, job.origins)
    available = np.bincount(buckets, minlength=len(names)).tolist()
    wanted = quotas([_supply(*name, rows, job.origins) for name, rows in zip(names, available, strict=True)], options)
    rows = _drawn_rows(columns, buckets, np.array(wanted), job.seed)
    listed = sorted(zip(names, wanted, available, strict=True))
    taken = {f"{kind}: {origin}": [count, rows] for (kind, origin), count, rows in listed}
    about: dict[str, Any] = {"taken_of": taken} | ({"asked": total} if total is not None else {})
    return counted(table, keep(table, target, job, rows), {"not drawn": table.rows - len(rows)}, **about)


def _supply(kind: str, origin: str, rows: int, origins: Mapping[str, Origin]) -> Supply:
    """The `Supply` of one source's rows of one kind."""
    known = origins.get(origin, Origin())
    return Supply(rows, text=kind == "text", general=kind == "general", weight=known.weight, wanted=known.rows)


def _buckets(columns: Any, origins: Mapping[str, Origin]) -> tuple[Any, list[tuple[str, str]]]:
    """For each row the index of its (kind, source), and all of these."""
    encoded = columns["origin"].combine_chunks().dictionary_encode()
    sources = encoded.dictionary.to_pylist()
    kinds = np.array([KINDS.index("general" if origins.get(name, Origin()).general else "biomedical") for name in sources])
    source = encoded.indices.to_numpy().astype(np.int64)
    kind = np.where(columns["image_key"].to_numpy() == 0, 0, kinds[source])
    present, buckets = np.unique(kind * len(sources) + source, return_inverse=True)
    return buckets, [(KINDS[code // len(sources)], sources[code % len(sources)]) for code in present.tolist()]


def _drawn_rows(columns: Any, buckets: Any, wanted: Any, seed: int) -> Any:
    """The sorted `row` of the first wanted[b] rows of each bucket b, in an order drawn from the rows' keys."""
    rows = columns["row"].to_numpy()
    order = np.lexsort((rows, draws(columns["key"].to_numpy(), seed, "mixture"), buckets))
    counts = np.bincount(buckets, minlength=len(wanted))
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(rows[order[place < wanted[buckets[order]]]])


def split(
    table: Table, target: Path, job: Job, *, eval_share: float = 0.0, by: Literal["group", "image"] = "group"
) -> tuple[Table, Counts]:
    """Mark about `eval_share` of the units (`connected_units`) as `eval`; no row is dropped.

    `by: group` keeps rows that share a patient, a document or an image (after `dedupe_images` also one that looks alike) on one
    side; `by: image` considers images alone. Each unit is drawn by (seed, unit), so adding rows moves no other unit.
    """
    if not 0.0 <= eval_share < 1.0:
        raise ValueError(f"split: eval_share is {eval_share}; give a share from 0 up to, not including, 1")
    if by not in ("group", "image"):
        raise ValueError(f"split: by is {by!r}; accepted: group, image")
    unit = connected_units(table, groups=by == "group", images=True)
    aside = draws(unit, job.seed, "split").astype(np.float64) / 2.0**64 < eval_share
    chosen = target / "eval.npy"
    np.save(chosen, table.numbers("row")[aside])
    names = [str(part) for part in table.parts]
    map_files(partial(_split_part, chosen=str(chosen), target=str(target)), names, job.workers)
    chosen.unlink()
    about = {"eval_rows": int(aside.sum()), "units": len(np.unique(unit)), "eval_units": len(np.unique(unit[aside]))}
    return counted(table, Table(target, table.facts), {}, **about)


def _split_part(name: str, chosen: str, target: str) -> int:
    table = import_pyarrow().parquet.read_table(name, use_threads=False)
    aside = is_member(table["row"].to_numpy(), np.load(chosen, mmap_mode="r"))
    sides = import_pyarrow().array(np.where(aside, "eval", "train"))
    write_part(replaced(table, {"split": sides}), Path(target) / Path(name).name)
    return int(aside.sum())
