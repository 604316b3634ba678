"""An image of any size as a grid of cells, and the blocks of cells that a close-up shows.

A cell is half as wide as a close-up, so whatever is no larger than a cell lies whole in some close-up. Cells are whole pixels: a
block's box is exact, and what a model is handed at full resolution is `image.crop` of it. The grid follows the image's shape; it
has at most `MAX_CELLS` cells, which then grow with the image, so what is computed does not grow with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil, isqrt, sqrt

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dragonfly.vision.layout import Area, Box, LevelLayout, Size, SubImageLayout
from dragonfly.vision.pyramid import laid_out
from dragonfly.vision.resizing import resize
from dragonfly.vision.tiling import drawing, residual, split

MAX_CELLS = 4096
DRAWN = 2**25  # pixels at which a layout's cells are drawn together
SCORED = 2**22  # pixels of the reduced copy that pixel policies look at

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Block:
    """A rectangle of cells: rows `top` to `bottom`, columns `left` to `right`, half-open."""

    top: int
    left: int
    bottom: int
    right: int

    def quarters(self) -> list[Block]:
        """The up to four parts that the middle lines make; one where nothing is left to divide."""
        rows = sorted({self.top, (self.top + self.bottom + 1) // 2, self.bottom})
        columns = sorted({self.left, (self.left + self.right + 1) // 2, self.right})
        return [Block(t, le, b, r) for t, b in pairwise(rows) for le, r in pairwise(columns)]


@dataclass(frozen=True)
class Grid:
    """The cells of one image.

    Args:
        size: (height, width) of the image.
        cell: (height, width) of a cell in source pixels; the last row and column may reach beyond the image.
        cells: (rows, cols).
        window: (rows, cols) of cells that a close-up shows.
    """

    size: Size
    cell: Size
    cells: tuple[int, int]
    window: tuple[int, int]

    @classmethod
    def of(cls, size: Size, side: int) -> Grid:
        """For close-ups of `side` source pixels."""
        target = max(1, side // 2, ceil(sqrt(size[0] * size[1] / MAX_CELLS)))
        cells = (ceil(size[0] / target), ceil(size[1] / target))
        cell = (ceil(size[0] / cells[0]), ceil(size[1] / cells[1]))
        cells = (ceil(size[0] / cell[0]), ceil(size[1] / cell[1]))  # rounding up may have emptied the last ones
        across = 2 if target < 0.75 * side else 1
        return cls(size, cell, cells, (min(across, cells[0]), min(across, cells[1])))

    @property
    def whole(self) -> Block:
        return Block(0, 0, *self.cells)

    def area(self, block: Block) -> Area:
        """The source pixels of a block."""
        (height, width), (down, across) = self.size, self.cell
        return (block.left * across, block.top * down, min(width, block.right * across), min(height, block.bottom * down))

    def indices(self, block: Block) -> list[int]:
        """The raster indices of a block's cells."""
        rows, columns = range(block.top, block.bottom), range(block.left, block.right)
        return [row * self.cells[1] + column for row in rows for column in columns]

    def covering(self, box: Box) -> Block:
        """The smallest block that holds a box, and at least a close-up's cells."""
        spans: list[tuple[int, int]] = []
        for begin, end, cell, count, least in (
            (box[1], box[3], self.cell[0], self.cells[0], self.window[0]),
            (box[0], box[2], self.cell[1], self.cells[1], self.window[1]),
        ):
            first = min(max(int(begin // cell), 0), count - 1)
            last = max(first + 1, min(ceil(end / cell), count))
            missing = max(0, least - (last - first))
            first = min(max(0, first - missing // 2), count - max(least, last - first))
            spans.append((first, max(last, first + least)))
        (top, bottom), (left, right) = spans
        return Block(top, left, bottom, right)

    def top_windows(self, scores: Scores, count: int) -> list[Block]:
        """The `count` close-ups of the greatest sums of scores, without overlap, ties by raster order; fewer if no more fit."""
        rows, columns = self.window
        sums = np.zeros((self.cells[0] - rows + 1, self.cells[1] - columns + 1))
        for row in range(rows):
            for column in range(columns):
                sums += scores[row : row + sums.shape[0], column : column + sums.shape[1]]
        found: list[Block] = []
        while len(found) < count and np.isfinite(sums).any():
            top, left = (int(place) for place in np.unravel_index(int(np.argmax(sums)), sums.shape))
            found.append(Block(top, left, top + rows, left + columns))
            sums[max(0, top - rows + 1) : top + rows, max(0, left - columns + 1) : left + columns] = -np.inf
        return found

    def layout(self, shown: int) -> SubImageLayout:
        """The grid as every other room reads it: level low is the whole image, level high the cells, `shown` of them kept.

        Sub-images of different views take different numbers of tokens, so the layout says none.
        """
        count = self.cells[0] * self.cells[1]
        resolution = max(1, min(*self.cell, isqrt(DRAWN // count)))
        low = LevelLayout("low", (1, 1), (resolution, resolution), _fractions(self.size), 0)
        return SubImageLayout(self.size, resolution, (low, self._high(resolution)), (0,) * count, shown)

    def _high(self, resolution: int) -> LevelLayout:
        content = tuple(max(1, round(side * resolution / cell)) for side, cell in zip(self.size, self.cell, strict=True))
        extent = (self.cells[0] * self.cell[0], self.cells[1] * self.cell[1])
        return LevelLayout("high", self.cells, (content[0], content[1]), _fractions(extent), 0)

    def pixel_scores(self, image: Image.Image, whole: Size, policy: str) -> Scores:
        """What a policy that looks at pixels gives each cell, (rows, cols); of a reduced copy of at most `SCORED` pixels.

        `residual`: what the view of (height, width) `whole`, enlarged, does not show already. `detail`: the standard deviation of
        the cell's grey levels.
        """
        resolution = max(1, min(*self.cell, isqrt(SCORED // (self.cells[0] * self.cells[1]))))
        high = self._high(resolution)
        low = LevelLayout("mid", (1, 1), whole, _fractions(self.size), 0)
        laid = SubImageLayout(self.size, resolution, (low, high), (0,) * high.num_sub_images, 0)
        copy = image if laid_out(image, self.size) else shrunk(image, high.content)
        draw = drawing(copy, laid, Image.Resampling.BICUBIC)
        fine = draw(high)
        missing = [(0, rows * resolution - side) for rows, side in zip(self.cells, fine.shape, strict=False)]
        padded = np.pad(fine, [*missing, (0, 0)], mode="edge")
        if policy == "residual":
            found = residual({"mid": draw(low), "high": padded}, laid, Image.Resampling.BICUBIC).astype(np.float64)
        else:
            found = split(padded, self.cells).mean(axis=4, dtype=np.float64).std(axis=(2, 3))
        return found.reshape(self.cells)


def whole_layout(size: Size, shown: Size) -> SubImageLayout:
    """An image that was shown as a whole alone, at (height, width) `shown`: level low and no cells."""
    side = isqrt(shown[0] * shown[1])
    return SubImageLayout(size, side, (LevelLayout("low", (1, 1), (side, side), _fractions(size), 0),), (), 0)


@dataclass(frozen=True)
class View:
    """What a model is handed: the source pixels `box` (left, top, right, bottom) at `size` (height, width)."""

    box: Area
    size: Size

    @property
    def reduced(self) -> float:
        """Pixels handed over per source pixel along a side; 1 means that the view is `image.crop(box)`."""
        left, top, right, bottom = self.box
        return min(self.size[0] / (bottom - top), self.size[1] / (right - left))

    def cut(self, image: Image.Image, source: Size) -> Image.Image:
        """The view's pixels, of an image or of a slide's reduced copy whose pyramid is read at the level that has them."""
        if pyramid := laid_out(image, source):
            left, top, right, bottom = self.box
            return pyramid.read((float(left), float(top), float(right), float(bottom)), self.size, Image.Resampling.BICUBIC)
        crop = image if self.box == (0, 0, image.width, image.height) else image.crop(self.box)
        return crop if (crop.height, crop.width) == self.size else shrunk(crop, self.size)


def shrunk(image: Image.Image, size: Size) -> Image.Image:
    """An image at (height, width): averaged by whole pixels to about twice the size first, so that a large one costs one pass."""
    factor = min(image.height // size[0], image.width // size[1]) // 2
    return resize(image.reduce(factor) if factor > 1 else image, size, Image.Resampling.BICUBIC)


def _fractions(size: tuple[int, int]) -> tuple[Fraction, Fraction]:
    return Fraction(size[0]), Fraction(size[1])
