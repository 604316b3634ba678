"""Type, colours and the few strokes that the drawings share: outlines, boxes, bars, arrows and lines of text.

Text uses the scalable font inside Pillow, so a drawing needs no font file. Coordinates are pixels of the drawing.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cache

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Point = tuple[int, int]
Rect = tuple[int, int, int, int]  # left, top, right, bottom; right and bottom are outside
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER: Colour = (252, 252, 250)
INK: Colour = (26, 29, 33)
FAINT: Colour = (107, 114, 128)
PALE: Colour = (226, 230, 236)
ACCENT: Colour = (11, 114, 181)  # looked at closely, and nothing else
PADDING: Colour = (128, 128, 128)  # beyond an image that keeps its aspect ratio
# Colours that people with any colour vision tell apart (Okabe and Ito, "Color universal design", 2008), made brighter.
PALETTE: tuple[Colour, ...] = ((255, 176, 0), (86, 190, 255), (0, 200, 140))


class Type:
    """Fonts and spacing for a drawing of a given width."""

    def __init__(self, width: int) -> None:
        scale = width / 1200
        self.margin = max(8, round(20 * scale))
        self.gap = max(3, round(6 * scale))
        self.stroke = max(2, round(3 * scale))
        self.head: Font = font_of(max(14, round(21 * scale)))
        self.text: Font = font_of(max(11, round(16 * scale)))
        self.small: Font = font_of(max(9, round(12.5 * scale)))


@cache
def font_of(size: int) -> Font:
    """The sans that Pillow brings, so that a drawing needs no font file."""
    return ImageFont.load_default(size)


def line_height(font: Font) -> int:
    _, top, _, bottom = font.getbbox("Ag|")
    return round((bottom - top) * 1.35)


def wrap(text: str, width: int, font: Font) -> list[str]:
    """Lines no wider than `width`; a word longer than that is broken."""
    lines: list[str] = []
    line = ""
    for word in (part for whole in text.split() for part in _broken(whole, width, font)):
        joined = f"{line} {word}".strip()
        if font.getlength(joined) <= width:
            line = joined
        else:
            lines.append(line)
            line = word
    return [*lines, line] if line else lines


def _broken(word: str, width: int, font: Font) -> list[str]:
    """The word, or where it is too long its longest beginnings that fit, one after the other."""
    parts: list[str] = []
    while font.getlength(word) > width and len(word) > 1:
        fits = bisect_right(range(1, len(word)), width, key=lambda count: font.getlength(word[:count]))
        parts.append(word[: max(1, fits)])
        word = word[max(1, fits) :]
    return [*parts, word]


class Pen:
    """Draws on one page."""

    def __init__(self, page: Image.Image, letters: Type) -> None:
        self.page = page
        self.type = letters
        self._draw = ImageDraw.Draw(page)

    def say(self, lines: list[str], at: Point, font: Font, colour: Colour = INK) -> None:
        """Lines of text, the first one's top left corner at `at`."""
        for i, line in enumerate(lines):
            self._draw.text((at[0], at[1] + i * line_height(font)), line, fill=colour, font=font)

    def outline(self, rect: Rect, colour: Colour, stroke: int) -> None:
        """A frame on the edges of `rect`, half of it inside: neighbours' frames fall on each other."""
        left, top, right, bottom = rect
        out = stroke // 2
        self._draw.rectangle((left - out, top - out, right - 1 + out, bottom - 1 + out), outline=colour, width=stroke)

    def edges(self, rect: Rect, within: Rect, colour: Colour) -> None:
        """A dotted hairline along the edges of `rect` that are not edges of `within`."""
        left, top, right, bottom = rect
        if right < within[2]:
            self._draw.point([(right, y) for y in range(top, bottom) if y % 6 < 4], fill=colour)
        if bottom < within[3]:
            self._draw.point([(x, bottom) for x in range(left, right) if x % 6 < 4], fill=colour)

    def bar(self, rect: Rect, colour: Colour, *, hatched: bool) -> None:
        """A filled bar, or a framed one with slanted lines."""
        left, top, right, bottom = rect
        if right - left < 1:
            return
        if not hatched:
            self._draw.rectangle((left, top, right - 1, bottom - 1), fill=colour)
            return
        tall = bottom - top - 1
        self._draw.rectangle((left, top, right - 1, bottom - 1), outline=colour)
        for x in range(left, right + tall, max(3, tall // 3)):
            low, high = max(left, x - tall), min(right - 1, x)  # y falls by as much as x grows
            self._draw.line((low, top + x - low, high, top + x - high), fill=colour)

    def box(self, lines: list[str], rect: Rect, fill: Colour = PALE) -> None:
        """A filled box with centred lines."""
        left, top, right, bottom = rect
        font = self.type.text
        self._draw.rounded_rectangle((left, top, right, bottom), 10, fill=fill, outline=INK, width=2)
        y = (top + bottom - len(lines) * line_height(font)) // 2
        for i, line in enumerate(lines):
            self.say([line], ((left + right - round(font.getlength(line))) // 2, y + i * line_height(font)), font)

    def tile(self, rect: Rect, fill: Colour) -> None:
        self._draw.rectangle(rect, fill=fill, outline=INK)

    def line(self, points: list[Point], colour: Colour = FAINT, stroke: int | None = None) -> None:
        self._draw.line(points, fill=colour, width=stroke or self.type.stroke)

    def arrow(self, start: Point, end: Point) -> None:
        """A level line to the right that ends in a head."""
        (x, y), (u, _) = start, end
        size = 3 * self.type.stroke
        self.line([(x, y), (u - size, y)])
        self._draw.polygon([(u, y), (u - size, y - size // 2 - 1), (u - size, y + size // 2 + 1)], fill=FAINT)
