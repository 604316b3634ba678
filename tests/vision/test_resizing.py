"""Other sizes of an image: Pillow's bits, or torch's, which are nearly the same."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dragonfly.vision.resizing import STRIP, resize, resizing

BICUBIC = Image.Resampling.BICUBIC


def noise(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(40, 64), (100, 30), (300, 500)])
def test_pillow_is_the_two_calls(size: tuple[int, int]) -> None:
    image = noise(120, 90)
    assert np.array_equal(resizing(image, BICUBIC)(size), np.asarray(resize(image, size, BICUBIC)))


@pytest.mark.parametrize("filters", [BICUBIC, Image.Resampling.BILINEAR])
@pytest.mark.parametrize("size", [(64, 96), (700, 900), (1, 1)])
def test_torch_differs_by_a_rounding_alone(size: tuple[int, int], filters: Image.Resampling) -> None:
    """Noise of all values, shrunk and enlarged, of more rows than are taken from Pillow at a time."""
    image = noise(2 * STRIP + 77, 401)
    ours, pillows = resizing(image, filters, "torch")(size), np.asarray(resize(image, size, filters))
    assert ours.dtype == np.uint8 and ours.shape == (*size, 3)
    difference = np.abs(ours.astype(int) - pillows)
    assert difference.max() <= 2 and difference.mean() < 0.1


def test_torch_takes_every_pixel_from_pillow() -> None:
    image = noise(STRIP + 3, 20)
    assert np.array_equal(resizing(image, BICUBIC, "torch")((image.height, image.width)), np.asarray(image))


def test_a_filter_that_torch_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="resizer 'torch' has no filter LANCZOS; use one of BICUBIC, BILINEAR, or resizer"):
        resizing(noise(8, 8), Image.Resampling.LANCZOS, "torch")
