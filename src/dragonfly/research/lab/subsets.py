"""Training rows for a variant: parts of a manifest, some of them several times, as manifests of their own.

Promises the same rows for the same subset, whoever writes them first. Knows no training.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dragonfly.data import Manifest, Sample, write_manifest
from dragonfly.files import sha256

from .study import Subset, agrees


def sources(subsets: Sequence[Subset], folder: Path) -> list[dict[str, Any]]:
    """The subsets as a recipe's sources; those that are no whole manifest are written below `folder`, once."""
    return [
        {"name": f"subset-{number}", "path": str(_manifest(one, folder)), "group_questions": one.group_questions}
        for number, one in enumerate(subsets)
    ]


def _manifest(subset: Subset, folder: Path) -> Path:
    manifest = Manifest.open(subset.path)
    if not subset.where and subset.images is None and subset.copies == 1:
        return manifest.path.parent
    about = {**subset.model_dump(exclude={"path", "group_questions"}), "manifest": sha256(manifest.path)}
    target = folder / sha256(json.dumps(about, sort_keys=True).encode())[:16]
    if target.is_dir():
        return target
    rows = list(_rows(manifest, subset))
    if not rows:
        raise ValueError(f"no row of {subset.path} agrees with {subset.where}; see the meta of its rows")
    stored = "bytes" if any(image.bytes is not None for image in rows[0].images) else "path"
    try:
        write_manifest(rows, target, store_images=stored)
    except (OSError, ValueError):
        if not target.is_dir():  # else another worker was first, with the same rows
            raise
    return target


def _rows(manifest: Manifest, subset: Subset) -> Iterator[Sample]:
    """Rows in the manifest's order; copies follow their row, with a number after its id."""
    seen: dict[object, None] = {}
    for row in manifest:
        if not agrees(row.meta, subset.where):
            continue
        seen.setdefault(row.images or row.id)
        if subset.images is not None and len(seen) > subset.images:
            return
        yield row
        for number in range(1, subset.copies):
            yield replace(row, id=f"{row.id}+{number}")
