"""An image being drawn, which remembers where every character, word and shape went."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from PIL import Image, ImageDraw

from .fonts import Face

Box = tuple[float, float, float, float]  # (left, top, right, bottom) in pixels of the image, half-open
Colour = tuple[int, int, int]


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
