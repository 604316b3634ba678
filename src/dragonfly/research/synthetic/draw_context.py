"""A page while it is drawn: its image, the places of everything drawn on it, and its colours, style and face."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Literal

from PIL import Image, ImageDraw

from dragonfly.vision.layout import Box

from .fonts import Face
from .styles import Style

Colour = tuple[int, int, int]
MARGIN = 2.0  # pixels between a fact and the border of its cell


@dataclass(frozen=True)
class Look:
    """The colours of a page: `paper`, `ink` for text, `soft` for lines behind text, `accent` for fills."""

    paper: Colour
    ink: Colour
    soft: Colour
    accent: Colour


@dataclass(frozen=True)
class TextAnnotation:
    """Something drawn on a page.

    Args:
        box: its box in pixels.
        label: the character, the word, or the shape's name.
        kind: `char`, `word` or `shape`; on documents also `line`, `key` and `value`.
        other: of a key, a value, or a word or shape of one, what it belongs to: the value of a key, or the key of a value.
        around: of a word or shape of a fact, the box of the whole fact.
    """

    box: Box
    label: str
    kind: Literal["char", "word", "shape", "line", "key", "value"]
    other: str = ""
    around: Box | None = None


@dataclass
class Page:
    """An image being drawn, with the annotations of everything drawn so far."""

    image: Image.Image
    text_annotations: list[TextAnnotation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = ImageDraw.Draw(self.image)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.image.height, self.image.width

    def text(self, x: float, baseline: float, text: str, face: Face, fill: Colour) -> Box:
        """Draw and annotate words and their characters. Returns the box of the ink."""
        x, baseline = round(x), round(baseline)
        self.draw.text((x, baseline), text, font=face.font, fill=fill, anchor="ls")
        pen, boxes, word = float(x), [], ""
        for char in [*text, " "]:
            advance, (left, top, right, bottom) = face.glyph(char)
            if char == " ":
                if word:
                    ink = boxes[-len(word) :]
                    self.text_annotations.append(TextAnnotation(union(ink), word, "word"))
                    self.text_annotations += [TextAnnotation(box, letter, "char") for box, letter in zip(ink, word, strict=True)]
                word = ""
            else:
                boxes.append((pen + left, baseline + top, pen + right, baseline + bottom))
                word += char
            pen += advance
        return union(boxes)

    def shape(self, box: Box, label: str) -> None:
        """Annotate a shape that was drawn."""
        self.text_annotations.append(TextAnnotation(box, label, "shape"))

    def bind(self, first: int, key: str, value: str, around: Box) -> None:
        """Link the annotations of a fact, those from index `first` on: a key to its value, a value to its key."""
        for at in range(first, len(self.text_annotations)):
            if self.text_annotations[at].kind != "char":
                self.text_annotations[at] = replace(
                    self.text_annotations[at], other=key if self.text_annotations[at].label == value else value, around=around
                )


def union(boxes: list[Box]) -> Box:
    """The smallest box that contains all boxes."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


@dataclass
class DrawContext:
    """All that drawing a fact needs: chance, page, style, colours, face, and whether keys begin with a capital."""

    rng: random.Random
    page: Page
    style: Style
    look: Look
    face: Face
    capitals: bool

    def printed(self, key: str) -> str:
        """A key as it is printed on the page."""
        return key.capitalize() if self.capitals else key

    def spot(self, cell: Box, width: float, height: float) -> tuple[float, float]:
        """(x, y) of the left top corner of a block of this size, at a random place in the cell."""
        left, top, right, bottom = cell
        x = self.rng.uniform(left + MARGIN, max(left + MARGIN, right - MARGIN - width))
        y = self.rng.uniform(top + MARGIN, max(top + MARGIN, bottom - MARGIN - height))
        return x, y
