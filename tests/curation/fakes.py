"""A mix in a line, samples in a line, images that differ, and tables of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dragonfly.curation.ingest import read_table
from dragonfly.curation.mix import Mix
from dragonfly.curation.steps import STEPS, Job
from dragonfly.curation.table import Table, samples_of
from dragonfly.data import BadRow, ImageRef, Message, Part, Sample


def sample(
    name: str, question: str, answer: str = "yes", image: Path | bytes | None = None, *, group: str | None = None, **fields: Any
) -> Sample:
    """One question, its answer, and at most one image."""
    images: tuple[ImageRef, ...] = ()
    if isinstance(image, Path):
        images = (ImageRef(path=str(image), group=group),)
    elif image is not None:
        images = (ImageRef(bytes=image, group=group),)
    asked = Message("user", (*(Part("image") for _ in images), Part("text", question)))
    values: dict[str, Any] = {"source": "s", **fields}
    return Sample(name, images=images, messages=(asked, Message("assistant", (Part("text", answer),))), **values)


def image(seed: int, width: int = 64, height: int = 48) -> Image.Image:
    """Smooth coloured noise: no two seeds look alike."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((width, height), Image.Resampling.BICUBIC)


def saved(folder: Path, seed: int, name: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or f"{seed}.png")
    image(seed).save(path)
    return path


def table(folder: Path, samples: Iterable[Sample | BadRow], origin: str | None = None) -> Table:
    """A table of the samples; the origin is each one's own source unless it is given."""
    by_origin: dict[str, list[Any]] = {}
    for item in samples:
        by_origin.setdefault(origin or getattr(item, "source", "s"), []).append(item)
    return read_table(by_origin.items(), folder / "table", folder / "store")[0]


def run_step(table: Table, name: str, job: Job | None = None, **options: Any) -> tuple[list[str], dict[str, Any]]:
    """(ids of the rows that are left, counts) of one step."""
    result, counts = stepped(table, name, job, **options)
    return ids(result), counts


def stepped(table: Table, name: str, job: Job | None = None, **options: Any) -> tuple[Table, dict[str, Any]]:
    number = len(list(table.folder.parent.iterdir()))
    target = table.folder.parent / f"{number}-{name}"
    target.mkdir()
    return STEPS[name](table, target, job or Job(), **options)


def ids(table: Table) -> list[str]:
    return [sample.id for part in table.batches() for sample in samples_of(part)]


def mix_of(rows: Path, *steps: dict[str, Any], name: str = "made up", seed: int = 0, **more: Any) -> Mix:
    """A mix of one source, `made`, that reads any file of rows."""
    source = {"name": "made", "path": str(rows), "format": "auto"}
    return Mix.model_validate({"name": name, "seed": seed, "sources": [source], "steps": list(steps), **more})
