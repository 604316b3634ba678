"""Pixels of the released format, bit for bit; images in odd colour modes; and the grid rule's choice for each image."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragonfly.vision.tiling import cut
from tests.models import golden as g
from tests.models.golden import Golden

SAMPLES = 16  # recorded pixels per side of every sub-image


def images() -> list[tuple[Golden, str]]:
    return [(golden, name) for golden in g.versions() for name in golden.manifest["pixels"]]


def modes() -> list[tuple[Golden, str]]:
    return [(golden, name) for golden in g.versions() for name in golden.manifest.get("modes", {})]


def parameters(items: list[tuple[Golden, str]]) -> list[Any]:
    if not items:
        return g.parameters([])
    return [pytest.param(item, id=f"{item[0]}-{item[1]}") for item in items]


@cache
def load_image(golden: Golden, name: str) -> Image.Image:
    return golden.image(name)


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


@pytest.mark.parametrize("item", parameters(images()))
def test_sub_images_bit_for_bit(item: tuple[Golden, str]) -> None:
    golden, name = item
    meta = golden.manifest["pixels"][name]
    _, processor = g.load(golden)
    image = load_image(golden, name)
    layout = processor.image_processor.layout((image.height, image.width))
    assert [image.width, image.height] == meta["source_size"]
    assert list(layout.level("mid").grid[::-1]) == meta["mid_grid_wh"]
    assert list(layout.level("high").grid[::-1]) == meta["high_grid_wh"]
    crops = cut(image, layout)
    assert len(crops) == meta["n_sub_images"]
    assert [digest(crop) for crop in crops] == meta["sub_image_u8_sha256"]
    pixels = processor.image_processor(images=[image], return_tensors="np")["pixel_values"][0]
    assert pixels.dtype == np.float32
    assert [digest(sub_image) for sub_image in pixels] == meta["sub_image_f32_sha256"]
    _compare_stored(golden.folder, meta, crops, pixels)


def _compare_stored(folder: Path, meta: dict[str, Any], crops: np.ndarray, pixels: np.ndarray) -> None:
    """The same pixels where they are stored as values: samples, all crops of an image, whole sub-images."""
    with np.load(folder / meta["file"]) as stored:
        step = pixels.shape[-1] // SAMPLES
        sample = pixels[:, :, step // 2 :: step, step // 2 :: step]
        assert np.array_equal(sample, stored["pixel_sample"])
        exact = pixels.astype(np.float64)
        assert np.allclose(exact.mean(axis=(2, 3)), stored["pixel_mean"], rtol=0, atol=1e-6)
        assert np.allclose(exact.std(axis=(2, 3)), stored["pixel_std"], rtol=0, atol=1e-6)
    if "all_crops_png" in meta:
        stacked = np.asarray(Image.open(folder / meta["all_crops_png"]).convert("RGB"))
        assert np.array_equal(crops.reshape(stacked.shape), stacked)
    if "full_f32_npz" in meta:
        with np.load(folder / meta["full_f32_npz"]) as stored:
            values = next(stored[key] for key in stored.files if stored[key].ndim == 4)
            index = next(stored[key] for key in stored.files if stored[key].ndim < 2)
            assert np.array_equal(pixels[np.atleast_1d(index)], values)


@pytest.mark.parametrize("item", parameters(modes()))
@pytest.mark.parametrize("form", ["opened", "path"])
def test_odd_modes_are_converted_to_rgb_first(item: tuple[Golden, str], form: str) -> None:
    """Item 7: callers of the released processor converted with Pillow first; ours does so itself, whatever it is handed."""
    golden, name = item
    meta = golden.manifest["modes"][name]
    _, processor = g.load(golden)
    path = golden.directory / "images" / "modes" / name
    source = str(path) if form == "path" else Image.open(path)
    pixels = processor.image_processor(images=[source], return_tensors="np")["pixel_values"][0]
    recorded = meta["convert_rgb_first"]
    assert list(pixels.shape) == recorded["shape"]
    assert digest(pixels) == recorded["sha256"]
    assert (recorded["sha256"] == meta["direct"]["sha256"]) == meta["same"]
