"""A page with its questions: the rows of a manifest that share an image, of the kinds that a close reader learns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from PIL import Image

from dragonfly.data import Sample
from dragonfly.vision.layout import Box

READ = ("read", "next to")
"""Kinds of question whose answer stands in one place, in glyphs that have to be read."""

LEARNED = (*READ, "look", "absent")


@dataclass(frozen=True)
class Asked:
    """A question with its answer, and the box in source pixels that holds it; None asks about what is not on the page."""

    text: str
    answer: str
    kind: str
    box: Box | None


@dataclass(frozen=True)
class Page:
    """An image and what is asked about it."""

    path: Path
    questions: tuple[Asked, ...]

    def open(self) -> Image.Image:
        with Image.open(self.path) as image:
            return image.convert("RGB")


def pages(rows: Iterable[Sample], kinds: tuple[str, ...] = LEARNED) -> Iterator[Page]:
    """Pages in the order of their rows, which stand together; without a question of the kinds a page is left out.

    Raises:
        ValueError: for a row without exactly one image that is a file.
    """
    for images, group in groupby(rows, key=lambda row: row.images):
        samples = list(group)
        if len(images) != 1 or images[0].path is None:
            raise ValueError(f"row {samples[0].id!r} has {len(images)} images; a close reader learns from one file each")
        asked = tuple(one for sample in samples if (one := _asked(sample)) is not None and one.kind in kinds)
        if asked:
            yield Page(Path(images[0].path), asked)


def _asked(sample: Sample) -> Asked | None:
    """None for a question about several places."""
    boxes = sample.evidence[0] if sample.evidence else ()
    if len(boxes) > 1:
        return None
    question, answer = sample.messages[-2].text, sample.messages[-1].text
    box = None if not boxes else (boxes[0][0], boxes[0][1], boxes[0][2], boxes[0][3])
    return Asked(question, answer, str(sample.meta["kind"]), box)
