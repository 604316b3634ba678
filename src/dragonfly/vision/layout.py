"""The one record of how an image is cut: levels, grids, boxes, regions and token counts.

`make_layout(size, spec)` is the only place where geometry is computed. Cropping, pooling, selection, placeholders,
planning and drawing all read the `SubImageLayout` it returns. No pixel is looked at here.

Order of sub-images everywhere: low, mid in raster order, high in raster order. A box is (left, top, right, bottom) in
source pixels, half-open and real-valued; sizes and grids are (height, width) / (rows, cols).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal

from dragonfly.vision.grids import RULES, Grid, Size, grown
from dragonfly.vision.spec import LEVELS, EncoderSpec, LevelName

Box = tuple[float, float, float, float]
Area = tuple[int, int, int, int]  # (left, top, right, bottom) in whole source pixels

# Codes of `SubImageLayout.codes`: a high sub-image carries its region's index (0, 1, ...), the others one of these.
MID, LOW, PADDING = -1, -2, -3


@dataclass(frozen=True)
class LevelLayout:
    """One level of one image.

    Args:
        name: low, mid or high.
        grid: (rows, cols) of sub-images.
        content: (height, width) in canvas pixels that the image covers; the whole canvas unless the image is padded.
        extent: (height, width) in source pixels that the whole canvas stands for, exactly; the image's size unless padded.
        tokens: tokens that one sub-image gives the language model, its separator not counted.
        origin: (left, top) in source pixels where the canvas begins; the image's corner unless it is trimmed.
    """

    name: LevelName
    grid: Grid
    content: Size
    extent: tuple[Fraction, Fraction]
    tokens: int
    origin: tuple[int, int] = (0, 0)

    @property
    def num_sub_images(self) -> int:
        return self.grid[0] * self.grid[1]

    def box(self, index: int) -> Box:
        """Source box of the sub-image at a raster index.

        Every edge is the float nearest to its exact fraction, so neighbours, and the levels, share edges bit for bit.
        """
        row, col = divmod(index, self.grid[1])
        high, wide = self.extent[0] / self.grid[0], self.extent[1] / self.grid[1]
        left, top = self.origin
        return (
            float(left + wide * col),
            float(top + high * row),
            float(left + wide * (col + 1)),
            float(top + high * (row + 1)),
        )


@dataclass(frozen=True)
class SubImageLayout:
    """How one image is cut, and what of it reaches the language model.

    Args:
        size: (height, width) of the image after orientation.
        resolution: side of every sub-image in pixels.
        levels: the levels that are encoded, in order.
        regions: for every high sub-image the raster index of the mid sub-image it is compared with (all 0 without mid).
        num_kept_high: how many high sub-images reach the language model.
        num_pooled_remainders: groups of high sub-images that do not, and whose tokens are pooled together instead.
        pooled_remainder_tokens: tokens of each such group.
        area: the part of the image that is cut into sub-images; None for all of it.
    """

    size: Size
    resolution: int
    levels: tuple[LevelLayout, ...]
    regions: tuple[int, ...]
    num_kept_high: int
    num_pooled_remainders: int = 0
    pooled_remainder_tokens: int = 0
    area: Area | None = None

    def level(self, name: LevelName) -> LevelLayout | None:
        return next((level for level in self.levels if level.name == name), None)

    def count(self, name: LevelName) -> int:
        """Sub-images of a level, kept or not."""
        level = self.level(name)
        return level.num_sub_images if level else 0

    @property
    def num_sub_images(self) -> int:
        """All sub-images of the image."""
        return sum(level.num_sub_images for level in self.levels)

    @property
    def num_kept(self) -> int:
        """Sub-images whose tokens reach the language model."""
        return self.count("low") + self.count("mid") + self.num_kept_high

    @cached_property
    def token_counts(self) -> tuple[int, ...]:
        """Tokens of each sub-image that reaches the language model, in order, and then of each pooled remainder."""
        counts: list[int] = []
        for level in self.levels:
            counts += [level.tokens] * (self.num_kept_high if level.name == "high" else level.num_sub_images)
        return (*counts, *[self.pooled_remainder_tokens] * self.num_pooled_remainders)

    @property
    def num_features(self) -> int:
        """Rows that the model computes for this image = image placeholders in the prompt."""
        return sum(self.token_counts)

    @property
    def num_image_tokens(self) -> int:
        """Tokens that the image takes in the prompt: features plus one separator after each sub-image and pooled remainder."""
        return self.num_features + len(self.token_counts)

    @cached_property
    def codes(self) -> tuple[int, ...]:
        """One integer per sub-image: LOW, MID, or the region of a high one. The row that travels to the model."""
        return (LOW,) * self.count("low") + (MID,) * self.count("mid") + self.regions

    @cached_property
    def positions(self) -> tuple[tuple[int, int, int], ...]:
        """(level, row, column) of every sub-image, in order; levels count 0, 1, 2 from low to high."""
        return tuple(
            (LEVELS.index(level.name), *divmod(i, level.grid[1])) for level in self.levels for i in range(level.num_sub_images)
        )

    @cached_property
    def boxes(self) -> tuple[Box, ...]:
        """Source box of every sub-image, in order."""
        return tuple(level.box(i) for level in self.levels for i in range(level.num_sub_images))

    def level_boxes(self, name: LevelName) -> tuple[Box, ...]:
        """Source boxes of one level's sub-images, in raster order."""
        before = sum(level.num_sub_images for level in self.levels if LEVELS.index(level.name) < LEVELS.index(name))
        return self.boxes[before : before + self.count(name)]


def make_layout(size: Size, spec: EncoderSpec, area: Area | None = None) -> SubImageLayout:
    """Choose the grids for an image and lay out its sub-images (paper, section 3.1).

    Args:
        size: (height, width) of the image in pixels, each at least 1.
        spec: the encoder configuration.
        area: the part of the image that is encoded (`trimming`), None for all of it; grids follow its shape, boxes stay in pixels
            of the whole image.

    Raises:
        ValueError: if a side of the image is smaller than 1, or the area is empty or reaches beyond the image.
    """
    height, width = size
    if height < 1 or width < 1:
        raise ValueError(f"an image needs at least 1 x 1 pixels, got height {height}, width {width}")
    left, top, right, bottom = area or (0, 0, width, height)
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError(f"area {area} is empty or not inside an image of height {height}, width {width}")
    whole, size = size, (bottom - top, right - left)
    mid, high = choose_grids(size, spec)
    grids: dict[LevelName, Grid | None] = {"low": spec.low.grids[0] if spec.low else None, "mid": mid, "high": high}
    levels: list[LevelLayout] = []
    for name in LEVELS:
        grid = grids[name]
        if grid is None:
            continue
        if name != "low" and _over_enlarged(size, grid, spec):
            break  # what mid would enlarge too far, high would enlarge further
        content, extent = _fit(size, grid, spec)
        levels.append(LevelLayout(name, grid, content, extent, spec.tokens(name), (left, top)))
    has_high = any(level.name == "high" for level in levels)  # and then every coarser level of the spec is there too
    regions = _regions(mid, high, spec.regions) if high and has_high else ()
    num_mid = mid[0] * mid[1] if mid else 0
    num_kept_high = spec.num_kept_high(num_mid, len(regions))
    pooled_remainders = spec.num_pooled_remainders(num_mid, len(regions))
    return SubImageLayout(
        size=whole,
        resolution=spec.resolution,
        levels=tuple(levels),
        regions=regions,
        num_kept_high=num_kept_high,
        num_pooled_remainders=pooled_remainders,
        pooled_remainder_tokens=spec.selection.pooled_remainder if pooled_remainders else 0,
        area=area,
    )


def choose_grids(size: Size, spec: EncoderSpec) -> tuple[Grid | None, Grid | None]:
    """The mid and the high grid for an image: mid first, then high among the mid grid's partners."""
    rule = RULES[spec.grid_rule]
    mid = rule(size, spec.mid.grids, spec.resolution) if spec.mid else None
    if spec.high is None:
        return mid, None
    highs = dict(spec.partners)[mid] if spec.partners is not None and mid is not None else spec.high.grids
    high = rule(size, highs, spec.resolution)
    if spec.grid_rule == "resolution":
        wanted = -(-size[0] // spec.resolution), -(-size[1] // spec.resolution)
        high = grown(high, mid or (1, 1), wanted)
    return mid, high


def _over_enlarged(size: Size, grid: Grid, spec: EncoderSpec) -> bool:
    """Whether the canvas is more than `max_enlargement` times the image per side (geometric mean of both sides)."""
    if spec.max_enlargement is None:
        return False
    canvas = grid[0] * grid[1] * spec.resolution**2
    return canvas > spec.max_enlargement**2 * size[0] * size[1]


def _fit(size: Size, grid: Grid, spec: EncoderSpec) -> tuple[Size, tuple[Fraction, Fraction]]:
    """(content in canvas pixels, extent in source pixels) of a level, both (height, width).

    A padded image's content is rounded to whole canvas pixels; its extent is not, so that levels agree on every edge.
    """
    height, width = size
    canvas_height, canvas_width = grid[0] * spec.resolution, grid[1] * spec.resolution
    if spec.fit == "stretch":
        return (canvas_height, canvas_width), (Fraction(height), Fraction(width))
    step = max(Fraction(height, canvas_height), Fraction(width, canvas_width))  # source pixels per canvas pixel
    content = (max(1, round(height / step)), max(1, round(width / step)))
    return content, (canvas_height * step, canvas_width * step)


def _regions(mid: Grid | None, high: Grid, rule: Literal["spatial", "raster"]) -> tuple[int, ...]:
    rows, cols = high
    if mid is None:
        return (0,) * (rows * cols)
    if rule == "raster":
        run = rows * cols // (mid[0] * mid[1])
        return tuple(i // run for i in range(rows * cols))
    return tuple((r * mid[0] // rows) * mid[1] + c * mid[1] // cols for r in range(rows) for c in range(cols))


def level_counts(spec: EncoderSpec) -> dict[LevelName, int] | None:
    """Sub-images per level if every image gets the same numbers, else None (an enlargement cap, or unequal grids).

    Where the number of high ones follows the image (grid_rule `resolution`) and a policy that runs before the tower keeps a fixed
    number of them, the rest is never cut: the kept ones count.
    """
    if spec.max_enlargement is not None:
        return None
    kept_alone = spec.grid_rule == "resolution" and spec.selection.early
    numbers = {
        (_count(low), _count(mid), spec.num_kept_high(_count(mid), _count(high)) if kept_alone else _count(high))
        for low in (spec.low.grids if spec.low else (None,))
        for mid, high in spec.pairs()
    }
    return dict(zip(LEVELS, numbers.pop(), strict=True)) if len(numbers) == 1 else None


def _count(grid: Grid | None) -> int:
    return grid[0] * grid[1] if grid else 0
