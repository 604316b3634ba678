"""Boxes that a model writes into its answer, in source pixels: where it says that it looked.

Families write coordinates in different units (`Family.boxes`), always of the whole image that they were handed first:
`[12, 40, 96, 80]` or `(12,40),(96,80)`, left, top, right, bottom. PaliGemma writes `<loc0123>` of 1024, top before left.
"""

from __future__ import annotations

import re

from dragonfly.lens.grid import View
from dragonfly.vision.layout import Box

_NUMBER = r"\s*(\d+(?:\.\d+)?)\s*"
_BOX = re.compile(rf"[\[(]{_NUMBER},{_NUMBER}(?:,|\)\s*,\s*\(){_NUMBER},{_NUMBER}[\])]")
_LOC = re.compile(r"<loc(\d{4})><loc(\d{4})><loc(\d{4})><loc(\d{4})>")
_LOCS = 1024


def stated_boxes(text: str, whole: View, scale: float | None) -> tuple[Box, ...]:
    """The boxes in a text, in its order; what is no box, empty or outside of the image is left out.

    Args:
        text: the answer.
        whole: how the whole image was handed over.
        scale: what coordinates count to along each side; None where they are pixels of the view as it was handed over.
    """
    _, _, width, height = whole.box
    found: list[tuple[int, Box]] = []
    for match in _BOX.finditer(text):
        left, top, right, bottom = map(float, match.groups())
        across, down = (whole.size[1], whole.size[0]) if scale is None else (scale, scale)
        found.append((match.start(), (left / across, top / down, right / across, bottom / down)))
    for match in _LOC.finditer(text):
        top, left, bottom, right = (int(part) / _LOCS for part in match.groups())
        found.append((match.start(), (left, top, right, bottom)))
    shares = [box for _, box in sorted(found)]
    return tuple(
        (left * width, top * height, right * width, bottom * height)
        for left, top, right, bottom in shares
        if left < right <= 1 and top < bottom <= 1
    )
