"""A mix without files, samples in a line, images that differ, and tables of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dragonfly.curation.ingest import read_table
from dragonfly.curation.steps import STEPS, Job
from dragonfly.curation.table import Table, samples_of
from dragonfly.data import BadRow, ImageRef, Message, Part, Sample, read


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


@dataclass(frozen=True)
class FakeSource:
    """A source of a mix that reads any file; counts how often it was read."""

    name: str
    path: str
    weight: float = 1.0
    rows: int | None = None
    exclude: tuple[str, ...] = ()
    is_general: bool = True
    reads: list[str] = field(default_factory=list, compare=False)

    def read(self) -> Iterator[Sample | BadRow]:
        self.reads.append(self.path)
        return read(self.path)

    def model_dump(self, mode: str = "python") -> dict[str, Any]:
        return {"name": self.name, "path": self.path, "weight": self.weight, "rows": self.rows, "exclude": list(self.exclude)}


class FakeStep:
    def __init__(self, step: str, **options: Any) -> None:
        self.step, self.options = step, options

    def model_dump(self, mode: str = "python") -> dict[str, Any]:
        return {"step": self.step, "expected": None, **self.options}


@dataclass(frozen=True)
class FakeMix:
    sources: Sequence[FakeSource]
    steps: Sequence[FakeStep]
    name: str = "made up"
    seed: int = 0

    def model_dump(self, mode: str = "python") -> dict[str, Any]:
        parts = {"sources": self.sources, "steps": self.steps}
        return {
            "name": self.name,
            "seed": self.seed,
            **{key: [each.model_dump() for each in value] for key, value in parts.items()},
        }
