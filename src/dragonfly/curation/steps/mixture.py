"""`mixture`: how many rows of each source and kind go into the set, and which.

Rows are of three kinds: without images (`text`), of a source that the mix calls general, and biomedical. `quotas` says how
many of each; which ones is drawn from (seed, what the row says). No row is taken twice; where a source has too few rows,
the others of its kind fill up, and a kind that is short stays short and is reported.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..hashing import draws
from ..options import Mixture
from ..quotas import Supply, quotas
from ..table import Table
from .base import Counts, Job, Origin, counted, keep

KINDS = ("text", "general", "biomedical")


def mixture(
    table: Table,
    target: Path,
    job: Job,
    *,
    total: int | None = None,
    text_share: float | None = None,
    general_share: float | None = None,
) -> tuple[Table, Counts]:
    """Take `total` rows, or as many as the shares allow. Where not all rows of a kind are taken, weights divide them.

    `text_share`: of all rows, those without images. `general_share`: of the rows with images, those of general sources. None
    leaves a share as the rows have it.
    """
    options = Mixture(step="mixture", total=total, text_share=text_share, general_share=general_share)
    columns = table.read("row", "key", "origin", "image_key")
    buckets, names = _buckets(columns, job.origins)
    available = np.bincount(buckets, minlength=len(names)).tolist()
    wanted = quotas([_supply(*name, rows, job.origins) for name, rows in zip(names, available, strict=True)], options)
    rows = _drawn(columns, buckets, np.array(wanted), job.seed)
    told = sorted(zip(names, wanted, available, strict=True))
    taken = {f"{kind}: {origin}": [count, rows] for (kind, origin), count, rows in told}
    about: dict[str, Any] = {"taken_of": taken} | ({"asked": total} if total is not None else {})
    return counted(table, keep(table, target, job, rows), {"not drawn": table.rows - len(rows)}, **about)


def _supply(kind: str, origin: str, rows: int, origins: Mapping[str, Origin]) -> Supply:
    """What a source offers of one kind."""
    said = origins.get(origin, Origin())
    return Supply(rows, text=kind == "text", general=kind == "general", weight=said.weight, wanted=said.rows)


def _buckets(columns: Any, origins: Mapping[str, Origin]) -> tuple[Any, list[tuple[str, str]]]:
    """For each row the index of its (kind, source), and all of these."""
    encoded = columns["origin"].combine_chunks().dictionary_encode()
    sources = encoded.dictionary.to_pylist()
    kinds = np.array([KINDS.index("general" if origins.get(name, Origin()).general else "biomedical") for name in sources])
    source = encoded.indices.to_numpy().astype(np.int64)
    kind = np.where(columns["image_key"].to_numpy() == 0, 0, kinds[source])
    present, buckets = np.unique(kind * len(sources) + source, return_inverse=True)
    return buckets, [(KINDS[code // len(sources)], sources[code % len(sources)]) for code in present.tolist()]


def _drawn(columns: Any, buckets: Any, wanted: Any, seed: int) -> Any:
    """The sorted `row` of the first wanted[b] rows of each bucket b, in an order drawn from the rows' keys."""
    rows = columns["row"].to_numpy()
    order = np.lexsort((rows, draws(columns["key"].to_numpy(), seed, "mixture"), buckets))
    counts = np.bincount(buckets, minlength=len(wanted))
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(rows[order[place < wanted[buckets[order]]]])
