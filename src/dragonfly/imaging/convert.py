"""A decoded PIL image of any mode becomes RGB, and says what was done to it.

Sixteen bits are divided by 257, which maps 0 to 0 and 65535 to 255. Stretching from the image's own minimum to its
maximum would give more contrast, but the same grey would then mean different things in different images, and an
empty image's noise would fill the range. Who knows the range of a deep grey image names it as a window (`grey.py`); a note says
so where the image is dark without. Colour profiles are not applied. Does not know files.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from PIL import Image

from dragonfly.imaging.grey import Window, windowed
from dragonfly.imaging.policy import ImageError, ImagePolicy

_STRIP = 2**22  # pixels that are converted at a time: what is held beside the image is small, whatever its size
DEEP = ("I", "F")
"""How Pillow's modes of more than eight bits of grey begin."""
_DARK = 4096  # no grey of a 16-bit image reaches it: then it holds twelve bits or fewer, and scaled to 8 bits it is nearly black
_TO_EIGHT_BITS = ((np.arange(65536) + 128) // 257).astype(np.uint8)


_CURE = "name what is black and white after the file's name, #window=centre,width, or save it as 8 bits"


def to_rgb(image: Image.Image, policy: ImagePolicy, window: Window | None = None) -> tuple[Image.Image, list[str]]:
    """RGB pixels of a loaded image (whose `info` may be changed), and notes on the conversion.

    `window` of a deep grey image says what becomes black and what white.
    Raises ImageError for numbers without an agreed grey scale: floats, and integers outside 0..65535.
    """
    notes: list[str] = []
    if image.info.get("icc_profile"):
        notes.append("ICC profile ignored")
    if image.mode == "La":  # the one mode that Pillow converts to nothing but its sibling
        image = image.convert("LA")
    if window is not None:
        centre, width = window
        notes.append(f"grey {centre - width / 2:g} to {centre + width / 2:g} scaled to 8 bits")
        image = _in_strips(image, "L", lambda strip: Image.fromarray(windowed(np.asarray(strip), window)))
    elif policy.sixteen_bit == "scale" and image.mode.startswith(DEEP):
        image = _scaled(image, notes, transparent=image.info.get("transparency") if policy.alpha == "white" else None)
    elif image.mode.startswith("I;16"):
        notes.append("16-bit grey cut at 255")
    if image.has_transparency_data:
        if policy.alpha == "white":
            return _on_white(image, notes), notes
        notes.append("alpha dropped")
        # Pillow would otherwise look for a palette entry for the transparent colour, and warn when there is none.
        image.info.pop("transparency", None)
    if image.mode not in ("RGB", "L", "P", "1", "LA", "PA", "RGBA") and not image.mode.startswith("I;16"):
        notes.append(f"{image.mode} converted to RGB")
    return image.convert("RGB"), notes


def _scaled(image: Image.Image, notes: list[str], transparent: Any) -> Image.Image:
    """Grey of more than eight bits as an `L` image; `transparent` is the stored grey that stands for nothing."""
    if image.mode == "F":
        raise ImageError(f"holds floating-point grey, which has no agreed range; {_CURE}")
    if image.mode == "I":
        low, high = cast(tuple[int, int], image.getextrema())
        if low < 0 or high > 65535:
            raise ImageError(f"holds grey values from {low} to {high}, beyond 16 bits; {_CURE}")
        if high <= 255 and image.format != "PPM":  # Pillow spreads every deep PGM over 16 bits, however dark
            notes.append("32-bit grey with values up to 255 taken as 8 bits")
            return _in_strips(image, "L", lambda strip: Image.fromarray(np.asarray(strip).astype(np.uint8)))
    notes.append("16-bit grey scaled to 8 bits")
    if isinstance(transparent, int):
        notes.append("transparent grey set to white")

    top = 0

    def scaled(strip: Image.Image) -> Image.Image:
        nonlocal top
        values = np.asarray(strip)
        top = max(top, int(values.max()))
        grey = _TO_EIGHT_BITS[values]
        if isinstance(transparent, int):
            grey[values == transparent] = 255
        return Image.fromarray(grey)

    grey = _in_strips(image, "L", scaled)
    if 0 < top < _DARK and image.format != "PPM":
        notes.append(f"nearly black: no grey is over {top} of 65535; to show that range: #window={top / 2:g},{top}")
    return grey


def _on_white(image: Image.Image, notes: list[str]) -> Image.Image:
    blended = False

    def on_white(strip: Image.Image) -> Image.Image:
        nonlocal blended
        strip = strip if strip.mode == "RGBA" else strip.convert("RGBA")
        if strip.getchannel("A").getextrema() == (255, 255):
            return strip.convert("RGB")
        blended = True
        return Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB")

    rgb = _in_strips(image, "RGB", on_white)
    if blended:
        notes.append("alpha blended on white")
    return rgb


def _in_strips(image: Image.Image, mode: str, convert: Callable[[Image.Image], Image.Image]) -> Image.Image:
    rows = max(1, _STRIP // max(1, image.width))
    result = Image.new(mode, image.size)
    for top in range(0, image.height, rows):
        result.paste(convert(image.crop((0, top, image.width, min(top + rows, image.height)))), (0, top))
    return result
