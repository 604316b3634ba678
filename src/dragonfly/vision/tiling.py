"""From an image and its layout to sub-images: one resize per level, then crops.

The resize is Pillow's, width first and then height as two calls: Pillow 13 changed the order of the two passes inside one
call, which moves pixels by up to 22 of 255 levels. Two calls give the same bits in every version.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from dragonfly.vision.layout import LevelLayout, SubImageLayout
from dragonfly.vision.pyramid import laid_out, read_level
from dragonfly.vision.spec import LevelName

SubImages = UInt8[np.ndarray, "sub_images side side 3"]
Canvases = dict[LevelName, UInt8[np.ndarray, "height width 3"]]
Fill = tuple[int, int, int]


def resize(image: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    """Resize to (height, width): width first, then height."""
    height, width = size
    return image.resize((width, image.height), resample).resize((width, height), resample)


def canvas(
    image: Image.Image, level: LevelLayout, resolution: int, resample: Image.Resampling, fill: Fill
) -> UInt8[np.ndarray, "height width 3"]:
    """The whole image at one level's size; what the image does not cover (padded fit only) has the colour `fill`."""
    return _on_canvas(resize(image, level.content, resample), level, resolution, fill)


def _on_canvas(drawn: Image.Image, level: LevelLayout, resolution: int, fill: Fill) -> UInt8[np.ndarray, "height width 3"]:
    content = np.asarray(drawn)
    rows, cols = level.grid
    size = (rows * resolution, cols * resolution)
    if level.content == size:
        return content
    padded = np.empty((*size, 3), dtype=np.uint8)
    padded[:] = fill
    padded[: level.content[0], : level.content[1]] = content
    return padded


def cut(
    image: Image.Image,
    layout: SubImageLayout,
    keep_high: Sequence[int] | None = None,
    *,
    resample: Image.Resampling = Image.Resampling.BICUBIC,
    fill: Fill = (0, 0, 0),
) -> SubImages:
    """All sub-images of an image, in the layout's order.

    Args:
        image: an RGB image of the size that the layout was made for, or a slide's reduced copy.
        layout: from `make_layout`.
        keep_high: ascending raster indices of the high sub-images wanted; None for all.
        resample: Pillow filter.
        fill: colour around a padded image.

    Returns:
        uint8 of shape (sub_images, R, R, 3).

    Raises:
        ValueError: if the image is not RGB or not of the layout's size.
    """
    if image.mode != "RGB" or (laid_out(image, layout.size) is None and (image.height, image.width) != layout.size):
        raise ValueError(
            f"expected an RGB image of height {layout.size[0]}, width {layout.size[1]}, got mode {image.mode}, "
            f"height {image.height}, width {image.width}"
        )
    return crop(canvases(image, layout, resample=resample, fill=fill), layout, keep_high)


def canvases(image: Image.Image, layout: SubImageLayout, *, resample: Image.Resampling, fill: Fill) -> Canvases:
    """The image, or its area alone, at every level's size: one resize per level; of a slide, what is read of its pyramid."""
    if pyramid := laid_out(image, layout.size):
        read = {one.name: read_level(pyramid, one, layout.resolution, resample, layout.area) for one in layout.levels}
        return {one.name: _on_canvas(read[one.name], one, layout.resolution, fill) for one in layout.levels}
    if layout.area is not None:
        image = image.crop(layout.area)
    return {level.name: canvas(image, level, layout.resolution, resample, fill) for level in layout.levels}


def crop(drawn: Canvases, layout: SubImageLayout, keep_high: Sequence[int] | None = None) -> SubImages:
    """The sub-images of an image's canvases, in the layout's order; see `cut`."""
    parts: list[SubImages] = []
    for level in layout.levels:
        crops = split(drawn[level.name], level.grid)
        parts.append(crops[list(keep_high)] if level.name == "high" and keep_high is not None else crops)
    return np.concatenate(parts)


def residual(drawn: Canvases, layout: SubImageLayout, resample: Image.Resampling) -> Float[np.ndarray, " high"]:
    """What of each high sub-image the mid level, enlarged to the high canvas, does not show already.

    The mean absolute difference of their pixels, 0 to 255. Sums of whole numbers, so it is the same on every machine. Where a
    padded image does not reach there is no difference.

    Raises:
        ValueError: if the layout lacks one of the two levels.
    """
    mid, high = layout.level("mid"), layout.level("high")
    if mid is None or high is None:
        raise ValueError(f"a residual needs the levels mid and high, got {', '.join(level.name for level in layout.levels)}")
    coarse = Image.fromarray(drawn["mid"][: mid.content[0], : mid.content[1]])
    enlarged = np.asarray(resize(coarse, high.content, resample))
    fine = drawn["high"][: high.content[0], : high.content[1]]
    difference = np.zeros_like(drawn["high"])
    difference[: high.content[0], : high.content[1]] = np.maximum(fine, enlarged) - np.minimum(fine, enlarged)
    return split(difference, high.grid).mean(axis=(1, 2, 3), dtype=np.float64).astype(np.float32)


def empty_sub_images(drawn: Canvases, layout: SubImageLayout, threshold: float) -> Bool[np.ndarray, " high"] | None:
    """Which high sub-images show next to nothing: their grey levels deviate by up to `threshold` (of 255) from their mean."""
    level = layout.level("high")
    if not threshold or level is None:
        return None
    crops = split(drawn["high"], level.grid).mean(axis=3, dtype=np.float64)
    return crops.std(axis=(1, 2)) <= threshold


def split(pixels: UInt8[np.ndarray, "height width 3"], grid: tuple[int, int]) -> SubImages:
    """Cut a canvas into grid cells in raster order."""
    rows, cols = grid
    side = pixels.shape[0] // rows
    return pixels.reshape(rows, side, cols, side, 3).swapaxes(1, 2).reshape(rows * cols, side, side, 3)


def normalise(
    sub_images: SubImages, rescale: float, mean: Sequence[float], std: Sequence[float]
) -> Float[np.ndarray, "sub_images 3 side side"]:
    """Pixels as the tower wants them: (u8 * rescale, in float64, then float32) - mean, over std, channels first.

    Every channel has only 256 possible values, so they are computed once and looked up; bit-equal to the arithmetic.
    """
    levels = (np.arange(256, dtype=np.float64) * rescale).astype(np.float32)
    tables = [(levels - np.float32(m)) / np.float32(s) for m, s in zip(mean, std, strict=True)]
    return np.stack([table[sub_images[..., channel]] for channel, table in enumerate(tables)], axis=1)
