"""From an image and its layout to sub-images: one resize per level, then crops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from dragonfly.vision.layout import LevelLayout, SubImageLayout
from dragonfly.vision.pyramid import laid_out, read_level
from dragonfly.vision.resizing import Pixels, resizing
from dragonfly.vision.spec import LevelName

SubImages = UInt8[np.ndarray, "sub_images side side 3"]
Canvases = dict[LevelName, Pixels]
Fill = tuple[int, int, int]
Draw = Callable[[LevelLayout], Pixels]  # of one image, what a level shows of it


def canvas(draw: Draw, level: LevelLayout, resolution: int, fill: Fill) -> Pixels:
    """The whole image at one level's size; what the image does not cover (padded fit only) has the colour `fill`."""
    content = draw(level)
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
    return np.stack(list(crops(canvases(image, layout, resample=resample, fill=fill), layout, keep_high)))


def canvases(image: Image.Image, layout: SubImageLayout, *, resample: Image.Resampling, fill: Fill) -> Canvases:
    """The image, or its area alone, at every level's size; what of it is drawn how, `drawing` says."""
    draw = drawing(image, layout, resample)
    return {level.name: canvas(draw, level, layout.resolution, fill) for level in layout.levels}


def drawing(image: Image.Image, layout: SubImageLayout, resample: Image.Resampling, resizer: str = "pillow") -> Draw:
    """What draws an image, or its area alone: one resize per level; of a slide, what is read of its pyramid."""
    if pyramid := laid_out(image, layout.size):
        return lambda level: np.asarray(read_level(pyramid, level, layout.resolution, resample, layout.area))
    resize = resizing(image if layout.area is None else image.crop(layout.area), resample, resizer)
    return lambda level: resize(level.content)


def crops(
    drawn: Canvases, layout: SubImageLayout, keep_high: Sequence[int] | None = None, high: Iterator[Pixels] | None = None
) -> Iterator[Pixels]:
    """The sub-images of an image's canvases one by one, in the layout's order, as views; see `cut`.

    `high` are the kept high ones where they are not cut from a canvas (`coarse`).
    """
    for level in layout.levels:
        if level.name == "high" and high is not None:
            yield from high
            continue
        cells = split(drawn[level.name], level.grid)
        wanted = range(level.num_sub_images) if level.name != "high" or keep_high is None else keep_high
        for index in wanted:
            yield cells[divmod(index, level.grid[1])]


def residual(
    drawn: Canvases, layout: SubImageLayout, resample: Image.Resampling, resizer: str = "pillow"
) -> Float[np.ndarray, " high"]:
    """What of each high sub-image the mid level, enlarged to the high canvas, does not show already.

    The mean absolute difference of their pixels, 0 to 255. Sums of whole numbers, so it is the same on every machine. Where a
    padded image does not reach there is no difference.

    Raises:
        ValueError: if the layout lacks one of the two levels.
    """
    mid, high = layout.level("mid"), layout.level("high")
    if mid is None or high is None:
        raise ValueError(f"a residual needs the levels mid and high, got {', '.join(level.name for level in layout.levels)}")
    coarse = Image.fromarray(np.ascontiguousarray(drawn["mid"][: mid.content[0], : mid.content[1]]))
    enlarged = resizing(coarse, resample, resizer)(high.content)
    fine = drawn["high"][: high.content[0], : high.content[1]]
    difference = np.maximum(fine, enlarged)
    difference -= np.minimum(fine, enlarged)
    if high.content != drawn["high"].shape[:2]:
        covered, difference = difference, np.zeros_like(drawn["high"])
        difference[: high.content[0], : high.content[1]] = covered
    sums = split(difference, high.grid).sum(axis=2, dtype=np.uint32).sum(axis=(2, 3), dtype=np.int64)
    return (sums.reshape(-1) / (3 * layout.resolution**2)).astype(np.float32)


def empty_sub_images(drawn: Canvases, layout: SubImageLayout, threshold: float) -> Bool[np.ndarray, " high"] | None:
    """Which high sub-images show next to nothing: their grey levels deviate by up to `threshold` (of 255) from their mean."""
    level = layout.level("high")
    if not threshold or level is None:
        return None
    cells = split(drawn["high"], level.grid).mean(axis=4, dtype=np.float64)
    return cells.std(axis=(2, 3)).reshape(-1) <= threshold


def split(pixels: Pixels, grid: tuple[int, int]) -> UInt8[np.ndarray, "rows cols side side 3"]:
    """A canvas as grid cells, without a copy."""
    rows, cols = grid
    side = pixels.shape[0] // rows
    return pixels.reshape(rows, side, cols, side, 3).swapaxes(1, 2)


Tables = Float[np.ndarray, "3 256"]


def normalising(rescale: float, mean: Sequence[float], std: Sequence[float]) -> Tables:
    """Pixels as the tower wants them: (u8 * rescale, in float64, then float32) - mean, over std, by channel and value.

    Every channel has only 256 possible values, so they are computed once and looked up; bit-equal to the arithmetic.
    """
    levels = (np.arange(256, dtype=np.float64) * rescale).astype(np.float32)
    return np.stack([(levels - np.float32(m)) / np.float32(s) for m, s in zip(mean, std, strict=True)])


def normalise(pixels: Pixels, tables: Tables, out: Float[np.ndarray, "3 height width"]) -> None:
    """Look one sub-image up in `normalising`'s tables and write it, channels first, to where the tower reads it."""
    for channel, table in enumerate(tables):
        np.take(table, pixels[..., channel], out=out[channel], mode="clip")  # "clip": no index is out of range, so no check
