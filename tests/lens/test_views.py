"""Boxes are exact: what a model is handed is what the answer's boxes say, in source pixels."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragonfly.imaging import load_image
from dragonfly.lens import Lens
from dragonfly.lens.families import FAMILIES
from dragonfly.lens.grid import Grid, View
from dragonfly.models import DragonflyImageProcessor
from dragonfly.vision.resizing import resize
from tests.lens.conftest import pair_of
from tests.lens.seen import noise, spy

SIZES = [(1223, 917), (4001, 137), (90, 3001)]


@pytest.mark.parametrize("size", SIZES)
def test_a_close_up_is_the_crop_of_its_box(pair: tuple[Any, Any], budget: int, size: tuple[int, int]) -> None:
    image = noise(*size)
    for method in ("residual", "oracle"):
        lens = Lens(pair, method)
        calls = spy(lens)
        answer = lens.ask(image, "Where?", max_tokens=budget, evidence=[(50, 60, 80, 90)], max_new_tokens=1)
        assert len(answer.views) > 1
        for view, shown in zip(answer.views, calls[-1].images, strict=True):
            crop = image.crop(view.box)
            assert (shown.height, shown.width) == view.size
            if view.size == (crop.height, crop.width):
                assert shown.tobytes() == crop.tobytes()
            else:
                away = np.abs(np.asarray(shown, dtype=float) - np.asarray(resize(crop, view.size, Image.Resampling.BICUBIC)))
                assert away.mean() < 8  # a large one is averaged first; of another place it would be far above
        assert answer.views[0].box == (0, 0, *size)
        if max(size) < 8 * min(size):  # a longer image's close-ups may be squeezed
            assert all(lens.reader.detail(view) == 1 for view in answer.views[1:] if method == "residual")


def test_the_layout_and_the_selection_say_what_the_views_show(pair: tuple[Any, Any], budget: int) -> None:
    lens = Lens(pair, "detail")
    answer = lens.ask(noise(1223, 917), "Where?", max_tokens=budget, max_new_tokens=1)
    layout, selection = answer.layouts[0], answer.selections[0]
    assert layout.size == (917, 1223)
    assert layout.num_kept_high == sum(item.kept for item in selection)
    shown = np.zeros(layout.size, dtype=bool)
    for left, top, right, bottom in (view.box for view in answer.views[1:]):
        shown[top:bottom, left:right] = True
    said = np.zeros(layout.size, dtype=bool)
    for item in selection:
        if item.kept:
            left, top, right, bottom = (int(edge) for edge in item.box)
            assert item.box == (left, top, right, bottom)  # whole pixels
            said[top:bottom, left:right] = True
    assert (shown == said).all()
    assert answer.to_dict()["views"][0] == {"box": [0, 0, 1223, 917], "size": list(answer.views[0].size)}


def test_a_message_has_one_order() -> None:
    lens = Lens(pair_of("internvl"), "random")
    calls = spy(lens)
    answer = lens.ask(noise(800, 600), "Where?", max_tokens=24, max_new_tokens=1)
    assert calls[0].labels == ["Whole image:", "Close-up 1:", "Close-up 2:", "Close-up 3:"]
    places = [(view.box[1], view.box[0]) for view in answer.views[1:]]
    assert places == sorted(places)
    text = lens.reader._text(calls[0].labels, "Where?")
    order = [text.index(words) for words in (*calls[0].labels, "Where?")]
    assert order == sorted(order)
    assert text.count("<IMG_CONTEXT>") == 4


def test_a_grid_follows_the_image_and_covers_it() -> None:
    for size in [(1, 1), (1, 5000), (4320, 7680), (333, 777), (100_000, 80_000), (16_384, 3)]:
        for side in (1, 28, 56, 448, 1000):
            grid = Grid.of(size, side)
            rows, columns = grid.cells
            assert rows * columns <= 2 * 4096 + 2
            assert (rows - 1) * grid.cell[0] < size[0] <= rows * grid.cell[0]
            assert (columns - 1) * grid.cell[1] < size[1] <= columns * grid.cell[1]
            assert grid.area(grid.whole) == (0, 0, size[1], size[0])


def test_a_window_is_a_close_up_at_full_resolution() -> None:
    """Anything no larger than a cell lies whole in a window, wherever it is."""
    grid = Grid.of((4320, 7680), 448)
    assert grid.cell[0] * grid.window[0] <= 448
    assert grid.cell[1] * grid.window[1] <= 448
    rng = np.random.default_rng(0)
    for _ in range(200):
        left, top = int(rng.integers(0, 7680 - grid.cell[1])), int(rng.integers(0, 4320 - grid.cell[0]))
        block = grid.covering((left, top, left + grid.cell[1], top + grid.cell[0]))
        area = grid.area(block)
        assert area[0] <= left <= left + grid.cell[1] <= area[2]
        assert area[1] <= top <= top + grid.cell[0] <= area[3]
        assert (block.bottom - block.top, block.right - block.left) == grid.window


def test_windows_are_the_best_and_do_not_overlap() -> None:
    grid = Grid.of((1000, 1400), 200)
    scores = np.zeros(grid.cells)
    scores[3, 5], scores[3, 6], scores[9, 13] = 5, 4, 3
    first, second = grid.top_windows(scores, 2)
    assert {(3, 5), (3, 6)} <= {
        (row, column) for row in range(first.top, first.bottom) for column in range(first.left, first.right)
    }
    assert (second.bottom, second.right) == (10, 14)
    assert len(grid.top_windows(np.zeros(grid.cells), 1000)) == 35  # no more fit


def test_a_slide_is_read_from_its_pyramid() -> None:
    """The whole and each close-up by a read of their own, at the size that is shown."""

    class Levels:
        width, height = 40_000, 30_000

        def __init__(self) -> None:
            self.reads: list[tuple[Any, Any]] = []

        def read(self, box: Any, size: Any, resample: Any = None) -> Image.Image:
            self.reads.append((box, size))
            return Image.new("RGB", (size[1], size[0]), (int(box[0]) % 251, int(box[1]) % 251, 7))

    levels, copy = Levels(), Image.new("RGB", (400, 300))
    copy.pyramid = levels  # type: ignore[attr-defined]
    view = View((5000, 7000, 5448, 7448), (448, 448))
    shown = view.cut(copy, (30_000, 40_000))
    assert shown.size == (448, 448)
    assert levels.reads == [((5000.0, 7000.0, 5448.0, 7448.0), (448, 448))]
    grid = Grid.of((30_000, 40_000), 448)
    levels.reads.clear()
    scores = grid.pixel_scores(copy, (300, 400), "residual")
    assert scores.shape == grid.cells
    assert sum(height * width for _, (height, width) in levels.reads) < 2**23


def test_oracle_holds_all_of_more_boxes_than_close_ups() -> None:
    boxes = [(10.0, 10.0, 30.0, 30.0), (700.0, 20.0, 710.0, 40.0), (300.0, 500.0, 320.0, 520.0)]
    lens = Lens(pair_of("internvl"), "oracle")
    answer = lens.ask(noise(800, 600), "Where?", max_tokens=18, evidence=boxes, max_new_tokens=1)
    assert [view.box for view in answer.views[1:]] == [(0, 0, 728, 532)]
    assert "close-ups are shown at 8 % of the image's resolution and more" in answer.notes
    assert answer.detail == pytest.approx(0.08, abs=0.005) and answer.to_dict()["detail"] == round(answer.detail, 4)


def test_an_image_that_is_shown_whole_needs_no_close_up() -> None:
    lens = Lens(pair_of("qwen2_5_vl"), "attention")
    answer = lens.ask(noise(300, 200), "Where?", max_tokens=1024, max_new_tokens=1)
    assert (answer.calls, len(answer.views), answer.selections) == (1, 1, ((),))
    assert answer.layouts[0].count("high") == 0


def test_random_is_of_the_seed_and_the_image() -> None:
    pair = pair_of("internvl")

    def boxes(seed: int, image: Image.Image) -> list[Any]:
        answer = Lens(pair, "random", seed).ask(image, "Where?", max_tokens=24, max_new_tokens=1)
        return [view.box for view in answer.views]

    first, second = noise(800, 600), noise(800, 600, seed=1)
    assert boxes(0, first) == boxes(0, first)
    assert len({str(boxes(seed, image)) for seed in (0, 1) for image in (first, second)}) == 4


def test_a_turned_photograph_is_read_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    noise(800, 600).save(buffer, "PNG", exif=exif)
    lens = Lens(pair_of("internvl"), "centre")
    answer = lens.ask(buffer.getvalue(), "Where?", max_tokens=24, max_new_tokens=1)
    assert answer.layouts[0].size == load_image(buffer.getvalue()).size == (800, 600)


@pytest.mark.parametrize(("preset", "side"), [("v1", 4 * 224), ("v1-any", 4 * 224), ("v2", 6 * 336), ("low-only", 224)])
def test_a_close_up_for_a_dragonfly_is_no_larger_than_its_finest_level(preset: str, side: int) -> None:
    """More would be called full resolution and be reduced; a grid that grows with the image would take all of it for one view."""
    of_family = FAMILIES["dragonfly"].side
    assert of_family is not None and of_family(DragonflyImageProcessor(preset=preset)) == side
