"""`mixture`: how many rows of each source and kind go into the set, and which.

Rows are of three kinds: without pictures (`text`), of a source that the mix calls general, and the others. Kinds get their
shares of the total, sources their weights within a kind, and rows are drawn from (seed, what the row says). No row is taken
twice; where a source has too few rows, the others of its kind fill up, and a kind that is short stays short and is
reported.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..hashing import draws
from ..table import Table
from .base import Counts, Job, Origin, counted, keep

KINDS = ("text", "general", "other")


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

    `text_share`: of all rows, those without pictures. `general_share`: of the rows with pictures, those of general sources. None
    leaves a share as the rows have it.
    """
    for name, share in (("text_share", text_share), ("general_share", general_share)):
        if share is not None and not 0.0 <= share <= 1.0:
            raise ValueError(f"mixture: {name} is {share}; give a share between 0 and 1")
    if total is not None and total < 1:
        raise ValueError(f"mixture: total is {total}; give at least 1")
    columns = table.read("row", "key", "origin", "picture")
    buckets, names = _buckets(columns, job.origins)
    available = {name: int(number) for name, number in zip(names, np.bincount(buckets, minlength=len(names)), strict=True)}
    asked = plan(available, job.origins, total, text_share, general_share)
    wanted = np.array([asked[name] for name in names])
    rows = _drawn(columns, buckets, wanted, job.seed)
    taken = {f"{kind}: {origin}": [asked[kind, origin], available[kind, origin]] for kind, origin in sorted(names)}
    about: dict[str, Any] = {"taken_of": taken} | ({"asked": total} if total is not None else {})
    return counted(table, keep(table, target, job, rows), {"not drawn": table.rows - len(rows)}, **about)


def plan(
    available: Mapping[tuple[str, str], int],
    origins: Mapping[str, Origin],
    total: int | None,
    text_share: float | None,
    general_share: float | None,
) -> dict[tuple[str, str], int]:
    """Rows to take of every (kind, source)."""
    kinds = {kind: {key: number for key, number in available.items() if key[0] == kind} for kind in KINDS}
    limits = {kind: _limits(rows, origins) for kind, rows in kinds.items()}
    most = {kind: sum(limit.values()) for kind, limit in limits.items()}
    shares = _shares(most, text_share, general_share)
    for kind, share in shares.items():
        if share and not most[kind]:
            raise ValueError(f"mixture: {share:.0%} of the rows are to be of kind {kind!r}, and no source has any")
    if total is None:
        total = int(min((most[kind] / share for kind, share in shares.items() if share), default=0) + 1e-9)
    quotas = _rounded({kind: total * share for kind, share in shares.items()})
    weights = {key: origins.get(key[1], Origin()).weight for key in available}
    return {key: rows for kind in KINDS for key, rows in _filled(quotas[kind], weights, limits[kind]).items()}


def _shares(most: Mapping[str, int], text_share: float | None, general_share: float | None) -> dict[str, float]:
    pictured = most["general"] + most["other"]
    text = text_share if text_share is not None else most["text"] / max(1, most["text"] + pictured)
    general = general_share if general_share is not None else most["general"] / max(1, pictured)
    return {"text": text, "general": (1 - text) * general, "other": (1 - text) * (1 - general)}


def _limits(rows: Mapping[tuple[str, str], int], origins: Mapping[str, Origin]) -> dict[tuple[str, str], int]:
    """What each source of a kind can give: its rows, or the number that the mix wants of it if that is less."""
    wanted = {key: origins.get(key[1], Origin()).rows for key in rows}
    return {key: number if wanted[key] is None else min(number, wanted[key] or 0) for key, number in rows.items()}


def _filled(quota: int, share: Mapping[Any, float], limit: Mapping[Any, int]) -> dict[Any, int]:
    """The quota in proportion to `share`, none above its limit; what a full one cannot take goes to the others."""
    taken = dict.fromkeys(limit, 0)
    open_ = {key for key in limit if share[key] and limit[key]}
    left = min(quota, sum(limit[key] for key in open_))
    while open_:
        whole = sum(share[key] for key in open_)
        full = {key for key in open_ if left * share[key] / whole >= limit[key]}
        if not full:
            return taken | _rounded({key: left * share[key] / whole for key in limit if key in open_})
        for key in full:
            taken[key] = limit[key]
            left -= limit[key]
        open_ -= full
    return taken


def _rounded(numbers: Mapping[Any, float]) -> dict[Any, int]:
    """Whole numbers with the same (rounded) sum: the largest remainders go up, ties in order."""
    whole = {key: int(number + 1e-9) for key, number in numbers.items()}
    missing = round(sum(numbers.values())) - sum(whole.values())
    for key in sorted(numbers, key=lambda key: whole[key] - numbers[key])[:missing]:
        whole[key] += 1
    return whole


def _buckets(columns: Any, origins: Mapping[str, Origin]) -> tuple[Any, list[tuple[str, str]]]:
    """For each row the index of its (kind, source), and all of these."""
    encoded = columns["origin"].combine_chunks().dictionary_encode()
    sources = encoded.dictionary.to_pylist()
    kinds = np.array([KINDS.index("general" if origins.get(name, Origin()).general else "other") for name in sources])
    source = encoded.indices.to_numpy().astype(np.int64)
    kind = np.where(columns["picture"].to_numpy() == 0, 0, kinds[source])
    present, buckets = np.unique(kind * len(sources) + source, return_inverse=True)
    return buckets, [(KINDS[code // len(sources)], sources[code % len(sources)]) for code in present.tolist()]


def _drawn(columns: Any, buckets: Any, wanted: Any, seed: int) -> Any:
    """The sorted `row` of the first wanted[b] rows of each bucket b, in an order drawn from the rows' keys."""
    rows = columns["row"].to_numpy()
    order = np.lexsort((rows, draws(columns["key"].to_numpy(), seed, "mixture"), buckets))
    counts = np.bincount(buckets, minlength=len(wanted))
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(rows[order[place < wanted[buckets[order]]]])
