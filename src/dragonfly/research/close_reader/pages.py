"""Pages of which a close-up of a lens holds a fact whole, with their questions.

A lens cuts windows of twice its cells' side, in steps of a cell. Pages of the specification `nano` bind facts to cells of 64
pixels. Drawn no larger than that, such a cell is a window of a lens whose close-ups have 64 pixels, but for a few pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from PIL import Image

from dragonfly.research.synthetic import SPECS, make_image
from dragonfly.vision.layout import Box

SPEC = replace(SPECS["nano"], jitter=(0.92, 1.0))

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

    image: Image.Image
    questions: tuple[Asked, ...]


def pages(split: str, seed: int, count: int, kinds: tuple[str, ...] = LEARNED) -> Iterator[Page]:
    """Pages of a split with their questions of these kinds about one place or none; the same on every machine."""
    for number in range(count):
        drawn = make_image(SPEC, split, seed, number)
        single = [one for one in drawn.questions if one.kind in kinds and len(one.evidence) <= 1]
        asked = [Asked(one.text, one.answer, one.kind, one.evidence[0] if one.evidence else None) for one in single]
        yield Page(drawn.image, tuple(asked))
