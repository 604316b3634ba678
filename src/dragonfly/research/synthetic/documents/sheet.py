"""A page while it is drawn: its pixels, every character with its place, and the entries that questions are asked about.

Places are kept as runs of characters, not as boxes, so they stay exact when the page is bent: each character moves by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from PIL import Image, ImageDraw

from dragonfly.vision.layout import Box

from .typefaces import Typeface

Ink = int | tuple[int, int, int]
Run = tuple[int, int]  # characters from the first up to, without, the last
Align = Literal["left", "right", "centre"]


@dataclass(frozen=True)
class Span:
    """A word, line, key or value: its characters; of a key or value also the text and characters of its partner."""

    kind: Literal["word", "line", "key", "value"]
    label: str
    runs: tuple[Run, ...]
    other: str = ""
    partner: tuple[Run, ...] = ()


@dataclass(frozen=True)
class Entry:
    """Something that a page says and can be asked for.

    Args:
        form: how its value is asked for: value, money, date, time, company, cell or price.
        key: its key as it is printed; of a cell the row.
        value: as it is printed.
        key_runs, value_runs: their characters.
        names: what people call the key, none of another entry; of a cell the row.
        col: of a cell, what people call its column.
        concept: what it is, whatever its name; two entries of a page have one only if they are cells.
        number: its value as a number, if it is one.
        cap: height of its smaller capitals on the sheet, in pixels.
    """

    form: str
    key: str
    value: str
    key_runs: tuple[Run, ...]
    value_runs: tuple[Run, ...]
    names: tuple[str, ...] = ()
    col: str = ""
    concept: str = ""
    number: float | None = None
    cap: float = 0.0

    @property
    def runs(self) -> tuple[Run, ...]:
        return self.key_runs + self.value_runs


@dataclass
class Sheet:
    """A page of (width, height) pixels in mode "L" or "RGB", white if no paper is given."""

    size: tuple[int, int]
    mode: str = "L"
    paper: Ink | None = None
    chars: list[str] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    bottom: float = 0.0

    def __post_init__(self) -> None:
        white = 255 if self.mode == "L" else (255, 255, 255)
        self.image = Image.new(self.mode, self.size, white if self.paper is None else self.paper)
        self.draw = ImageDraw.Draw(self.image)

    def text(self, x: float, baseline: float, text: str, face: Typeface, ink: Ink = 0, align: Align = "left") -> Run:
        """Print a line of text with its left end, right end or middle at `x`. Its characters."""
        if align != "left":
            x -= face.width(text) / (1 if align == "right" else 2)
        first, word, pen, y = len(self.chars), len(self.chars), x, round(baseline)
        for char in text:
            glyph = face.glyph(char)
            if char == " ":
                self._word(word)
                word = len(self.chars)
            else:
                left, top = round(pen) + glyph.left, y + glyph.top
                self.image.paste(ink, (left, top), glyph.mask)
                self.chars.append(char)
                self.boxes.append((left, top, left + glyph.mask.width, top + glyph.mask.height))
            pen += glyph.advance
        self._word(word)
        run = first, len(self.chars)
        self.spans.append(Span("line", text.strip(), (run,)))
        self.bottom = max(self.bottom, baseline + 0.4 * face.cap)
        return run

    def _word(self, first: int) -> None:
        if first < len(self.chars):
            self.spans.append(Span("word", "".join(self.chars[first:]), ((first, len(self.chars)),)))

    def enter(self, entry: Entry) -> None:
        """Remember an entry, and annotate its key and its value."""
        self.entries.append(entry)
        if entry.key_runs and entry.form not in ("cell", "price"):
            self.spans.append(Span("key", entry.key, entry.key_runs, entry.value, entry.value_runs))
        self.spans.append(Span("value", entry.value, entry.value_runs, entry.key, entry.key_runs))

    def part(self, run: Run, text: str, part: str) -> Run:
        """The characters of `part` within those of the printed `text`; ValueError where it is not in it."""
        start = len(text[: text.index(part)].replace(" ", ""))
        return run[0] + start, run[0] + start + len(part.replace(" ", ""))

    def crop(self, height: int) -> None:
        """Cut the page below `height`, which nothing printed reaches."""
        self.size = self.size[0], height
        self.image = self.image.crop((0, 0, *self.size))
        self.draw = ImageDraw.Draw(self.image)


def runs_box(boxes: Sequence[Box], runs: Sequence[Run]) -> Box:
    """The smallest box around the characters of the runs."""
    chosen = [box for first, last in runs for box in boxes[first:last]]
    lefts, tops, rights, bottoms = zip(*chosen, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)
