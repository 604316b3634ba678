"""Pixels: one resize per level, then crops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dragonfly.vision.layout import LevelLayout, SubImageLayout, make_layout
from dragonfly.vision.resizing import resize
from dragonfly.vision.spec import EncoderSpec
from dragonfly.vision.tiling import canvases, crops, cut, normalise, normalising, residual, split
from tests.vision.cases import SPECS, V1, V2

BICUBIC = Image.Resampling.BICUBIC
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def small(spec: EncoderSpec) -> EncoderSpec:
    """The same encoder on sub-images of 16 pixels."""
    levels = {name: level and level.with_changes(pool=1) for name in ("mid", "high") for level in [spec.level(name)]}
    return spec.with_changes(resolution=16, patch_size=4, **levels)


def reassemble(crops: np.ndarray, level: LevelLayout) -> np.ndarray:
    rows = [np.concatenate(list(row), axis=1) for row in crops.reshape(*level.grid, *crops.shape[1:])]
    return np.concatenate(rows)


def by_level(crops: np.ndarray, layout: SubImageLayout) -> list[tuple[LevelLayout, np.ndarray]]:
    ends = np.cumsum([level.num_sub_images for level in layout.levels])
    return list(zip(layout.levels, np.split(crops, ends[:-1]), strict=True))


def looked_up(sub_images: np.ndarray, rescale: float) -> np.ndarray:
    out = np.empty((len(sub_images), 3, *sub_images.shape[1:3]), dtype=np.float32)
    for pixels, place in zip(sub_images, out, strict=True):
        normalise(pixels, normalising(rescale, CLIP_MEAN, CLIP_STD), place)
    return out


def two_passes(image: Image.Image, height: int, width: int) -> np.ndarray:
    return np.asarray(image.resize((width, image.height), BICUBIC).resize((width, height), BICUBIC))


def check_reassembly(image: Image.Image, spec: EncoderSpec) -> None:
    layout = make_layout((image.height, image.width), spec)
    crops = cut(image, layout, fill=(7, 8, 9))
    assert crops.dtype == np.uint8
    assert crops.shape == (layout.num_sub_images, spec.resolution, spec.resolution, 3)
    for level, part in by_level(crops, layout):
        canvas = reassemble(part, level)
        height, width = level.content
        assert canvas.shape == (spec.resolution * level.grid[0], spec.resolution * level.grid[1], 3)
        assert np.array_equal(canvas[:height, :width], two_passes(image, height, width))
        assert np.all(canvas[height:] == (7, 8, 9)) and np.all(canvas[:, width:] == (7, 8, 9))


@pytest.mark.parametrize("name", SPECS)
def test_crops_reassemble_to_the_resized_image(name: str) -> None:
    check_reassembly(noise(61, 97), small(SPECS[name]))


@given(height=st.integers(1, 2000), width=st.integers(1, 2000), name=st.sampled_from(sorted(SPECS)))
@settings(max_examples=15, deadline=None)
def test_crops_reassemble_at_any_size(height: int, width: int, name: str) -> None:
    check_reassembly(noise(height, width), small(SPECS[name]))


@pytest.mark.parametrize("size", [(1, 1), (2000, 2000), (1, 2000), (2000, 1)])
def test_crops_reassemble_at_the_extremes(size: tuple[int, int]) -> None:
    check_reassembly(noise(*size), V1)
    check_reassembly(noise(*size), small(SPECS["v2-padded"]))


def test_crops_reassemble_from_a_very_large_image() -> None:
    pattern = noise(40, 50).resize((12_000, 12_000), Image.Resampling.NEAREST)
    check_reassembly(pattern, small(SPECS["high-only"]))


def test_resizing_is_width_first_then_height() -> None:
    """On an image that shrinks much more in height the order of the passes moves pixels, so the test can fail."""
    image = noise(900, 40)
    expected = two_passes(image, 16, 32)
    other = np.asarray(image.resize((40, 16), BICUBIC).resize((32, 16), BICUBIC))
    assert np.array_equal(np.asarray(resize(image, (16, 32), BICUBIC)), expected)
    assert not np.array_equal(expected, other)


def test_the_filter_is_the_callers() -> None:
    image = noise(50, 70)
    layout = make_layout((50, 70), small(V1))
    nearest = cut(image, layout, resample=Image.Resampling.NEAREST)
    assert np.array_equal(nearest[0], np.asarray(image.resize((16, 16), Image.Resampling.NEAREST)))
    assert not np.array_equal(nearest, cut(image, layout))


def test_the_whole_image_is_resized_not_each_crop() -> None:
    """At an inner edge the filter must reach over into the neighbour: a crop resized by itself differs there."""
    image = noise(64, 64)
    layout = make_layout((64, 64), small(V1))
    crops = cut(image, layout)
    mids = layout.level_boxes("mid")  # 32 x 32 source pixels each
    alone = [np.asarray(image.crop(box).resize((16, 16), BICUBIC)) for box in mids]
    for index, part in enumerate(alone):
        assert not np.array_equal(crops[1 + index], part)
        assert np.array_equal(crops[1 + index][4:12, 4:12], part[4:12, 4:12])  # away from the edges they agree


def test_sub_images_show_what_their_boxes_say() -> None:
    """Every source pixel is its own colour; at the canvas' own size each crop is the image under its box."""
    image = noise(64, 96)
    spec = small(V1).with_changes(high=V1.high.with_changes(pool=1) if V1.high else None)
    layout = make_layout((64, 96), spec)
    assert layout.levels[-1].grid == (4, 6)
    crops = cut(image, layout)
    source = np.asarray(image)
    for box, part in zip(layout.boxes[5:], crops[5:], strict=True):
        left, top, right, bottom = map(int, box)
        assert np.array_equal(part, source[top:bottom, left:right])


def test_a_plain_image_stays_plain() -> None:
    image = Image.new("RGB", (13, 29), (12, 200, 255))
    assert np.all(cut(image, make_layout((29, 13), small(V2))) == (12, 200, 255))


def test_split_is_in_raster_order() -> None:
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    cells = split(pixels, (2, 3))
    assert cells.shape == (2, 3, 2, 2, 3) and np.shares_memory(cells, pixels)
    assert cells[..., 0, 0, 0].tolist() == [[0, 6, 12], [36, 42, 48]]
    assert np.array_equal(cells[1, 1], pixels[2:4, 2:4])


def test_only_the_wanted_high_sub_images_are_kept() -> None:
    image = noise(50, 60)
    layout = make_layout((50, 60), small(V1))
    everything, some = cut(image, layout), cut(image, layout, [1, 7, 23])
    assert np.array_equal(some, everything[[0, 1, 2, 3, 4, 6, 12, 28]])
    assert np.array_equal(cut(image, layout, []), everything[:5])
    assert np.array_equal(cut(image, layout, range(24)), everything)


BICUBIC = Image.Resampling.BICUBIC


@pytest.mark.parametrize("name", ["v1", "v2", "v2-padded", "v1-high16-padded"])
def test_the_residual_is_the_difference_of_the_two_levels(name: str) -> None:
    spec = small(SPECS[name])
    image = noise(150, 220)
    layout = make_layout((150, 220), spec)
    mid, high = layout.level("mid"), layout.level("high")
    assert mid is not None and high is not None
    drawn = canvases(image, layout, resample=BICUBIC, fill=(9, 9, 9))
    enlarged = np.full_like(drawn["high"], 9)
    coarse = Image.fromarray(drawn["mid"]).crop((0, 0, mid.content[1], mid.content[0]))
    enlarged[: high.content[0], : high.content[1]] = two_passes(coarse, *high.content)
    expected = np.abs(drawn["high"].astype(float) - enlarged).mean(axis=-1)
    cells = residual(drawn, layout, BICUBIC)
    assert cells.dtype == np.float32 and cells.shape == (high.num_sub_images,)
    side = layout.resolution
    for index in range(high.num_sub_images):
        row, col = divmod(index, high.grid[1])
        cell = expected[row * side : (row + 1) * side, col * side : (col + 1) * side]
        assert cells[index] == np.float32(cell.mean())


def test_the_residual_sees_only_what_mid_cannot_show() -> None:
    spec = small(V1)
    layout = make_layout((64, 96), spec)  # high sub-images show the image's own pixels, 16 x 16 each
    plain = Image.new("RGB", (96, 64), (200, 30, 90))
    assert not residual(canvases(plain, layout, resample=BICUBIC, fill=(0, 0, 0)), layout, BICUBIC).any()
    pixels = np.array(plain)
    pixels[20:28, 36:44:2] = 0  # fine stripes inside the sub-image in the second row and third column
    lined = residual(canvases(Image.fromarray(pixels), layout, resample=BICUBIC, fill=(0, 0, 0)), layout, BICUBIC)
    assert lined.argmax() == 8 and lined[8] > 5 and lined[0] == 0


def test_a_residual_needs_both_levels() -> None:
    layout = make_layout((64, 64), small(SPECS["no-mid"]))
    with pytest.raises(ValueError, match="a residual needs the levels mid and high, got low, high"):
        residual({}, layout, BICUBIC)


def test_cutting_is_drawing_and_cropping() -> None:
    image, layout = noise(90, 130), make_layout((90, 130), small(V1))
    drawn = canvases(image, layout, resample=BICUBIC, fill=(0, 0, 0))
    assert np.array_equal(np.stack(list(crops(drawn, layout, [3, 7]))), cut(image, layout, [3, 7]))


def test_the_wrong_image_is_refused() -> None:
    layout = make_layout((50, 60), V1)
    fault = "expected an RGB image of height 50, width 60, got mode {}, height {}, width {}"
    with pytest.raises(ValueError, match=fault.format("RGB", 60, 50)):
        cut(noise(60, 50), layout)
    for mode in ("L", "RGBA", "CMYK", "P"):
        with pytest.raises(ValueError, match=fault.format(mode, 50, 60)):
            cut(Image.new(mode, (60, 50)), layout)


@given(seed=st.integers(0, 999), rescale=st.sampled_from([1 / 255, 1 / 127.5, 1.0]))
@settings(max_examples=20, deadline=None)
def test_normalising_is_bit_equal_to_the_arithmetic(seed: int, rescale: float) -> None:
    """Recorded behaviour of the released processor: u8 * scale in float64, then float32, minus mean, over std."""
    sub_images = np.random.default_rng(seed).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    levels = (sub_images.astype(np.float64) * rescale).astype(np.float32)
    expected = (levels - np.array(CLIP_MEAN, dtype=np.float32)) / np.array(CLIP_STD, dtype=np.float32)
    actual = looked_up(sub_images, rescale)
    assert actual.dtype == np.float32
    assert actual.tobytes() == np.ascontiguousarray(expected.transpose(0, 3, 1, 2)).tobytes()


def test_normalising_covers_every_value_of_every_channel() -> None:
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1), (1, 16, 16, 3))
    actual = looked_up(ramp, 1 / 255)
    assert actual.shape == (1, 3, 16, 16)
    for channel in range(3):
        ends = actual[0, channel].flatten()[[0, 255]]
        np.testing.assert_allclose(ends * CLIP_STD[channel] + CLIP_MEAN[channel], [0, 1], atol=1e-6)
        assert np.all(np.diff(actual[0, channel].flatten()) > 0)
