"""Images that are never held at once: sub-images are read from a pyramid one by one, whatever the size of the whole.

A slide's reduced copy carries its pyramid (attribute `pyramid`), so it goes wherever an image goes; whether sub-images are cut
from the copy or read from the pyramid, the layout says: it is made of the size of one of them. Memory is that of the canvases,
which do not grow with the image, and of one read.
"""

from __future__ import annotations

from typing import Any, Protocol

from PIL import Image

from dragonfly.vision.layout import Area, Box, LevelLayout, Size


class Pyramid(Protocol):
    """An image of `width` x `height` pixels at its finest level, of which parts are read at any resolution."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def read(self, box: Box, size: Size, resample: Image.Resampling = ...) -> Image.Image:
        """The part under a box in finest pixels, as an RGB image of (height, width)."""
        ...


def pyramid_of(image: Image.Image) -> Pyramid | None:
    """What an image is the reduced copy of; None for an ordinary image."""
    found: Any = getattr(image, "pyramid", None)
    return found


def whole_size(image: Image.Image, slides: str = "pyramid") -> Size:
    """(height, width) that a layout is made for: of the slide, or of the image itself."""
    whole = (pyramid_of(image) if slides == "pyramid" else None) or image
    return whole.height, whole.width


def laid_out(image: Image.Image, size: Size) -> Pyramid | None:
    """The pyramid, where a layout of that size is the slide's and not that of its reduced copy."""
    pyramid = pyramid_of(image)
    return pyramid if pyramid is not None and (pyramid.height, pyramid.width) == size else None


def read_level(
    pyramid: Pyramid, level: LevelLayout, resolution: int, resample: Image.Resampling, area: Area | None = None
) -> Image.Image:
    """What a level shows of the image, or of an area of it: read sub-image by sub-image."""
    left, top, right, bottom = area or (0, 0, pyramid.width, pyramid.height)
    height, width = level.content
    across, down = (right - left) / width, (bottom - top) / height  # finest pixels per pixel of the canvas
    page = Image.new("RGB", (width, height))
    for y in range(0, height, resolution):
        for x in range(0, width, resolution):
            x1, y1 = min(x + resolution, width), min(y + resolution, height)
            box = (left + x * across, top + y * down, left + x1 * across, top + y1 * down)
            page.paste(pyramid.read(box, (y1 - y, x1 - x), resample), (x, y))
    return page
