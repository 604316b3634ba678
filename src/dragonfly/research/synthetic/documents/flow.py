"""Print a page from top to bottom: lines, pairs of key and value, rules and gaps, between a left and a right margin."""

from __future__ import annotations

import random
from dataclasses import dataclass

from . import content
from .concepts import Concept
from .sheet import Entry, Ink, Run, Sheet
from .typefaces import Typeface, draw_typeface


@dataclass(frozen=True)
class Order:
    """What a page is made from: its generator, split, kind of typefaces, and template, the parts of its layout by name."""

    rng: random.Random
    split: str
    source: str
    template: dict[str, str]
    dates: int
    amounts: str

    @property
    def style(self) -> str:
        """The template's name."""
        return "/".join(self.template.values())


@dataclass
class Flow:
    """A pen that moves down the sheet between `left` and `right`; `y` is the next line's top, which moves by `pitch` lines."""

    order: Order
    sheet: Sheet
    face: Typeface
    left: float
    right: float
    y: float
    pitch: float = 1.0
    ink: Ink = 0

    @property
    def rng(self) -> random.Random:
        return self.order.rng

    @property
    def width(self) -> float:
        return self.right - self.left

    def step(self, face: Typeface | None = None) -> float:
        """Move down by a line; its baseline."""
        face = face or self.face
        baseline = self.y + face.cap * 1.25
        self.y += face.line * self.pitch
        return baseline

    def fitted(self, text: str, face: Typeface, width: float) -> Typeface:
        """The face, or a smaller one in which the text is no wider than `width`."""
        wide = face.width(text)
        return face if wide <= width else face.sized(max(0.35, width / wide * 0.98))

    def print(self, text: str, align: str = "left", face: Typeface | None = None) -> Run:
        """A line of its own."""
        face = self.fitted(text, face or self.face, self.width)
        x = {"left": self.left, "right": self.right, "centre": (self.left + self.right) / 2}[align]
        return self.sheet.text(x, self.step(face), text, face, self.ink, align)  # pyright: ignore[reportArgumentType]

    def pair(
        self,
        key: str,
        value: str,
        concept: str,
        meaning: Concept,
        style: str = "row",
        face: Typeface | None = None,
        number: float | None = None,
        mark: str | None = None,
    ) -> None:
        """A key and its value on one line: `row` at both margins, `right` close together at the right, `inline`, or `tab`."""
        face = face or self.face
        mark = self.rng.choice((":", ":", " :", "")) if mark is None else mark
        room = self.width - face.width(value) - 2 * face.glyph(" ").advance
        face = self.fitted(key + mark, face, max(room, self.width * 0.35))
        base = self.step(face)
        shown = key + mark
        if style == "inline":
            line = f"{shown} {value}"
            run = self.sheet.text(self.left, base, line, self.fitted(line, face, self.width), self.ink)
            key_run, value_run = self.sheet.part(run, line, key), (run[1] - len(value.replace(" ", "")), run[1])
        else:
            at = (
                self.right - face.width(value)
                if style != "tab"
                else max(self.left + 0.36 * self.width, self.left + face.width(shown) + face.cap)
            )
            x = at - face.width(shown) - 1.5 * face.cap if style == "right" else self.left
            run = self.sheet.text(max(self.left, x), base, shown, face, self.ink)
            key_run = self.sheet.part(run, shown, key)
            value_run = self.sheet.text(at, base, value, face, self.ink)
        self.sheet.enter(entry(key, value, key_run, value_run, concept, meaning, face.cap, number))

    def rule(self, kind: str) -> None:
        """A line across the page: drawn, doubled, or printed as dashes, which are not annotated."""
        y, face = self.y + self.face.cap * 0.5, self.face
        if kind in ("line", "double"):
            thick = self.rng.choice((1, 1, 2))
            self.sheet.draw.line((self.left, y, self.right, y), fill=self.ink, width=thick)
            if kind == "double":
                self.sheet.draw.line((self.left, y + 4, self.right, y + 4), fill=self.ink, width=thick)
            self.y += face.cap
        elif kind in "-=*._":
            glyph, x = face.glyph(kind), self.left
            base = round(self.y + face.cap)
            while x + glyph.advance <= self.right:
                self.sheet.image.paste(self.ink, (round(x) + glyph.left, base + glyph.top), glyph.mask)
                x += max(2.0, glyph.advance)
            self.y += face.cap * 1.35
        else:
            self.y += face.cap * 0.6

    def gap(self, lines: float) -> None:
        self.y += lines * self.face.line

    def barcode(self, height: float) -> None:
        """Bars in the middle, with a number below at times."""
        width = self.width * self.rng.uniform(0.4, 0.8)
        x, thin = round(self.left + (self.width - width) / 2), self.rng.choice((1, 2))
        end = x + width
        while x < end:
            bar = thin * self.rng.randint(1, 4)
            self.sheet.draw.rectangle((x, self.y, x + bar - 1, self.y + height), fill=self.ink)
            x += bar + thin * self.rng.randint(1, 3)
        self.y += height + 2
        if self.rng.random() < 0.6:
            self.print(content.digits(self.rng, 12), "centre", self.face.sized(0.9))
        self.sheet.bottom = max(self.sheet.bottom, self.y)

    def other_face(self, factor: float, styles: tuple[str, ...] = ("mono", "sans", "serif")) -> Typeface:
        return draw_typeface(self.rng, self.order.source, styles, self.face.cap * factor)


def entry(
    key: str, value: str, key_run: Run, value_run: Run, concept: str, meaning: Concept, cap: float, number: float | None = None
) -> Entry:
    """The entry of a printed key and value."""
    plain = key.lower().rstrip(".:#").strip()
    names = tuple(dict.fromkeys((*((plain,) * (len(plain) > 2)), *meaning.names)))
    return Entry(meaning.form, key, value, (key_run,), (value_run,), names, "", concept, number, cap)
