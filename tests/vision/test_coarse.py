"""Of a large image the choice is made on a reduced copy, and what is kept is what its whole canvas would have shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dragonfly.models import DragonflyImageProcessor
from dragonfly.vision.coarse import LOOKED_AT, close_ups, coarse_layout
from dragonfly.vision.layout import make_layout
from dragonfly.vision.presets import PRESETS
from dragonfly.vision.spec import EncoderSpec
from dragonfly.vision.tiling import canvases, crops
from tests.vision.cases import SIZES

ANY = PRESETS["v1-any"].spec
SMALL = ANY.with_changes(resolution=16, patch_size=4)
FILTERS = (Image.Resampling.BICUBIC, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS)


def smooth(height: int, width: int, seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 4 + 2, width // 4 + 2, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


@given(size=SIZES)
@settings(max_examples=40, deadline=None)
def test_what_is_looked_at_is_bounded_and_cut_alike(size: tuple[int, int]) -> None:
    layout = make_layout(size, ANY)
    coarse, high = coarse_layout(layout, ANY), layout.level("high")
    assert high is not None
    whole = high.content[0] * high.content[1]
    assert (coarse is None) == (whole <= LOOKED_AT)
    if coarse is None:
        return
    seen = coarse.level("high")
    assert seen is not None and seen.content == tuple(cells * coarse.resolution for cells in seen.grid)
    assert LOOKED_AT / 2 < seen.content[0] * seen.content[1] <= LOOKED_AT
    assert coarse.levels[:2] == layout.levels[:2]
    assert (coarse.boxes, coarse.regions, coarse.num_kept_high) == (layout.boxes, layout.regions, layout.num_kept_high)


def test_no_other_encoder_is_looked_at_coarsely() -> None:
    for name, preset in PRESETS.items():
        if name != "v1-any":
            assert coarse_layout(make_layout((20_000, 20_000), preset.spec), preset.spec) is None
    late = ANY.with_selection(policy="detail")
    assert coarse_layout(make_layout((8192, 8192), late), late) is None  # the model needs every pixel of the high level
    assert coarse_layout(make_layout((1, 1), ANY), ANY) is None
    assert coarse_layout(make_layout((8192, 8192), ANY), ANY) is not None


@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    resample=st.sampled_from(FILTERS),
    trimmed=st.booleans(),
    spec=st.sampled_from([SMALL, SMALL.with_changes(resolution=4, patch_size=4)]),  # the second reduces: 64 x 4 < 400
)
@settings(max_examples=30, deadline=None)
def test_a_close_up_is_cut_as_from_the_whole_canvas(
    height: int, width: int, resample: Image.Resampling, trimmed: bool, spec: EncoderSpec
) -> None:
    image = smooth(height, width)
    area = (width // 3, height // 4, width - width // 6, height - height // 5) if trimmed else None
    layout = make_layout((height, width), spec, area)
    whole = list(crops(canvases(image, layout, resample=resample, fill=(0, 0, 0)), layout))[5:]
    close = list(close_ups(image, layout, range(len(whole)), resample))
    assert len(close) == len(whole) == layout.count("high")
    # Pillow rounds its filters, of which a part may end at another multiple; a box that is off by a pixel differs by far more.
    assert max(np.abs(one.astype(int) - other).max() for one, other in zip(close, whole, strict=True)) <= 2


def test_close_ups_come_in_the_order_asked() -> None:
    image, layout = smooth(300, 200), make_layout((300, 200), SMALL)
    first, second = close_ups(image, layout, [7, 3], Image.Resampling.BICUBIC)
    again = list(close_ups(image, layout, [3, 7], Image.Resampling.BICUBIC))
    assert np.array_equal(first, again[1]) and np.array_equal(second, again[0]) and not np.array_equal(first, second)


def processed(image: Image.Image, **changes: Any) -> Any:
    return DragonflyImageProcessor(encoder=SMALL.changed(changes).to_dict())([image], return_tensors="pt")


@pytest.mark.parametrize("resizer", ["pillow", "torch"])
@pytest.mark.parametrize("policy", ["residual", "uniform", "random"])
def test_coarse_to_fine_gives_what_the_whole_canvas_gives(policy: str, resizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = smooth(500, 700, seed=3)
    image.paste((200, 210, 220), (0, 0, 700, 300))  # nothing to see in the upper part
    changes = {"resizer": resizer, "selection": {"policy": policy}}
    whole = processed(image, **changes)
    monkeypatch.setattr("dragonfly.vision.coarse.LOOKED_AT", 300_000)  # of 359,424
    coarse = processed(image, **changes)
    layout = coarse["layouts"][0]
    assert layout == whole["layouts"][0] == make_layout((500, 700), SMALL) and layout.count("high") > 300
    if policy == "residual":  # what is scored differs a little; the upper part of the image is kept by neither
        rows = coarse["selected_high"][0] // layout.levels[2].grid[1]
        assert (rows > 0.5 * layout.levels[2].grid[0]).all()
        monkeypatch.setattr(
            "dragonfly.models.image_processing_dragonfly._select_early", lambda *_: tuple(whole["selected_high"][0].tolist())
        )
        coarse = processed(image, **changes)
    assert torch.equal(coarse["selected_high"], whole["selected_high"])
    assert torch.equal(coarse["sub_image_regions"], whole["sub_image_regions"])
    assert torch.equal(coarse["pixel_values"][:, :5], whole["pixel_values"][:, :5])
    assert (coarse["pixel_values"] - whole["pixel_values"]).abs().max() < 4 / 255 / 0.26  # normalised levels


def test_fine_print_is_found_in_a_large_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragonfly.vision.coarse.LOOKED_AT", 20_000)  # a third of the canvas
    pixels = np.full((256, 256, 3), 90, dtype=np.uint8)
    pixels[20:28:3, 132:140] = 250  # in row 1 and column 8 of 16 x 16
    pixels[244:250, 5:11:3] = 200  # in row 15 and column 0
    found = processed(Image.fromarray(pixels), selection={"keep": 2})
    assert found["selected_high"].tolist() == [[24, 240]]
    assert found["pixel_values"].shape[:2] == (1, 7)
    at = found["pixel_values"][0, 5]
    assert at[0].max() > 1.8 and (at[0, :, 12:] < 0).all()  # the lines end at column 140


def test_memory_beside_the_image_does_not_grow_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragonfly.vision.coarse.LOOKED_AT", 30_000)
    made: list[int] = []
    resize = Image.Image.resize

    def noted(self: Image.Image, size: tuple[int, int], *rest: Any, **named: Any) -> Image.Image:
        made.append(size[0] * size[1])
        return resize(self, size, *rest, **named)

    monkeypatch.setattr(Image.Image, "resize", noted)
    largest: list[int] = []
    for side in (300, 600, 1000):  # 19 x 19 sub-images to 63 x 63 of 16 pixels
        made.clear()
        processed(Image.new("RGB", (side, side)))
        largest.append(max(area for area in made) // side)  # a pass that narrows the image is as high as the image still
    assert largest[0] >= largest[1] >= largest[2] and largest[0] <= 180
