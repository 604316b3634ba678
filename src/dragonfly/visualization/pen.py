"""Type, colours and the few strokes that the drawings share: frames, badges, boxes, arrows and lines of text.

Text uses the scalable font inside Pillow, so a drawing needs no font file. Coordinates are pixels of the drawing.
"""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Point = tuple[int, int]
Rect = tuple[int, int, int, int]  # left, top, right, bottom; right and bottom are outside
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAPER: Colour = (252, 252, 250)
INK: Colour = (28, 30, 34)
FAINT: Colour = (110, 114, 122)
PALE: Colour = (226, 230, 236)
PADDING: Colour = (128, 128, 128)  # beyond an image that keeps its aspect ratio
# Colours that people with any colour vision tell apart (Okabe and Ito, "Color universal design", 2008), made brighter.
PALETTE: tuple[Colour, ...] = (
    (255, 176, 0),
    (86, 190, 255),
    (0, 200, 140),
    (255, 110, 190),
    (250, 236, 70),
    (255, 96, 30),
    (130, 140, 255),
    (205, 205, 205),
)


class Type:
    """Fonts and spacing for a drawing of a given width."""

    def __init__(self, width: int) -> None:
        scale = width / 1200
        self.margin = max(8, round(20 * scale))
        self.gap = max(3, round(6 * scale))
        self.stroke = max(2, round(3 * scale))
        self.head: Font = ImageFont.load_default(max(14, round(21 * scale)))
        self.text: Font = ImageFont.load_default(max(11, round(16 * scale)))
        self.small: Font = ImageFont.load_default(max(9, round(12.5 * scale)))


def line_height(font: Font) -> int:
    _, top, _, bottom = font.getbbox("Ag|")
    return round((bottom - top) * 1.35)


def wrap(text: str, width: int, font: Font) -> list[str]:
    """Lines no wider than `width`; a word longer than that is cut."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        while font.getlength(word) > width:
            word = word[:-1]  # noqa: PLW2901 - one letter less until it fits
        joined = f"{line} {word}".strip()
        if font.getlength(joined) <= width:
            line = joined
        else:
            lines.append(line)
            line = word
    return [*lines, line] if line else lines


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

    def frame(self, rect: Rect, colour: Colour, stroke: int) -> None:
        """A frame inside `rect` with a dark hairline on both sides, so that it shows on light and on dark images."""
        left, top, right, bottom = rect
        for inset, line in [(0, INK), *((i, colour) for i in range(1, stroke + 1)), (stroke + 1, INK)]:
            if right - left > 2 * inset + 1 and bottom - top > 2 * inset + 1:
                self._draw.rectangle((left + inset, top + inset, right - 1 - inset, bottom - 1 - inset), outline=line)

    def badge(self, text: str, rect: Rect, corner: str, fill: Colour) -> bool:
        """A label in a corner of `rect` (t or b, then l or r). False, and nothing drawn, if it does not fit."""
        left, top, right, bottom = rect
        font = self.type.small
        pad = max(2, line_height(font) // 5)
        width, height = round(font.getlength(text)) + 2 * pad, line_height(font) + pad // 2
        if width > right - left or height > bottom - top:
            return False
        x = left if corner[1] == "l" else right - width
        y = top if corner[0] == "t" else bottom - height
        self._draw.rectangle((x, y, x + width - 1, y + height - 1), fill=fill, outline=INK)
        _, above, _, below = font.getbbox(text)
        self._draw.text((x + pad, y + (height - (below + above)) // 2), text, fill=INK, font=font)
        return True

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
