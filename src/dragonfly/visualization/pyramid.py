"""The right panel of the zoom image: each level's sub-images that the language model gets, enlarged in reading order.

They are cut as the model's own input is, so the panel shows what the vision tower was given, stretched or padded as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from PIL import Image

from dragonfly.vision.layout import Box, SubImageLayout
from dragonfly.vision.tiling import cut
from dragonfly.visualization.pen import FAINT, PADDING, PALETTE, Colour, Pen, Rect, line_height, wrap


@dataclass(frozen=True)
class Shown:
    """One sub-image as both panels show it: box in source pixels, its region's colour, its name, its rank and score."""

    box: Box
    colour: Colour
    label: str
    note: str = ""


@dataclass(frozen=True)
class Block:
    """One level: a heading and its sub-images in reading order; `columns` 0 fits them to the space."""

    heading: str
    crops: list[Image.Image]
    shown: list[Shown]
    columns: int


def make_blocks(image: Image.Image, layout: SubImageLayout, mid: list[Shown], high: dict[int, Shown]) -> list[Block]:
    """The levels that an image has. `high` holds the kept high sub-images by their index, ascending."""
    crops = [Image.fromarray(pixels) for pixels in cut(image, layout, list(high), fill=PADDING)]
    low = [Shown(box, PALETTE[-1], "") for box in layout.level_boxes("low")]
    items = {"low": low, "mid": mid, "high": list(high.values())}
    blocks: list[Block] = []
    for level in layout.levels:
        shown, total = items[level.name], level.num_sub_images
        mine, crops = crops[: len(shown)], crops[len(shown) :]
        count = "the whole image" if total == 1 else f"{len(shown)} of {total}" if level.name == "high" else str(total)
        heading = f"{level.name.capitalize()}: {count}, {level.tokens} tokens{' each' if total > 1 else ''}"
        blocks.append(Block(heading, mine, shown, level.grid[1] if len(shown) == total else 0))
    return blocks


def draw_blocks(pen: Pen, blocks: list[Block], panel: Rect) -> None:
    """Low and mid beside each other above high; all in one row where the panel is much wider than high."""
    left, top, right, bottom = panel
    rows = [blocks]
    if len(blocks) > 1 and right - left <= 1.9 * (bottom - top):
        rows = [blocks[:-1], blocks[-1:]]
    shares = (1.0,) if len(rows) == 1 else (0.38, 0.62)
    pen.say(["What the language model is given"], (left, top), pen.type.text)
    top += line_height(pen.type.text)
    height = bottom - top
    for row, share in zip(rows, shares, strict=True):
        under = top + round(share * height)
        for block, (start, end) in zip(row, _columns(row, left, right), strict=True):
            _draw_block(pen, block, (start, top, end - pen.type.margin, under - pen.type.gap))
        top = under


def tag(pen: Pen, shown: Shown, rect: Rect) -> None:
    """The name above and the rank below, each only where there is room for it."""
    named = bool(shown.label) and pen.badge(shown.label, rect, "tl", shown.colour)
    lines = 2.4 if named else 1.2
    if shown.note and rect[3] - rect[1] > lines * line_height(pen.type.small):
        _ = pen.badge(shown.note, rect, "bl", shown.colour) or pen.badge(shown.note.split()[0], rect, "bl", shown.colour)


def shrink(rect: Rect, by: int) -> Rect:
    return (rect[0] + by, rect[1] + by, rect[2] - by, rect[3] - by)


def _columns(row: list[Block], left: int, right: int) -> list[tuple[int, int]]:
    """Widths by the shape of each block's grid; a block that is free in its columns can fill a wide space."""
    weights = [min(max(block.columns**2 / len(block.shown), 0.6), 2.0) if block.columns else 2.0 for block in row]
    return list(pairwise(left + round((right - left) * sum(weights[:i]) / sum(weights)) for i in range(len(row) + 1)))


def _draw_block(pen: Pen, block: Block, rect: Rect) -> None:
    left, top, right, bottom = rect
    kind = pen.type
    pen.say(wrap(block.heading, right - left, kind.small)[:1], (left, top), kind.small, FAINT)
    top += line_height(kind.small)
    columns, side = _cell(len(block.shown), block.columns, (right - left, bottom - top), kind.gap)
    for i, (crop, shown) in enumerate(zip(block.crops, block.shown, strict=True)):
        x, y = left + i % columns * (side + kind.gap), top + i // columns * (side + kind.gap)
        cell = (x, y, x + side, y + side)
        pen.page.paste(crop.resize((side, side), Image.Resampling.LANCZOS), (x, y))
        pen.frame(cell, shown.colour, max(1, kind.stroke - 1))
        tag(pen, shown, shrink(cell, kind.stroke - 1))


def _cell(count: int, columns: int, room: tuple[int, int], gap: int) -> tuple[int, int]:
    """(columns, side) of the largest square cells that fit; the number of columns may be given."""
    width, height = room

    def side(across: int) -> int:
        down = -(-count // across)
        return max(4, min((width - (across - 1) * gap) // across, (height - (down - 1) * gap) // down))

    if columns:
        return columns, side(columns)
    return max(((across, side(across)) for across in range(1, count + 1)), key=lambda pair: pair[1])
