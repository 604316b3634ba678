"""The places of facts on a page, in the cells of a grid or free. Places do not overlap, and their facts fit into them.

Cells and high sub-images share one grid, so a fact inside a cell lies in one high sub-image. At most `most_per_region` cells
under one mid sub-image hold facts or the title.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from dragonfly.vision.layout import Box

from .charts import plot_capacity
from .document_spec import Grid, SynthSpec
from .facts import FAMILIES, Fact, Family, make_facts, with_values
from .fields import room
from .fonts import Face, face
from .styles import Style

Cell = tuple[int, int]  # (row, col)

MID_GRIDS: dict[Grid, Grid] = {(4, 6): (2, 2), (6, 4): (2, 2), (3, 8): (1, 4), (8, 3): (4, 1)}
TITLE_SHARE = 0.35  # of the images
_ICON = {"pie": 18.0, "dial": 18.0, "sideways": 14.0}  # least pixels beside a value that its icon takes
_PLOTS = 0.7  # share of free pages with bars or points that hold one chart, not a mark per category
_FREE_CELL = 64  # side in pixels of the cells by which free pages are decorated


@dataclass(frozen=True)
class Cells:
    """The grid of a page.

    Args:
        size: (height, width) of the image in pixels.
        grid: (rows, cols) of cells, and of high sub-images.
        mid: (rows, cols) of mid sub-images.
    """

    size: tuple[int, int]
    grid: Grid
    mid: Grid

    @property
    def cell_size(self) -> tuple[float, float]:
        """(height, width) of a cell in pixels."""
        return self.size[0] / self.grid[0], self.size[1] / self.grid[1]

    def box(self, row: int, col: int, cols: int = 1) -> Box:
        """The box of a cell, or of `cols` adjacent cells."""
        height, width = self.cell_size
        return col * width, row * height, (col + cols) * width, (row + 1) * height

    def region(self, row: int, col: int) -> tuple[int, int]:
        """(row, col) of the mid sub-image over a cell."""
        return row * self.mid[0] // self.grid[0], col * self.mid[1] // self.grid[1]

    def all(self) -> list[Cell]:
        return [(row, col) for row in range(self.grid[0]) for col in range(self.grid[1])]


def draw_cells(rng: random.Random, spec: SynthSpec) -> Cells:
    """Draw the grid and the size of a page."""
    grid = rng.choice(spec.grids)
    height, width = (round(count * spec.cell * rng.uniform(*spec.jitter)) for count in grid)
    return Cells((height, width), grid, MID_GRIDS[grid])


def title_cells(rng: random.Random, cells: Cells) -> list[Cell]:
    """Adjacent cells of the first row for a title, under one mid sub-image where possible: two on a narrow page, else three."""
    count = 2 if cells.grid[1] <= 4 else 3
    starts = [col for col in range(cells.grid[1] - count + 1) if cells.region(0, col) == cells.region(0, col + count - 1)]
    start = rng.choice(starts or range(cells.grid[1] - count + 1))
    return [(0, col) for col in range(start, start + count)]


def choose_cells(rng: random.Random, cells: Cells, spec: SynthSpec, title: list[Cell]) -> list[Cell]:
    """Draw cells for facts, in random order, without those of the title."""
    total = len(cells.all())
    wanted, most = (total * 5 // 6, total) if spec.crowded else (rng.randint(*spec.facts), spec.most_per_region)
    load: dict[tuple[int, int], int] = {}
    for cell in title:
        load[cells.region(*cell)] = load.get(cells.region(*cell), 0) + 1
    chosen: list[Cell] = []
    for cell in rng.sample(cells.all(), total):
        region = cells.region(*cell)
        if cell not in title and len(chosen) < wanted and load.get(region, 0) < most:
            load[region] = load.get(region, 0) + 1
            chosen.append(cell)
    return chosen


@dataclass(frozen=True)
class Item:
    """A fact, the box that it is drawn into, and its face."""

    fact: Fact
    slot: Box
    face: Face


@dataclass(frozen=True)
class PageLayout:
    """A page before it is drawn.

    Args:
        cells: its grid.
        used: the cells that hold facts or the title.
        title: the title's box; None without one.
        items: the facts with their places.
        absent: keys that could have been drawn and were not.
        plot: the box of one chart of all facts; None where each fact has its own place.
    """

    cells: Cells
    used: frozenset[Cell]
    title: Box | None
    items: tuple[Item, ...]
    absent: tuple[str, ...]
    plot: Box | None = None


def bound_layout(rng: random.Random, spec: SynthSpec, split: str, name: str, style: Style) -> PageLayout:
    """A layout with every fact inside a cell, all in one face."""
    cells = draw_cells(rng, spec)
    title = title_cells(rng, cells) if rng.random() < TITLE_SHARE else []
    chosen = choose_cells(rng, cells, spec, title)
    family, one = with_values(FAMILIES[name], spec.values), _face(rng, spec, style, name, cells)
    keys, limit = set(_fitting(family, style, one, cells)), _value_room(style, cells)
    facts, absent = make_facts(rng, family, split, len(chosen), keys.__contains__, lambda value: one.width(value) <= limit)
    items = tuple(Item(fact, cells.box(*cell), one) for fact, cell in zip(facts, chosen, strict=False))
    box = cells.box(*title[0], len(title)) if title else None
    return PageLayout(cells, frozenset([*title, *chosen]), box, items, tuple(absent))


def _face(rng: random.Random, spec: SynthSpec, style: Style, name: str, cells: Cells) -> Face:
    """Draw a face of the style; its height is reduced until enough keys fit into a cell."""
    family, scale = FAMILIES[name], cells.cell_size[0] / spec.cell
    tallest = min(spec.detail[1] * (0.83 if name == "chart" else 1.0), spec.afar * cells.grid[0])
    least, most = spec.detail[0] * scale, tallest * scale
    chosen, cap = rng.choice(style.faces), rng.uniform(least, most)
    wanted = 26 if spec.crowded else spec.facts[1] + 6
    while cap > least and not _roomy(family, style, face(chosen, cap), cells, wanted):
        cap = max(least, cap - 0.5)
    return face(chosen, cap)


def _roomy(family: Family, style: Style, type_face: Face, cells: Cells, wanted: int) -> bool:
    """Whether the cells hold `wanted` of the family's keys, and values of three digits."""
    enough = family.shapes or len(_fitting(family, style, type_face, cells)) >= wanted
    return enough and type_face.width("000") <= _value_room(style, cells)


def _value_room(style: Style, cells: Cells) -> float:
    return room(style, cells.cell_size[1]) - _ICON.get(style.arrangement, 0.0)


def _fitting(family: Family, style: Style, type_face: Face, cells: Cells) -> list[str]:
    """The family's keys that fit into one line of a cell."""
    limit = room(style, cells.cell_size[1])
    return [key for key in family.keys if family.shapes or type_face.width(key.capitalize()) <= limit]


def free_layout(rng: random.Random, spec: SynthSpec, split: str, name: str, style: Style) -> PageLayout:
    """A layout with facts in boxes of their own size, in columns or scattered, in one text height or several; or one chart."""
    height, width = (round(side * rng.uniform(*spec.jitter)) for side in rng.choice(spec.sizes))
    cells = Cells((height, width), (-(-height // _FREE_CELL), -(-width // _FREE_CELL)), (1, 1))
    margin = 0.05 * max(height, width)  # a turned page loses its corners
    title = None
    if rng.random() < TITLE_SHARE:
        title = (margin, margin, margin + min(0.6 * width, 300), margin + 70)
    family = with_values(FAMILIES[name], spec.values)
    facts, absent = make_facts(rng, family, split, rng.randint(*spec.facts))
    faces = _free_faces(rng, spec, style, len(facts))
    wants_plot = style.arrangement in ("bar", "point") and rng.random() < _PLOTS
    if wants_plot and (plot := _as_plot(cells, title, facts, absent, faces[0], margin)):
        return plot
    needs = [need(fact, one, name) for fact, one in zip(facts, faces, strict=True)]
    area = (margin, (title[3] if title else margin), width - margin, height - margin)
    slots = (_in_columns if rng.random() < 0.5 else _scattered)(rng, area, needs)
    kept = [Item(fact, slot, one) for fact, slot, one in zip(facts, slots, faces, strict=True) if slot]
    boxes = [item.slot for item in kept] + ([title] if title else [])
    used = frozenset(cell for cell in cells.all() for box in boxes if _meet(cells.box(*cell), box))
    return PageLayout(cells, used, title, tuple(kept), tuple(absent))


def _as_plot(
    cells: Cells, title: Box | None, facts: list[Fact], absent: list[str], one: Face, margin: float
) -> PageLayout | None:
    """A layout with one chart of the facts that fit side by side; None where fewer than three do."""
    height, width = cells.size
    area = (margin, (title[3] if title else margin), width - margin, height - margin)
    wide = max(one.width(text) for fact in facts for text in (fact.key.capitalize(), fact.value))
    kept = facts[: plot_capacity(area, one.cap, wide)]
    if len(kept) < 3:
        return None
    items = tuple(Item(fact, area, one) for fact in kept)
    return PageLayout(cells, frozenset(cells.all()), title, items, tuple(absent), area)


def _free_faces(rng: random.Random, spec: SynthSpec, style: Style, count: int) -> list[Face]:
    """Draw a face per fact: all of one height, or each of its own; heights are uniform in their logarithm."""
    least, most = spec.detail
    heights = [least * (most / least) ** rng.random() for _ in range(count)]
    chosen = rng.choice(style.faces)
    return [face(chosen, heights[0] if rng.random() < 0.7 else cap) for cap in heights]


def need(fact: Fact, one: Face, name: str) -> tuple[float, float]:
    """(height, width) in pixels of a fact on a free page, frame or icon included."""
    text = max(one.width(fact.key.capitalize()), one.width(fact.value))
    if name == "specks":
        return 2.9 * one.cap + 6, 4.4 * one.cap + 6
    if name == "shapes":
        return 4.2 * one.cap + 14, 2.2 * one.cap + one.width(fact.value) + 14
    side = 2.4 * one.cap + 12 if name in ("chart", "panel") else 0.0
    return 3.8 * one.cap + 22 + side / 2, text + side + 22


def _in_columns(rng: random.Random, area: Box, needs: list[tuple[float, float]]) -> list[Box | None]:
    """Boxes in columns of equal width; None for facts that do not fit."""
    left, top, right, bottom = area
    wide, gap = max(width for _, width in needs), rng.uniform(0, 14)
    x, y, slots = left, top, list[Box | None]()
    for height, width in needs:
        if y + height > bottom:
            x, y = x + wide + gap, top
        fits = x + width <= right and y + height <= bottom
        slots.append((x, y, x + width, y + height) if fits else None)
        y += height + gap if fits else 0
    return slots


def _scattered(rng: random.Random, area: Box, needs: list[tuple[float, float]]) -> list[Box | None]:
    """Random boxes that do not overlap; None for facts that find no place in 30 attempts."""
    left, top, right, bottom = area
    slots: list[Box | None] = []
    for height, width in needs:
        found = None
        for _ in range(30):
            x, y = rng.uniform(left, max(left, right - width)), rng.uniform(top, max(top, bottom - height))
            box = (x, y, x + width, y + height)
            if box[2] <= right and box[3] <= bottom and not any(slot and _meet(box, slot) for slot in slots):
                found = box
                break
        slots.append(found)
    return slots


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
