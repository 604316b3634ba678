"""How an image takes another size: with Pillow, or several times faster with torch; the encoder says which (`resizer`).

Pillow's resize is two calls, width first and then height: Pillow 13 changed the order of the two passes inside one call, which
moves pixels by up to 22 of 255 levels. Two calls give the same bits in every version. torch's antialiased resize of bytes
rounds otherwise, by a level or two, and leaves its result one colour after the other.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8
from PIL import Image

Pixels = UInt8[np.ndarray, "height width 3"]
Resize = Callable[[tuple[int, int]], Pixels]  # of one image to (height, width)

TORCH_FILTERS = {Image.Resampling.BICUBIC: "bicubic", Image.Resampling.BILINEAR: "bilinear"}
STRIP = 256  # rows that leave Pillow's memory at a time: a large image is never held once more on its way


def resize(image: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    """Resize to (height, width) with Pillow: width first, then height."""
    height, width = size
    return image.resize((width, image.height), resample).resize((width, height), resample)


def resizing(image: Image.Image, resample: Image.Resampling, resizer: str = "pillow") -> Resize:
    """What gives an image at any size; safe to be called by several threads.

    Args:
        image: RGB.
        resample: Pillow's name of the filter; torch has `BICUBIC` and `BILINEAR`.
        resizer: `pillow` or `torch`.

    Raises:
        ValueError: for a filter that torch does not have.
    """
    if resizer == "pillow":
        return lambda size: np.asarray(resize(image, size, resample))
    from torch import as_tensor
    from torch.nn.functional import interpolate

    if resample not in TORCH_FILTERS:
        names = ", ".join(one.name for one in TORCH_FILTERS)
        raise ValueError(f"resizer 'torch' has no filter {resample.name}; use one of {names}, or resizer 'pillow'")
    pixels = as_tensor(_bytes_of(image)).permute(2, 0, 1)[None]
    mode = TORCH_FILTERS[resample]
    return lambda size: interpolate(pixels, size, mode=mode, antialias=True)[0].permute(1, 2, 0).numpy()


def _bytes_of(image: Image.Image) -> Pixels:
    pixels = np.empty((image.height, image.width, 3), dtype=np.uint8)
    for top in range(0, image.height, STRIP):
        bottom = min(top + STRIP, image.height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return pixels
