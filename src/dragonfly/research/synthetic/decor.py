"""What makes a page look like its family from afar: edges, rules, bands and axes, all fainter than text.

Drawn before the facts, so that text is on top; unlabelled.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass

from PIL import ImageDraw

from .backgrounds import Look
from .cells import Cell, Cells
from .page_record import Colour


@dataclass(frozen=True)
class Ground:
    """The blank page: its pen, colours, cells, and those `used` by facts and title."""

    rng: random.Random
    draw: ImageDraw.ImageDraw
    look: Look
    cells: Cells
    used: Collection[Cell]

    def tone(self, share: float) -> Colour:
        """The paper, towards the ink by this share."""
        pairs = zip(self.look.paper, self.look.ink, strict=True)
        red, green, blue = (round(paper + (ink - paper) * share) for paper, ink in pairs)
        return red, green, blue


def decorate(name: str, ground: Ground) -> None:
    """Draw the decoration of the family of this name, if it has one."""
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
