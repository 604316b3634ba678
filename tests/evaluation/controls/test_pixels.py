"""Evidence taken out of pixels, and as much taken out elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dragonfly.evaluation.controls import pixels
from dragonfly.vision.layout import Box
from tests import tiny

SIZE = (40, 60)
EDGES = st.floats(-5, 65, allow_nan=False)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    left, right = sorted((draw(EDGES), draw(EDGES)))
    top, bottom = sorted((draw(EDGES), draw(EDGES)))
    return left, top, right, bottom


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(boxes(), max_size=4), st.integers(0, 2**32))
def test_elsewhere_is_as_many_pixels_and_overlaps_no_more_than_chance(some: list[Box], seed: int) -> None:
    mask = pixels.mask_of(SIZE, some)
    moved, (rows, cols) = pixels.elsewhere(mask, np.random.default_rng(seed))
    assert moved.sum() == mask.sum()
    assert (np.roll(mask, (rows, cols), axis=(0, 1)) == moved).all()
    assert (moved & mask).sum() <= mask.sum() ** 2 / mask.size


def test_places_are_spread_over_the_image_and_follow_from_the_generator_alone() -> None:
    mask = pixels.mask_of(SIZE, [(10, 10, 14, 14)])
    shifts = [pixels.elsewhere(mask, np.random.default_rng(seed))[1] for seed in range(200)]
    assert shifts[3] == pixels.elsewhere(mask, np.random.default_rng(3))[1]
    rows, cols = zip(*shifts, strict=True)
    assert np.ptp(rows) > 0.9 * SIZE[0] and np.ptp(cols) > 0.9 * SIZE[1]


@pytest.mark.parametrize(
    ("box", "area"),
    [
        ((1.2, 2.0, 3.1, 3.0), (1, 2, 4, 3)),
        ((-9, -9, 4, 4), (0, 0, 4, 4)),
        ((50, 30, 90, 90), (50, 30, 60, 40)),
        ((70, 0, 90, 9), (0, 0, 0, 0)),
    ],
)
def test_a_box_takes_every_pixel_that_it_touches(box: Box, area: tuple[int, int, int, int]) -> None:
    assert pixels.touched(box, SIZE) == area
    expected = np.zeros(SIZE, dtype=bool)
    expected[area[1] : area[3], area[0] : area[2]] = True
    assert (pixels.mask_of(SIZE, [box]) == expected).all()


def test_deleted_pixels_are_the_mean_colour_and_all_others_stay() -> None:
    image = tiny.image(60, 40, seed=4)
    before, mask = np.array(image), pixels.mask_of(SIZE, [(5, 5, 20, 30)])
    mean = np.round(before.mean(axis=(0, 1)))
    after, kept = np.array(pixels.without(image, mask)), np.array(pixels.only(image, mask))
    assert (after[mask] == mean).all() and (after[~mask] == before[~mask]).all()
    assert (kept[~mask] == mean).all() and (kept[mask] == before[mask]).all()
    assert (np.array(image) == before).all()


def test_deleting_nothing_changes_nothing() -> None:
    image = tiny.image(60, 40, seed=4)
    assert pixels.without(image, pixels.mask_of(SIZE, [])).tobytes() == image.tobytes()
    assert pixels.only(image, pixels.mask_of(SIZE, [(0, 0, 60, 40)])).tobytes() == image.tobytes()


def test_swapped_boxes_show_the_other_images_boxes_by_turns() -> None:
    image, other = Image.new("RGB", (60, 40), (9, 9, 9)), Image.new("RGB", (30, 30), (200, 0, 0))
    other.paste((0, 200, 0), (10, 10, 20, 20))
    found = np.array(
        pixels.swapped(image, [(0, 0, 8, 8), (20, 20, 30, 26), (70, 0, 80, 9)], other, [(0, 0, 5, 5), (10, 10, 20, 20)])
    )
    assert (found[:8, :8] == (200, 0, 0)).all() and (found[20:26, 20:30] == (0, 200, 0)).all()
    found[:8, :8] = found[20:26, 20:30] = 9
    assert (found == 9).all()
