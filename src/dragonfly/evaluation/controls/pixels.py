"""Evidence taken out of an image's pixels, and as much of the image taken out elsewhere.

A mask is (height, width) in source pixels, true where evidence is; it covers every pixel that its boxes touch. What is taken out
gets the image's mean colour *in the source*, before anything is cut or resized: low, mid and high level are all made of the
changed image, so none of them still shows what the others have lost, and the model may look elsewhere.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dragonfly.vision.layout import Area, Box, Size

Mask = NDArray[np.bool_]

DRAWS = 64  # places tried for a mask before the one that overlaps least is taken


def touched(box: Box, size: Size) -> Area:
    """The whole pixels of an image of (height, width) that a box touches, clipped to the image; (0, 0, 0, 0) for none."""
    height, width = size
    left, top = max(0, int(np.floor(box[0]))), max(0, int(np.floor(box[1])))
    right, bottom = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    return (left, top, right, bottom) if left < right and top < bottom else (0, 0, 0, 0)


def mask_of(size: Size, boxes: Iterable[Box]) -> Mask:
    """The pixels that any of the boxes touches."""
    mask = np.zeros(size, dtype=np.bool_)
    for box in boxes:
        left, top, right, bottom = touched(box, size)
        mask[top:bottom, left:right] = True
    return mask


def without(image: Image.Image, mask: Mask) -> Image.Image:
    """A new RGB image with the image's mean colour where the mask is true, and the same pixels elsewhere."""
    pixels = np.array(image)
    pixels[mask] = np.round(pixels.mean(axis=(0, 1))).astype(np.uint8)
    return Image.fromarray(pixels)


def only(image: Image.Image, mask: Mask) -> Image.Image:
    """A new RGB image with its pixels where the mask is true, and the image's mean colour elsewhere."""
    return without(image, ~mask)


def elsewhere(mask: Mask, rng: np.random.Generator) -> tuple[Mask, tuple[int, int]]:
    """The mask moved to a random place, and by how many (rows, columns).

    What leaves the image at one side enters at the other, so the moved mask has exactly as many pixels. Places that overlap the
    mask more than a uniformly random place does on average are drawn again, up to `DRAWS` times; then the least overlap is taken.
    """
    chance = int(mask.sum()) ** 2 / mask.size
    best: tuple[int, Mask, tuple[int, int]] | None = None
    for _ in range(DRAWS):
        shift = int(rng.integers(mask.shape[0])), int(rng.integers(mask.shape[1]))
        moved = np.roll(mask, shift, axis=(0, 1))
        overlap = int((moved & mask).sum())
        if best is None or overlap < best[0]:
            best = overlap, moved, shift
        if overlap <= chance:
            break
    assert best is not None
    return best[1], best[2]


def swapped(image: Image.Image, boxes: Sequence[Box], other: Image.Image, others: Sequence[Box]) -> Image.Image:
    """A new image that shows in each of its boxes, stretched to it, what another image shows in one of its own, by turns."""
    result = image.copy()
    size, other_size = (image.height, image.width), (other.height, other.width)
    sources = [area for box in others if (area := touched(box, other_size))[2]]
    for number, box in enumerate(boxes):
        target = touched(box, size)
        if target[2] and sources:
            shown = other.crop(sources[number % len(sources)])
            shown = shown.resize((target[2] - target[0], target[3] - target[1]), Image.Resampling.BICUBIC)
            result.paste(shown, target[:2])
    return result
