"""Windows over grey values: which of many greys become black, white and what lies between.

A window is a centre and a width: `centre - width / 2` becomes 0 and `centre + width / 2` becomes 255, in a straight line between
(LINEAR_EXACT of DICOM PS3.3 C.11.2.1.3.2). Knows no file.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from dragonfly.imaging.policy import ImageError

Window = tuple[float, float]  # (centre, width)

CT_WINDOWS: dict[str, Window] = {
    "lung": (-600, 1500),
    "mediastinum": (50, 350),
    "bone": (400, 1800),
    "brain": (40, 80),
    "liver": (30, 150),
    "subdural": (75, 215),
}
"""(centre, width) in Hounsfield units, so they mean something for computed tomography alone. From "Windowing (CT)"
(radiopaedia.org/articles/windowing-ct): lungs; mediastinum; bone; brain; liver; subdural, the middles of its ranges."""

_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)"
_NUMBERS = re.compile(rf"({_NUMBER}),({_NUMBER})")


def parse_window(text: str, presets: dict[str, Window] = CT_WINDOWS) -> Window:
    """`centre,width` or a preset's name. Raises ImageError."""
    if text in presets:
        return presets[text]
    match = _NUMBERS.fullmatch(text)
    if match is None or float(match[2]) <= 0:
        names = f"{', '.join(presets)}, or " if presets else ""
        raise ImageError(f"has no window '{text:.40}'; accepted: {names}centre,width with a width above 0, as 40,400")
    return float(match[1]), float(match[2])


def windowed(values: NDArray[np.floating] | NDArray[np.integer], window: Window) -> NDArray[np.uint8]:
    """Grey values as 0 to 255. What is not a number is black; infinities are black and white."""
    centre, width = window
    with np.errstate(invalid="ignore", over="ignore"):
        share = (values.astype(np.float64) - (centre - width / 2)) * (255 / width)
    return np.rint(np.nan_to_num(np.clip(share, 0, 255), nan=0.0)).astype(np.uint8)
