"""What a source reads from its small published layout, and what stands in it."""

from pathlib import Path

from dragonfly.curation.sources import SOURCES
from dragonfly.data import Message, Part, Sample

from .layouts import LAYOUTS


def samples(name: str, folder: Path) -> list[Sample]:
    return [row for row in SOURCES[name].read(folder) if isinstance(row, Sample)]


def layout_samples(name: str, folder: Path) -> list[Sample]:
    """Write the source's small layout, then read it."""
    LAYOUTS[name](folder)
    return samples(name, folder)


def told(read: list[Sample], key: str) -> list[object]:
    return [sample.meta.get(key) for sample in read]


def groups(read: list[Sample]) -> list[str | None]:
    return [sample.images[0].group for sample in read]


def said(*texts: str) -> tuple[Message, ...]:
    return tuple(Message(("user", "assistant")[n % 2], (Part("text", text),)) for n, text in enumerate(texts))
