"""The grid of cells of a page, and which of them may hold facts.

Promises that a fact inside a cell lies in one high sub-image, because cells and high sub-images have the same grid, and
that no more than `most_per_region` cells under one mid sub-image are used.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from .document_spec import Grid, SynthSpec
from .page_record import Box

Cell = tuple[int, int]  # (row, col)

MID_GRIDS: dict[Grid, Grid] = {(4, 6): (2, 2), (6, 4): (2, 2), (3, 8): (1, 4), (8, 3): (4, 1)}


@dataclass(frozen=True)
class Cells:
    """An image of `size` (height, width) divided into `grid` (rows, cols); mid sub-images into `mid`."""

    size: tuple[int, int]
    grid: Grid
    mid: Grid

    @property
    def cell_size(self) -> tuple[float, float]:
        """(height, width) of a cell."""
        return self.size[0] / self.grid[0], self.size[1] / self.grid[1]

    def box(self, row: int, col: int, cols: int = 1) -> Box:
        """The box of a cell, or of `cols` cells beside each other."""
        height, width = self.cell_size
        return col * width, row * height, (col + cols) * width, (row + 1) * height

    def region(self, row: int, col: int) -> tuple[int, int]:
        """The mid sub-image over a cell."""
        return row * self.mid[0] // self.grid[0], col * self.mid[1] // self.grid[1]

    def all(self) -> list[Cell]:
        return [(row, col) for row in range(self.grid[0]) for col in range(self.grid[1])]


def draw_cells(rng: random.Random, spec: SynthSpec) -> Cells:
    """The grid and size of a page."""
    grid = rng.choice(spec.grids)
    height, width = (round(count * spec.cell * rng.uniform(*spec.jitter)) for count in grid)
    return Cells((height, width), grid, MID_GRIDS[grid])


def title_cells(rng: random.Random, cells: Cells) -> list[Cell]:
    """Cells of the first row for a title: two where the page is narrow, else three; one region's if it can be."""
    count = 2 if cells.grid[1] <= 4 else 3
    starts = [col for col in range(cells.grid[1] - count + 1) if cells.region(0, col) == cells.region(0, col + count - 1)]
    start = rng.choice(starts or range(cells.grid[1] - count + 1))
    return [(0, col) for col in range(start, start + count)]


def choose_cells(rng: random.Random, cells: Cells, spec: SynthSpec, title: list[Cell]) -> list[Cell]:
    """Cells for facts, in a random order, beside those of the title."""
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
