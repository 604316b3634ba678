"""Coarse to fine: of a large image the high sub-images are chosen on a reduced copy, and only those kept are cut from the source.

For a grid that follows the image's pixels (grid_rule `resolution`) and a policy that runs before the tower: no canvas grows with
the image, so memory beside the image itself does not either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil, floor, isqrt

import numpy as np
from PIL import Image

from dragonfly.vision.layout import Area, Box, SubImageLayout
from dragonfly.vision.pyramid import laid_out
from dragonfly.vision.resizing import Pixels
from dragonfly.vision.spec import EncoderSpec

LOOKED_AT = 2**22  # pixels of the high level that is looked at; a canvas of no more is drawn whole, and cut as any other
REACH = 3  # pixels that the widest of Pillow's filters reaches, in pixels of the coarser side


def coarse_layout(layout: SubImageLayout, spec: EncoderSpec) -> SubImageLayout | None:
    """The layout by which the high sub-images are chosen: as `layout`, with fewer pixels for each high one (`resolution`).

    None where the whole high canvas is drawn: it is no larger, or the model chooses, or the grids do not follow the pixels.
    """
    high = layout.level("high")
    if high is None or spec.grid_rule != "resolution" or not spec.selection.early:
        return None
    if high.num_sub_images * layout.resolution**2 <= LOOKED_AT:
        return None
    side = isqrt(LOOKED_AT // high.num_sub_images)
    seen = replace(high, content=(high.grid[0] * side, high.grid[1] * side))
    return replace(layout, resolution=side, levels=(*(one for one in layout.levels if one.name != "high"), seen))


def close_ups(image: Image.Image, layout: SubImageLayout, kept: Sequence[int], resample: Image.Resampling) -> Iterator[Pixels]:
    """The kept high sub-images one by one, (R, R, 3), from the pixels under their boxes.

    As cut from the whole canvas, but for the rounding of a pixel: the filter sees the pixels around a box too. Pillow resizes,
    whatever the encoder's resizer: torch resizes no box whose edges lie within pixels.
    """
    pyramid, side, boxes = laid_out(image, layout.size), layout.resolution, layout.level_boxes("high")
    for index in kept:
        if pyramid:
            yield np.asarray(pyramid.read(boxes[index], (side, side), resample))
        else:
            yield _resized(image, layout.area or (0, 0, image.width, image.height), boxes[index], side, resample)


def _resized(image: Image.Image, area: Area, box: Box, side: int, resample: Image.Resampling) -> Pixels:
    """What is under a box, width first and then height, as `resizing.resize`."""
    (left, top, right, bottom) = box
    across, down = (ceil(REACH * max(1.0, length / side)) for length in (right - left, bottom - top))
    x, y = max(area[0], floor(left) - across), max(area[1], floor(top) - down)
    part = image.crop((x, y, min(area[2], ceil(right) + across), min(area[3], ceil(bottom) + down)))
    wide = part.resize((side, part.height), resample, (left - x, 0, right - x, part.height))
    return np.asarray(wide.resize((side, side), resample, (0, top - y, side, bottom - y)))
