"""An answer in words, for people: how sure the model was, and where in the image it looked closely."""

from __future__ import annotations

from collections.abc import Sequence

from dragonfly.vision.layout import Box, Size, SubImageLayout

SURENESS = ((0.9, "very sure"), (0.7, "fairly sure"), (0.4, "unsure"), (0.0, "very unsure"))
ROWS, COLUMNS = ("upper", "centre", "lower"), ("left", "centre", "right")


def sureness(confidence: float) -> str:
    """`fairly sure, 78 %`: of its words, not of the truth."""
    word = next(word for least, word in SURENESS if confidence >= least)
    return f"{word}, {100 * confidence:.0f} %"


def looked_closely(layout: SubImageLayout, kept: Sequence[int]) -> str:
    """`looked closely at: upper left, centre right; 3 of 24`; other words where nothing was chosen.

    Args:
        kept: raster indices of the high sub-images that the language model was given.
    """
    count = layout.count("high")
    if count == 0 or len(kept) == count:
        finest = layout.levels[-1].num_sub_images
        return f"looked closely at: all of it, in {finest} parts" if finest > 1 else "looked at it as a whole"
    boxes = layout.level_boxes("high")
    return f"looked closely at: {', '.join(_places([boxes[index] for index in kept], layout.size))}; {len(kept)} of {count}"


def _places(boxes: Sequence[Box], size: Size) -> list[str]:
    """The ninths of the image in which the boxes' centres lie, in reading order; a whole row of them as one."""
    found = {(_third(top + bottom, size[0]), _third(left + right, size[1])) for left, top, right, bottom in boxes}
    if len(found) == 9:
        return ["all parts of it"]
    words: list[str] = []
    for row, name in enumerate(ROWS):
        columns = sorted(column for other, column in found if other == row)
        if len(columns) == 3:
            words.append(f"{name} third" if row != 1 else "middle third")
        else:
            words += ["centre" if (row, column) == (1, 1) else f"{name} {COLUMNS[column]}" for column in columns]
    return words


def _third(twice_centre: float, side: int) -> int:
    return min(2, max(0, int(3 * twice_centre / 2 / side)))
