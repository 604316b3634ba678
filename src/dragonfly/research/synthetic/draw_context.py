"""A page while it is drawn: its image, the places of everything drawn on it, and its colours, style and face."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Literal

from PIL import Image, ImageDraw

from .fonts import Face
from .styles import Style

Box = tuple[float, float, float, float]  # (left, top, right, bottom) in pixels of the image, half-open
Colour = tuple[int, int, int]
MARGIN = 2.0  # pixels between a fact and the border of its cell


@dataclass(frozen=True)
class Look:
    """The colours of a page: `ink` for text, `soft` for lines behind it, `accent` for fills, `paper` under all."""

    paper: Colour
    ink: Colour
    soft: Colour
    accent: Colour


@dataclass(frozen=True)
class TextAnnotation:
    """The box of something drawn and what it says; of a fact's words and shapes also what they belong to, and the fact's box."""

    box: Box
    label: str
    kind: Literal["char", "word", "shape"]
    other: str = ""
    around: Box | None = None


@dataclass
class Page:
    """An image, its pen, and the text annotations so far."""

    image: Image.Image
    text_annotations: list[TextAnnotation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = ImageDraw.Draw(self.image)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.image.height, self.image.width

    def text(self, x: float, baseline: float, text: str, face: Face, fill: Colour) -> Box:
        """Draw words and annotation them and their characters; the ink's box."""
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
        """Mark a shape that was drawn."""
        self.text_annotations.append(TextAnnotation(box, label, "shape"))

    def bind(self, first: int, key: str, value: str, around: Box) -> None:
        """Say of the words and shapes marked since the `first` that they belong together: key to value, value to key."""
        for at in range(first, len(self.text_annotations)):
            if self.text_annotations[at].kind != "char":
                self.text_annotations[at] = replace(
                    self.text_annotations[at], other=key if self.text_annotations[at].label == value else value, around=around
                )


def union(boxes: list[Box]) -> Box:
    """The smallest box around all."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


@dataclass
class Sheet:
    """A page while facts are drawn on it. `case` changes how keys are printed."""

    rng: random.Random
    page: Page
    style: Style
    look: Look
    face: Face
    capitals: bool

    def printed(self, key: str) -> str:
        """A key as it stands on the page."""
        return key.capitalize() if self.capitals else key

    def spot(self, cell: Box, width: float, height: float) -> tuple[float, float]:
        """The left top corner of a block of this size, anywhere in the cell."""
        left, top, right, bottom = cell
        x = self.rng.uniform(left + MARGIN, max(left + MARGIN, right - MARGIN - width))
        y = self.rng.uniform(top + MARGIN, max(top + MARGIN, bottom - MARGIN - height))
        return x, y
