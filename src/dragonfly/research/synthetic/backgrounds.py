"""The page under its facts: colours, the pattern of the paper, and the decoration of its family. Nothing here is annotated."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass

from PIL import Image, ImageDraw

from .draw_context import Colour, Look
from .layouts import Cell, Cells

_BASE: dict[str, tuple[Colour, float]] = {  # mean colour and how far each channel may stray
    "cream": ((243, 235, 212), 8),
    "kraft": ((206, 178, 138), 10),
    "tinted": ((214, 226, 234), 18),
    "night": ((34, 40, 52), 14),
    "steel": ((176, 184, 190), 12),
    "dish": ((226, 232, 214), 14),
    "stained": ((236, 232, 222), 8),
}
_WHITE: tuple[Colour, float] = ((240, 240, 240), 12)


def draw_look(rng: random.Random, paper: str) -> Look:
    """Draw the colours of a page; text differs from the paper by at least 110 grey levels."""
    (red, green, blue), spread = _BASE.get(paper, _WHITE)
    base = tuple(max(0, min(255, round(value + rng.uniform(-spread, spread)))) for value in (red, green, blue))
    dark = sum(base) < 300
    ink = tuple(rng.randint(*((205, 250) if dark else (0, 55))) for _ in range(3))
    soft = tuple(round(0.78 * a + 0.22 * b) for a, b in zip(base, ink, strict=True))
    accent = tuple(rng.randint(*((60, 120) if dark else (40, 110))) for _ in range(3))
    return Look(base, ink, soft, accent)  # pyright: ignore[reportArgumentType]


def make_paper(rng: random.Random, paper: str, look: Look, size: tuple[int, int]) -> Image.Image:
    """A page of `size` (height, width) in pixels with the pattern of its paper."""
    height, width = size
    image = Image.new("RGB", (width, height), look.paper)
    draw = ImageDraw.Draw(image)
    _PATTERNS.get(paper, _plain)(rng, draw, look, size)
    return image


def _plain(rng: random.Random, draw: ImageDraw.ImageDraw, look: Look, size: tuple[int, int]) -> None:
    pass


def _ruled(rng: random.Random, draw: ImageDraw.ImageDraw, look: Look, size: tuple[int, int]) -> None:
    step = rng.randint(18, 30)
    for y in range(rng.randint(4, step), size[0], step):
        draw.line((0, y, size[1], y), fill=_faint(look, 0.55))


def _squared(rng: random.Random, draw: ImageDraw.ImageDraw, look: Look, size: tuple[int, int]) -> None:
    step = rng.randint(14, 24)
    _ruled(rng, draw, look, size)
    for x in range(rng.randint(2, step), size[1], step):
        draw.line((x, 0, x, size[0]), fill=_faint(look, 0.45))


def _columned(rng: random.Random, draw: ImageDraw.ImageDraw, look: Look, size: tuple[int, int]) -> None:
    step = rng.randint(9, 40)
    for x in range(rng.randint(2, step), size[1], step):
        draw.line((x, 0, x, size[0]), fill=_faint(look, rng.uniform(0.3, 0.8)))


def _hatched(rng: random.Random, draw: ImageDraw.ImageDraw, look: Look, size: tuple[int, int]) -> None:
    step, lean = rng.randint(9, 30), rng.choice((-1, 1)) * rng.uniform(0.4, 2.0) * size[0]
    for x in range(-2 * size[0], size[1] + 2 * size[0], step):
        draw.line((x, 0, x + lean, size[0]), fill=_faint(look, 0.5))


def _speckled(rng: random.Random, draw: ImageDraw.ImageDraw, look: Look, size: tuple[int, int]) -> None:
    points = [(rng.randrange(size[1]), rng.randrange(size[0])) for _ in range(size[0] * size[1] // rng.randint(60, 300))]
    draw.point(points, fill=_faint(look, 1.2))


def _dotted(rng: random.Random, draw: ImageDraw.ImageDraw, look: Look, size: tuple[int, int]) -> None:
    step = rng.randint(10, 16)
    draw.point([(x, y) for x in range(3, size[1], step) for y in range(3, size[0], step)], fill=_faint(look, 1.4))


def _stained(rng: random.Random, draw: ImageDraw.ImageDraw, look: Look, size: tuple[int, int]) -> None:
    for _ in range(rng.randint(2, 5)):
        x, y, r = rng.uniform(0, size[1]), rng.uniform(0, size[0]), rng.uniform(14, 46)
        tone = tuple(round(value * rng.uniform(0.9, 0.97)) for value in look.paper)
        if rng.random() < 0.5:
            draw.ellipse((x - r, y - r, x + r, y + r), fill=tone)
        else:
            draw.ellipse((x - r, y - r, x + r, y + r), outline=tone, width=4)


def _dish(rng: random.Random, draw: ImageDraw.ImageDraw, look: Look, size: tuple[int, int]) -> None:
    height, width = size
    edge = rng.uniform(0.02, 0.08) * min(size)
    dim = tuple(round(value * 0.88) for value in look.paper)
    draw.rectangle((0, 0, width, height), fill=dim)
    draw.rounded_rectangle((edge, edge, width - edge, height - edge), radius=min(size) * 0.4, fill=look.paper)


def _night(rng: random.Random, draw: ImageDraw.ImageDraw, look: Look, size: tuple[int, int]) -> None:
    height, width = size
    draw.rectangle((2, 2, width - 3, height - 3), outline=look.soft, width=2)
    for x, y in ((7, 7), (width - 8, 7), (7, height - 8), (width - 8, height - 8)):
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=look.soft)


def _faint(look: Look, share: float) -> Colour:
    """The paper's colour moved towards `soft` by this share; beyond it for shares above 1."""
    return tuple(round(a + (b - a) * share) for a, b in zip(look.paper, look.soft, strict=True))  # pyright: ignore[reportReturnType]


_PATTERNS = {
    "columned": _columned,
    "hatched": _hatched,
    "speckled": _speckled,
    "ruled": _ruled,
    "squared": _squared,
    "dotted": _dotted,
    "stained": _stained,
    "dish": _dish,
    "night": _night,
    "steel": _night,
}


@dataclass(frozen=True)
class Ground:
    """The page to be decorated: its drawing object, colours and cells, with those `used` by facts and title."""

    rng: random.Random
    draw: ImageDraw.ImageDraw
    look: Look
    cells: Cells
    used: Collection[Cell]

    def tone(self, share: float) -> Colour:
        """The paper's colour moved towards the ink by this share."""
        pairs = zip(self.look.paper, self.look.ink, strict=True)
        red, green, blue = (round(paper + (ink - paper) * share) for paper, ink in pairs)
        return red, green, blue


def decorate(name: str, ground: Ground) -> None:
    """Draw the decoration of a family, if it has one: edges, rules, bands and axes that show its kind at low resolution."""
    if name in _DECORATIONS:
        _DECORATIONS[name](ground)


def _torn(ground: Ground) -> None:
    """A receipt: zigzag edges above and below."""
    height, width = ground.cells.size
    step, depth = ground.rng.randint(8, 12), ground.rng.randint(4, 7)
    for edge, inner in ((0, depth), (height, height - depth)):
        points = [(x, edge if number % 2 else inner) for number, x in enumerate(range(0, width + step, step))]
        ground.draw.polygon([(0, edge), *points, (width, edge)], fill=ground.tone(0.3))


def _rim(ground: Ground) -> None:
    """A label: a broad rim with round corners and a hole."""
    height, width = ground.cells.size
    tone, rim = ground.tone(0.2), ground.rng.randint(5, 8)
    ground.draw.rounded_rectangle((0, 0, width - 1, height - 1), radius=24, outline=tone, width=rim)
    for row, col in ground.rng.sample(sorted(set(ground.cells.all()) - set(ground.used)), 1):
        left, top, right, bottom = ground.cells.box(row, col)
        x, y, radius = (left + right) / 2, (top + bottom) / 2, 12
        ground.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=tone)


def _boxes(ground: Ground) -> None:
    """A form: a box around every cell."""
    tone = ground.tone(0.25)
    for row, col in ground.cells.all():
        ground.draw.rectangle(ground.cells.box(row, col), outline=tone)


def _paragraphs(ground: Ground) -> None:
    """A page: a margin line, and lines of illegible words in a third of the empty cells."""
    height = ground.cells.size[0]
    ground.draw.line((5, 0, 5, height), fill=ground.tone(0.35))
    empty = sorted(set(ground.cells.all()) - set(ground.used))
    for row, col in ground.rng.sample(empty, len(empty) // 3):
        left, top, right, bottom = ground.cells.box(row, col)
        y = top + 8
        while y < bottom - 6:
            x = left + 4
            while x < right - 8:
                length = ground.rng.uniform(5, 16)
                ground.draw.line((x, y, min(x + length, right - 4), y), fill=ground.tone(0.22), width=3)
                x += length + 4
            y += 9


def _bands(ground: Ground) -> None:
    """A table: every other row shaded, and a rule between columns."""
    height, width = ground.cells.size
    for row in range(0, ground.cells.grid[0], 2):
        _, top, _, bottom = ground.cells.box(row, 0)
        ground.draw.rectangle((0, top, width, bottom), fill=ground.tone(0.08))
    for col in range(1, ground.cells.grid[1]):
        left = ground.cells.box(0, col)[0]
        ground.draw.line((left, 0, left, height), fill=ground.tone(0.2))


def _axes(ground: Ground) -> None:
    """A chart: two thick axes with ticks, and level lines."""
    height, width = ground.cells.size
    step = ground.rng.randint(28, 44)
    for y in range(height - step, 0, -step):
        ground.draw.line((3, y, width, y), fill=ground.tone(0.1))
        ground.draw.line((0, y, 6, y), fill=ground.tone(0.5))
    ground.draw.line((2, 0, 2, height), fill=ground.tone(0.5), width=3)
    ground.draw.line((0, height - 3, width, height - 3), fill=ground.tone(0.5), width=3)


_DECORATIONS: dict[str, Callable[[Ground], None]] = {
    "receipt": _torn,
    "label": _rim,
    "form": _boxes,
    "page": _paragraphs,
    "table": _bands,
    "chart": _axes,
}
