"""Blank margins are found from pixels, left out of sub-images, and nowhere else: boxes stay in pixels of the whole image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dragonfly.models import DragonflyImageProcessor
from dragonfly.vision.layout import make_layout
from dragonfly.vision.spec import EncoderSpec
from dragonfly.vision.tiling import cut
from dragonfly.vision.trimming import image_layout, printed_area

SPEC = EncoderSpec.from_dict(
    {
        "resolution": 32,
        "patch_size": 8,
        "mid": {"grids": [[2, 1], [1, 2]]},
        "high": {"grids": [[4, 2], [2, 4]]},
        "partners": [[[2, 1], [[4, 2]]], [[1, 2], [[2, 4]]]],
        "trim": True,
    }
)


def page(size: tuple[int, int] = (600, 900), paper: int = 235) -> Image.Image:
    """Lines of print between (150, 300) and (450, 800), in width and height."""
    image = Image.new("RGB", size, (paper,) * 3)
    draw = ImageDraw.Draw(image)
    for top in range(300, 800, 25):
        for left in range(150, 440, 14):
            draw.rectangle((left, top, left + 9, top + 14), fill=(30, 30, 30))
    return image


def test_the_area_holds_all_print_and_little_else() -> None:
    left, top, right, bottom = printed_area(page()) or (0, 0, 0, 0)
    assert 120 <= left <= 150 and 270 <= top <= 300 and 445 <= right <= 475 and 790 <= bottom <= 820


def test_specks_and_a_scanners_edge_do_not_count_and_a_blank_page_stays_whole() -> None:
    dirty = page()
    draw = ImageDraw.Draw(dirty)
    draw.rectangle((0, 0, 5, 900), fill=(20, 20, 20))  # a shadow along the left edge
    for x, y in ((60, 100), (500, 150), (520, 860)):
        draw.rectangle((x, y, x + 2, y + 2), fill=(0, 0, 0))
    assert printed_area(dirty) == printed_area(page())
    assert printed_area(Image.new("RGB", (300, 200), (240, 240, 240))) is None
    assert printed_area(Image.new("RGB", (1, 1))) is None
    noisy = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 300, 3), dtype=np.uint8).astype(np.uint8))
    assert printed_area(noisy) is None  # something everywhere


def test_white_on_black_is_print_too() -> None:
    negative = Image.eval(page(), lambda level: 255 - level)
    assert printed_area(negative) == printed_area(page())


def test_boxes_and_pixels_are_those_of_the_area() -> None:
    image = page()
    area = printed_area(image)
    assert area is not None
    layout = image_layout(image, SPEC)
    assert layout.size == (900, 600) and layout.area == area
    boxes = layout.level_boxes("high")
    assert boxes[0][:2] == area[:2] and boxes[-1][2:] == area[2:]
    inner = image.crop(area)
    alone = make_layout((inner.height, inner.width), SPEC.with_changes(trim=False))
    assert [level.grid for level in layout.levels] == [level.grid for level in alone.levels] == [(1, 1), (2, 1), (4, 2)]
    assert np.array_equal(cut(image, layout), cut(inner, alone))
    for own, other in zip(layout.boxes, alone.boxes, strict=True):
        assert own == pytest.approx((other[0] + area[0], other[1] + area[1], other[2] + area[0], other[3] + area[1]))
    assert image_layout(image, SPEC.with_changes(trim=False)).area is None


def test_the_image_processor_trims_where_its_encoder_says_so() -> None:
    image = page()
    trims = DragonflyImageProcessor(encoder=SPEC.to_dict())
    plain = DragonflyImageProcessor(encoder=SPEC.with_changes(trim=False).to_dict())
    inner = image.crop(printed_area(image))
    trimmed: Any = trims([image], return_tensors="np")
    assert np.array_equal(trimmed["pixel_values"], plain([inner], return_tensors="np")["pixel_values"])
    assert trimmed["layouts"][0].num_image_tokens == trims.get_number_of_image_tokens(900, 600)  # counted from the size alone


def test_an_area_must_lie_in_the_image() -> None:
    for area in ((10, 10, 10, 20), (0, 0, 61, 20), (-1, 0, 5, 5)):
        with pytest.raises(ValueError, match="is empty or not inside an image of height 30, width 60"):
            make_layout((30, 60), SPEC, area)


def test_grids_of_unequal_numbers_are_refused() -> None:
    grids = {"mid": {"grids": [[2, 1], [2, 2]]}, "high": {"grids": [[4, 2], [4, 4]]}, "partners": None}
    with pytest.raises(ValueError, match="trim needs grids that all give as many tokens"):
        SPEC.with_changes(**grids)
    with pytest.raises(ValueError, match="no max_enlargement"):
        SPEC.with_changes(max_enlargement=2.0)
