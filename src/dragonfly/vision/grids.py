"""Which grid an image gets: the rules that choose one of several by the image's shape, and how a high grid grows with its pixels.

Whole numbers throughout, but where the released weights' own rule is not. Sizes and grids are (height, width) / (rows, cols).
"""

from __future__ import annotations

from fractions import Fraction

Grid = tuple[int, int]  # (rows, cols) of sub-images
Size = tuple[int, int]  # (height, width)

MAX_HIGH_SIDE = 64
"""Most rows, and most columns, of a high grid that follows the image's pixels. At resolution 224 they show 14,336 source pixels
per side one by one: all of 8,192 x 8,192, as many pixels as `imaging` decodes. Longer strips are reduced along their length, and
even a slide has at most 4,096 scores."""


def closest_aspect(size: Size, grids: tuple[Grid, ...], resolution: int) -> Grid:
    """The grid that minimises |log(W/H) - log(cols/rows)|, the first of several (paper, section 3.1).

    Compared as exact fractions: the distance orders like the larger of ratio and 1/ratio. `resolution` plays no part.
    """
    height, width = size

    def distortion(grid: Grid) -> Fraction:
        rows, cols = grid
        ratio = Fraction(width * rows, height * cols)
        return max(ratio, 1 / ratio)

    return min(grids, key=distortion)


def most_useful_pixels(size: Size, grids: tuple[Grid, ...], resolution: int) -> Grid:
    """The grid rule of the released weights (recorded behaviour, docs/fidelity.md items 4 and 5).

    The image is fitted inside each canvas; the useful pixels are the fitted area, but never more than the image has.
    Most useful pixels win, then least waste, then list order. The floating-point scale and the truncation to whole pixels
    are part of the rule: exact arithmetic chooses differently for some sizes.
    """
    height, width = size

    def merit(grid: Grid) -> tuple[int, int]:
        canvas_height, canvas_width = grid[0] * resolution, grid[1] * resolution
        scale = min(canvas_width / width, canvas_height / height)
        useful = min(int(width * scale) * int(height * scale), width * height)
        return useful, -(canvas_width * canvas_height - useful)

    return max(grids, key=merit)  # max keeps the first of equals


RULES = {"aspect": closest_aspect, "released": most_useful_pixels, "resolution": closest_aspect}


def grown(high: Grid, mid: Grid, wanted: Grid) -> Grid:
    """The least multiple of the mid grid's rows and columns that has as many of each as wanted, and as `high`, within
    `MAX_HIGH_SIDE` unless `high` itself has more.
    """
    rows, cols = (
        max(least, min(-(-most // unit), MAX_HIGH_SIDE // unit) * unit)
        for least, unit, most in zip(high, mid, wanted, strict=True)
    )
    return rows, cols
