"""A decoded PIL image of any mode becomes RGB, and says what was done to it.

Sixteen bits are divided by 257, which maps 0 to 0 and 65535 to 255. Stretching from the image's own minimum to its
maximum would give more contrast, but the same grey would then mean different things in different images, and an
empty image's noise would fill the range. Colour profiles are not applied. Does not know files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from dragonfly.imaging.policy import ImageError, ImagePolicy

_TO_EIGHT_BITS = ((np.arange(65536) + 128) // 257).astype(np.uint8)
ORIENTATION_TAG = 0x0112
_TURNS = {  # EXIF 2.3, section 4.6.4 A: where the stored row 0 and column 0 belong
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def to_rgb(image: Image.Image, policy: ImagePolicy) -> tuple[Image.Image, list[str]]:
    """RGB pixels of a loaded image (whose `info` may be changed), and notes on the conversion.

    Raises ImageError for numbers without an agreed grey scale: floats, and integers outside 0..65535.
    """
    notes: list[str] = []
    if image.info.get("icc_profile"):
        notes.append("ICC profile ignored")
    if image.mode == "La":  # the one mode that Pillow converts to nothing but its sibling
        image = image.convert("LA")
    if policy.sixteen_bit == "scale" and image.mode.startswith(("I", "F")):
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
        raise ImageError("holds floating-point grey, which has no agreed range; save it as 8 or 16 bits")
    values = np.asarray(image)
    if image.mode == "I":
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 65535:
            raise ImageError(f"holds grey values from {low} to {high}, beyond 16 bits; choose a window and save it as 8 bits")
        if high <= 255 and image.format != "PPM":  # Pillow spreads every deep PGM over 16 bits, however dark
            notes.append("32-bit grey with values up to 255 taken as 8 bits")
            return Image.fromarray(values.astype(np.uint8))
    notes.append("16-bit grey scaled to 8 bits")
    grey = _TO_EIGHT_BITS[values]
    if isinstance(transparent, int):
        notes.append("transparent grey set to white")
        grey[values == transparent] = 255
    return Image.fromarray(grey)


def _on_white(image: Image.Image, notes: list[str]) -> Image.Image:
    image = image.convert("RGBA")
    if image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    notes.append("alpha blended on white")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where there is none or it is unreadable."""
    try:
        value: Any = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # hostile EXIF breaks Pillow's parser in many ways, and the pixels are still good
        return 1
    return value if value in _TURNS else 1


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """The image upright, as `PIL.ImageOps.exif_transpose` turns it."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image
