"""Slides as levels: low, mid and high are read from the pyramid and are what cutting the whole image gives."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragonfly.imaging import ImagePolicy, load_image
from dragonfly.models import DragonflyImageProcessor
from dragonfly.vision.layout import make_layout
from dragonfly.vision.spec import EncoderSpec
from dragonfly.vision.tiling import canvases, cut
from dragonfly.vision.trimming import image_layout
from dragonfly.visualization.levels import draw_levels
from dragonfly.visualization.zoom import draw_zoom
from tests.imaging.slides import write_slide

SMALL = ImagePolicy(max_pixels=10_000)
SIZE = (640, 960)
TREE: dict[str, Any] = {
    "resolution": 32,
    "patch_size": 8,
    "mid": {"grids": [[2, 2], [1, 4], [4, 1]]},
    "high": {"grids": [[4, 4], [2, 8], [8, 2]]},
    "partners": [[[2, 2], [[4, 4]]], [[1, 4], [[2, 8]]], [[4, 1], [[8, 2]]]],
}
SPEC = EncoderSpec.from_dict(TREE)


def spec(**changes: Any) -> EncoderSpec:
    return EncoderSpec.from_dict({**TREE, **changes})


def selecting(**options: Any) -> EncoderSpec:
    return spec(selection={"keep": 2, **options})


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Half of it white, half of it of much detail."""
    noise = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    image = np.array(Image.fromarray(noise).resize((SIZE[1], SIZE[0]), Image.Resampling.BICUBIC))
    image[:, : SIZE[1] // 2] = 255
    return image


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, pixels: np.ndarray) -> Path:
    finest = Image.fromarray(pixels)
    levels = [pixels, np.asarray(finest.reduce(2)), np.asarray(finest.reduce(8))]
    return write_slide(tmp_path_factory.mktemp("slides") / "slide.tiff", levels)


@pytest.fixture(autouse=True)
def small_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragonfly.imaging.slide.THUMBNAIL", 50_000)


@pytest.fixture
def copy(path: Path) -> Image.Image:
    """The reduced copy of a slide that no image may be as large as."""
    return load_image(path, SMALL).image


@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_every_sub_image_is_what_cutting_the_whole_image_gives(copy: Image.Image, pixels: np.ndarray, fit: str) -> None:
    encoder = EncoderSpec.from_dict(
        {**TREE, "fit": fit, "partners": None, "high": {"grids": [[4, 4]]}, "mid": {"grids": [[2, 2]]}}
    )
    layout = image_layout(copy, encoder)
    assert layout == make_layout(SIZE, encoder)
    whole, read = (cut(image, layout, fill=(1, 2, 3)).astype(int) for image in (Image.fromarray(pixels), copy))
    assert whole.shape == read.shape
    error = np.abs(whole - read)
    # The pyramid's levels are averages, so detail of one pixel differs a little; a box that is off would differ by far more.
    assert error.mean() < 4
    shifted = np.abs(whole - np.roll(read, 1, axis=2))
    assert error.mean() < shifted.mean() / 2


def test_a_mark_lies_in_the_box_that_the_layout_says(tmp_path: Path) -> None:
    """Squares at known pixels of the slide are seen at the pixels of each sub-image that its box maps them to."""
    marks = [(40, 60), (500, 333), (801, 599)]
    image = np.full((*SIZE, 3), 240, np.uint8)
    for left, top in marks:
        image[top : top + 30, left : left + 30] = 0
    levels = [image, np.asarray(Image.fromarray(image).reduce(2)), np.asarray(Image.fromarray(image).reduce(8))]
    copy = load_image(write_slide(tmp_path / "slide.tiff", levels), SMALL).image
    layout = image_layout(copy, SPEC)
    seen = 0
    for box, shown in zip(layout.boxes, cut(copy, layout), strict=True):
        across, down = (box[2] - box[0]) / 32, (box[3] - box[1]) / 32
        for left, top in marks:
            if not (box[0] <= left and left + 30 <= box[2] and box[1] <= top and top + 30 <= box[3]):
                continue
            ys, xs = np.nonzero(shown[..., 0] < 120)
            near = [(x, y) for x, y in zip(xs, ys, strict=True) if abs(box[0] + (x + 0.5) * across - left - 15) < 15 + across]
            assert near, (box, left)
            assert abs(box[0] + min(x for x, _ in near) * across - left) <= across
            assert abs(box[1] + (max(y for _, y in near) + 1) * down - top - 30) <= down
            seen += 1
    assert seen >= 6  # in low, and in some mid and high


def test_the_processor_reads_the_pyramid_and_says_so_in_the_layout(copy: Image.Image) -> None:
    batch = DragonflyImageProcessor(encoder=SPEC.to_dict())([copy], return_tensors="np")
    assert batch["layouts"][0].size == SIZE != (copy.height, copy.width)
    thumbnail = DragonflyImageProcessor(encoder=spec(slides="thumbnail").to_dict())([copy], return_tensors="np")
    assert thumbnail["layouts"][0].size == (copy.height, copy.width)
    assert batch["pixel_values"].shape == thumbnail["pixel_values"].shape


def test_a_path_goes_the_same_way(path: Path, copy: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    processor = DragonflyImageProcessor(encoder=SPEC.to_dict())
    monkeypatch.setattr(type(processor), "image_policy", SMALL)
    given = processor([str(path)], return_tensors="np")
    assert given["layouts"][0].size == SIZE
    assert np.array_equal(given["pixel_values"], processor([copy], return_tensors="np")["pixel_values"])


def test_no_read_is_larger_than_a_sub_image(copy: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    slide: Any = copy.pyramid  # type: ignore[attr-defined]
    sizes: list[tuple[int, int]] = []
    read = type(slide).read

    def noted(self: Any, box: Any, size: tuple[int, int], *rest: Any) -> Image.Image:
        sizes.append(size)
        return read(self, box, size, *rest)

    monkeypatch.setattr(type(slide), "read", noted)
    canvases(copy, image_layout(copy, SPEC), resample=Image.Resampling.BICUBIC, fill=(0, 0, 0))
    assert sizes == [(32, 32)] * (1 + 4 + 16)


def test_empty_sub_images_are_not_kept_where_others_are(copy: Image.Image) -> None:
    """The left half is white: of each region's sub-images the choice falls on others, of a white region on its first."""
    for seed in range(8):
        kept = _kept(copy, policy="random", scope="image", keep=8, seed=seed, empty=2.0)
        assert kept == [index for index in range(16) if index % 4 >= 2]
    plain = [_kept(copy, policy="random", scope="image", keep=8, seed=seed) for seed in range(8)]
    assert any(index % 4 < 2 for kept in plain for index in kept)
    assert len(_kept(copy, policy="random", scope="image", keep=12, empty=2.0)) == 12  # as many as the layout promises
    assert len(_kept(copy, policy="uniform", scope="region", keep=2, empty=2.0)) == 8


def _kept(image: Image.Image, **selection: Any) -> list[int]:
    processor = DragonflyImageProcessor(encoder=selecting(**selection).to_dict())
    return processor([image], return_tensors="np")["selected_high"][0].tolist()


def test_random_is_seeded_by_what_is_read(path: Path, copy: Image.Image, pixels: np.ndarray, tmp_path: Path) -> None:
    changed = pixels.copy()
    changed[300:340, 500:900] = 0
    other = write_slide(tmp_path / "other.tiff", [changed, changed[::2, ::2], changed[::8, ::8]])
    kept = [
        [_kept(image, policy="random", keep=1, seed=seed) for seed in range(6)]
        for image in (copy, load_image(path, SMALL).image, load_image(other, SMALL).image)
    ]
    assert kept[0] == kept[1] != kept[2]


@pytest.mark.parametrize(
    ("options", "words"), [({"policy": "similarity"}, "similarity"), ({"policy": "random", "empty": 200.0}, "200")]
)
def test_empty_needs_a_policy_that_runs_before_the_tower(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=r"selection\.empty must be 0 to 127 grey levels") as caught:
        selecting(**{"empty": 2.0, **options})
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_the_printed_area_of_a_slide_is_in_slide_pixels(tmp_path: Path) -> None:
    image = np.full((*SIZE, 3), 240, np.uint8)
    image[200:500, 300:700] = np.random.default_rng(0).integers(0, 120, (300, 400, 1))
    levels = [image, np.asarray(Image.fromarray(image).reduce(2))]
    trimming = EncoderSpec.from_dict({**TREE, "trim": True})
    loaded = load_image(write_slide(tmp_path / "slide.tiff", levels), SMALL)
    area = image_layout(loaded.image, trimming).area
    assert area is not None and np.abs(np.array(area) - (300, 200, 700, 500)).max() < 40
    read, whole = (cut(one, image_layout(loaded.image, trimming)).astype(int) for one in (loaded.image, Image.fromarray(image)))
    assert np.abs(read - whole).mean() < 4


def test_drawings_show_the_reduced_copy_with_boxes_of_the_slide(copy: Image.Image) -> None:
    layout = image_layout(copy, SPEC)
    small = copy.resize((96, 64))
    assert draw_zoom(copy, layout).size == draw_zoom(Image.new("RGB", (SIZE[1], SIZE[0])), layout).size
    assert draw_levels(copy, layout).width == 1500
    for draw in (draw_zoom, draw_levels):
        with pytest.raises(ValueError, match="expected an"):
            draw(small, layout)  # a copy that has lost its slide


def test_the_layout_says_which_of_the_two_it_is_made_for(copy: Image.Image) -> None:
    for size, name in itertools.product([SIZE, (copy.height, copy.width)], ["low", "mid", "high"]):
        layout = make_layout(size, SPEC)
        boxes = layout.level_boxes(name)  # type: ignore[arg-type]
        assert boxes[-1][2:] == (size[1], size[0])
        assert len(cut(copy, layout)) == layout.num_sub_images


def test_of_a_slide_only_what_is_kept_is_read_at_full_resolution(copy: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """The grid follows the slide's pixels, not its copy's; what is read is what the whole level would have shown there."""
    follows = selecting(policy="residual", scope="image").with_changes(grid_rule="resolution")
    processor = DragonflyImageProcessor(encoder=follows.to_dict())
    whole = processor([copy], return_tensors="np")
    assert whole["layouts"][0].levels[2].grid == (20, 30)
    monkeypatch.setattr("dragonfly.vision.coarse.LOOKED_AT", 20 * 30 * 16 * 16)  # half of the pixels per side
    slide: Any = copy.pyramid  # type: ignore[attr-defined]
    read, boxes = type(slide).read, list[Any]()

    def noted(self: Any, box: Any, size: tuple[int, int], *rest: Any) -> Image.Image:
        boxes.append(box)
        return read(self, box, size, *rest)

    monkeypatch.setattr(type(slide), "read", noted)
    coarse = processor([copy], return_tensors="np")
    layout, kept = coarse["layouts"][0], coarse["selected_high"][0]
    assert boxes[-2:] == [layout.level_boxes("high")[index] for index in kept]
    assert len(boxes) == 1 + 4 + 10 * 15 + 2  # low, mid, half as many reads each way of the same size, and what is kept
    assert all(layout.level_boxes("high")[index][0] >= SIZE[1] / 2 for index in kept)  # the left half is white
    monkeypatch.setattr(
        "dragonfly.models.image_processing_dragonfly._select_early", lambda *_: tuple(whole["selected_high"][0].tolist())
    )
    assert np.array_equal(processor([copy], return_tensors="np")["pixel_values"], whole["pixel_values"])
