"""The zoom image: the layout's boxes, bright and dimmed as the caption says, nothing covered, from 1 to 41 sub-images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from dragonfly.vision import EncoderSpec, LevelSpec, SelectionSpec, SubImageLayout, make_layout
from dragonfly.vision.presets import PRESETS
from dragonfly.visualization import zoom
from dragonfly.visualization.page import MAX_WIDTH, MIN_WIDTH, Measures, Page
from dragonfly.visualization.pen import ACCENT, PADDING, PAPER, Pen, Type, font_of, wrap
from dragonfly.visualization.zoom import DIM, caption, draw_zoom, on_image

V1 = PRESETS["v1"].spec
WORDS: dict[str, Any] = {"question": "Where?", "answer": "Here", "sure": "fairly sure, 78 %"}


def keeps(count: int) -> EncoderSpec:
    return V1.with_selection(policy="detail", scope="image", keep=count)


def flat(width: int, height: int, value: int = 200) -> Image.Image:
    return Image.new("RGB", (width, height), (value, value, value))


def first_of_each_region(layout: SubImageLayout) -> list[int]:
    """As many high sub-images as the layout keeps, the first of each region."""
    each = layout.num_kept_high // max(1, len(set(layout.regions)))
    return [i for i, region in enumerate(layout.regions) if layout.regions[:i].count(region) < each]


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[Page]:
    """The geometry of every drawing that is made."""
    found: list[Page] = []
    arrange = zoom.arrange

    def record(*args: Any, **kwargs: Any) -> Page:
        found.append(arrange(*args, **kwargs))
        return found[-1]

    monkeypatch.setattr(zoom, "arrange", record)
    return found


def source(drawn: Image.Image, page: Page) -> np.ndarray:
    return np.asarray(drawn.crop(page.image), dtype=float)


def inside(pixels: np.ndarray, layout: SubImageLayout, index: int, margin: int = 4) -> np.ndarray:
    """The drawn pixels of a high sub-image without its frame."""
    rect = on_image(layout.level_boxes("high")[index], layout.size, (pixels.shape[1], pixels.shape[0]))
    assert rect is not None
    left, top, right, bottom = rect
    return pixels[top + margin : bottom - margin, left + margin : right - margin]


@pytest.mark.parametrize("value", [255, 128, 40])
def test_kept_pixels_are_the_sources_and_the_others_dimmed_by_a_third_at_most(pages: list[Page], value: int) -> None:
    layout = make_layout((480, 600), V1)
    kept = first_of_each_region(layout)
    pixels = source(draw_zoom(flat(600, 480, value), layout, kept, **WORDS), pages[0])
    for index in range(24):
        seen = inside(pixels, layout, index)
        if index in kept:
            assert (seen == value).all()  # no label, no badge, no tint
        else:
            assert np.median(seen) == int(value * DIM) >= 0.65 * value - 1


def test_frames_are_the_layouts_boxes(pages: list[Page]) -> None:
    layout = make_layout((480, 600), keeps(1))
    drawn = draw_zoom(flat(600, 480), layout, [8], **WORDS)
    size = (pages[0].image[2] - pages[0].image[0], pages[0].image[3] - pages[0].image[1])
    rect = on_image(layout.level_boxes("high")[8], layout.size, size)
    assert rect is not None
    blue = (source(drawn, pages[0]) == ACCENT).all(axis=2)
    rows, cols = np.nonzero(blue)
    out = Measures(1280).stroke // 2
    assert (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1) == (
        rect[0] - out,
        rect[1] - out,
        rect[2] + out,
        rect[3] + out,
    )


def test_numbers_stand_beside_the_image_and_lead_to_the_enlarged_ones(pages: list[Page], monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, int, int]] = []
    write = Pen.say

    def record(self: Pen, lines: list[str], at: tuple[int, int], *rest: Any) -> None:
        said.extend((line, *at) for line in lines)
        write(self, lines, at, *rest)

    monkeypatch.setattr(Pen, "say", record)
    layout = make_layout((480, 600), keeps(4))
    assert layout.level("high").grid == (4, 6)  # pyright: ignore[reportOptionalMemberAccess]
    draw_zoom(flat(600, 480), layout, [1, 6, 8, 23], **WORDS)
    left, top, right, bottom = pages[0].image
    beside = [(text, y) for text, x, y in said if x < left and text[0].isdigit()]
    assert [text for text, _ in beside] == ["1", "2, 3", "4"]
    for (_, y), row in zip(beside, (0, 1, 3), strict=True):
        assert top + row * (bottom - top) / 4 < y < top + (row + 1) * (bottom - top) / 4
    numbered = [text for text, x, y in said for rect in pages[0].close if x == rect[0] and rect[1] - 40 < y < rect[1]]
    assert numbered == ["1", "2", "3", "4"]
    assert not [text for text, x, y in said if left <= x < right and top <= y < bottom]  # nothing is written on the image
    texts = [text for text, _, _ in said]
    assert "Where?" in texts and "Here" in texts and "fairly sure, 78 %" in texts
    assert "Bright: read at full resolution (4 of 24). Dimmed: seen at lower resolution." in texts


@pytest.mark.parametrize("size", [(640, 480), (1200, 300), (300, 900)])
@pytest.mark.parametrize("preset", ["one", "v1", "v2"])
def test_from_1_to_41_sub_images_are_enlarged_and_nothing_overlaps(pages: list[Page], preset: str, size: tuple[int, int]) -> None:
    spec = keeps(1) if preset == "one" else PRESETS[preset].spec
    layout = make_layout((size[1], size[0]), spec)
    drawn = draw_zoom(flat(*size), layout, first_of_each_region(layout) if preset != "one" else [5], **WORDS)
    page = pages[0]
    assert len(page.close) == layout.num_kept_high and len(page.coarse) == 5
    rects = [page.image, *page.close, *page.coarse]
    for number, one in enumerate(rects):
        assert 0 <= one[0] < one[2] <= drawn.width and 0 <= one[1] < one[3] <= drawn.height
        assert all(one[2] <= two[0] or two[2] <= one[0] or one[3] <= two[1] or two[3] <= one[1] for two in rects[:number])
    in_image = (page.image[2] - page.image[0]) / layout.levels[-1].grid[1]
    assert page.close[0][2] - page.close[0][0] > in_image


def test_the_enlarged_ones_are_what_the_tower_is_given(pages: list[Page]) -> None:
    """A tower of 32 pixels: the fine stripes of a kept sub-image are gone in its enlargement too."""
    stripes = np.zeros((480, 600, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    layout = make_layout((480, 600), keeps(1).with_changes(resolution=32))
    drawn = np.asarray(draw_zoom(Image.fromarray(stripes), layout, [8], **WORDS), dtype=float)
    left, top, right, bottom = pages[0].close[0]
    assert drawn[top + 8 : bottom - 8, left + 8 : right - 8].std() < 30 < stripes.std()


def test_equal_input_gives_equal_bytes_and_leaves_the_source_alone() -> None:
    image = Image.radial_gradient("L").convert("RGB")
    before = image.tobytes()
    layout = make_layout((256, 256), V1)
    kept, scores = first_of_each_region(layout), [float(i) for i in range(24)]
    first = draw_zoom(image, layout, kept, scores, **WORDS)
    assert first.tobytes() == draw_zoom(image, layout, list(reversed(kept)), scores, **WORDS).tobytes()
    assert image.tobytes() == before and image.mode == "RGB"


def test_scores_and_words_are_drawn_where_they_are_given() -> None:
    image, layout = flat(300, 300), make_layout((300, 300), V1)
    kept = first_of_each_region(layout)
    plain = draw_zoom(image, layout, kept)
    assert plain.tobytes() == draw_zoom(image, layout, kept, [1.0] * 24).tobytes()  # equal scores say nothing
    assert plain.tobytes() != draw_zoom(image, layout, kept, [float(-i) for i in range(24)]).tobytes()
    assert plain.tobytes() == draw_zoom(image, layout, kept, question=" ").tobytes()
    assert plain.tobytes() != draw_zoom(image, layout, kept, question="Where?").tobytes()


def test_contributions_are_bars_and_negative_ones_are_hatched(pages: list[Page]) -> None:
    layout = make_layout((300, 300), keeps(3))
    given = {("high", 2): 2.0, ("high", 9): -1.0, ("low", 0): 1.0}
    drawn = np.asarray(draw_zoom(flat(300, 300), layout, [2, 9, 20], contributions=given, **WORDS))  # pyright: ignore[reportArgumentType]
    blue = (drawn == ACCENT).all(axis=2)
    measures = Measures(1280)

    def bar(rect: tuple[int, int, int, int]) -> np.ndarray:
        top = rect[3] + measures.gap // 2
        return blue[top : top + measures.px(12, 4), rect[0] : rect[2]]

    whole, against, nothing = (bar(rect) for rect in pages[0].close)
    assert whole.all()  # the greatest fills the width
    assert against.any(axis=0).sum() == pytest.approx(against.shape[1] / 2, abs=1) and 0.1 < against.mean() < 0.4  # hatched
    assert not nothing.any()
    top = pages[0].coarse[0][3] + measures.gap // 2
    low = drawn[top : top + measures.px(12, 4), pages[0].coarse[0][0] : pages[0].coarse[0][2]]
    assert (low != PAPER).any(axis=2).any(axis=0).sum() == pytest.approx(low.shape[1] / 2, abs=1)
    assert "hatched" in caption(layout, bars=True) and "hatched" not in caption(layout)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_drawn(preset: str) -> None:
    layout = make_layout((90, 120), PRESETS[preset].spec)
    page = draw_zoom(flat(120, 90), layout, first_of_each_region(layout), **WORDS)
    assert page.mode == "RGB" and page.width == 1280 and 500 < page.height <= 2400


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(["v1", "v1-high48", "low-only", "baseline-3"]), st.integers(1, 400), st.integers(1, 400), st.data())
def test_any_size_width_and_words_stay_within_bounds(preset: str, height: int, width: int, data: st.DataObject) -> None:
    across = data.draw(st.integers(MIN_WIDTH, MAX_WIDTH))
    question, answer = data.draw(st.text(max_size=400)), data.draw(st.text(max_size=400))
    layout = make_layout((height, width), PRESETS[preset].spec)
    kept = first_of_each_region(layout)
    page = draw_zoom(flat(width, height), layout, kept, question=question, answer=answer, width=across)
    assert page.width == across and page.height <= Measures(across).longest


@pytest.mark.parametrize(
    ("size", "width"),
    [((1, 1), MIN_WIDTH), ((20_000, 200), MIN_WIDTH), ((20_000, 200), MAX_WIDTH), ((200, 20_000), MAX_WIDTH)],
)
def test_extreme_shapes_are_drawn_within_bounds(pages: list[Page], size: tuple[int, int], width: int) -> None:
    layout = make_layout((size[1], size[0]), V1)
    long: dict[str, Any] = {"question": "word " * 2000, "answer": "word " * 2000}
    page = draw_zoom(flat(*size), layout, first_of_each_region(layout), **long, width=width)
    assert page.width == width and page.height <= Measures(width).longest
    assert max(rect[3] for rect in (*pages[0].close, *pages[0].coarse)) < page.height  # nothing is cut off
    assert [len(words.lines) for words in pages[0].texts] == [4, 8]
    assert all(words.lines[-1].endswith("...") for words in pages[0].texts)


def test_a_padded_image_is_drawn_without_what_lies_beyond_it() -> None:
    spec = PRESETS["v2"].spec.with_changes(fit="pad", selection=SelectionSpec(policy="detail", scope="region", keep=3))
    layout = make_layout((300, 900), spec)
    beyond = [box for box in layout.level_boxes("high") if box[0] >= 900 or box[1] >= 300]
    assert beyond
    assert on_image(beyond[0], (300, 900), (90, 30)) is None
    assert on_image((450, 0, 950, 999), (300, 900), (90, 30)) == (45, 0, 90, 30)
    page = draw_zoom(flat(900, 300), layout, first_of_each_region(layout))
    assert PADDING in {colour for _, colour in page.getcolors(1 << 20) or []}
    assert caption(layout).endswith("Grey is padding beyond the image.")


def test_encoders_without_mid_or_low() -> None:
    high = LevelSpec(grids=((4, 6),))
    spec = V1.with_changes(mid=None, partners=None, high=high, selection=SelectionSpec(policy="detail", scope="image", keep=5))
    assert draw_zoom(flat(90, 60), make_layout((60, 90), spec), range(5)).width == 1280
    assert draw_zoom(flat(90, 60), make_layout((60, 90), V1.with_changes(low=None)), range(0, 24, 2)).width == 1280
    alone = spec.with_changes(low=None)
    assert caption(make_layout((60, 90), alone)) == "Bright: read at full resolution (5 of 24). Dimmed: not seen."
    assert draw_zoom(flat(90, 60), make_layout((60, 90), alone), range(5)).width == 1280


def test_other_modes_are_converted() -> None:
    grey = Image.linear_gradient("L")
    layout = make_layout((256, 256), V1)
    kept: Sequence[int] = first_of_each_region(layout)
    expected = draw_zoom(grey.convert("RGB"), layout, kept)
    assert ImageChops.difference(draw_zoom(grey, layout, kept), expected).getbbox() is None


def test_the_caption_tells_what_happened() -> None:
    layout = make_layout((480, 640), V1)
    assert caption(layout) == "Bright: read at full resolution (12 of 24). Dimmed: seen at lower resolution."
    reduced = "Bright: read at 42 % of full resolution or more (12 of 24). Dimmed: seen at lower resolution."
    assert caption(layout, detail=0.42) == reduced
    assert caption(layout, scores=True).endswith("Beside a number: the score that chose it.")
    everything, no_high, low = (make_layout((480, 640), PRESETS[name].spec) for name in ("v2", "baseline-3", "low-only"))
    assert caption(everything) == "All of it was read at full resolution, in 36 sub-images."
    assert caption(everything, detail=0.5) == "All of it was read at 50 % of full resolution or more, in 36 sub-images."
    assert caption(no_high) == "All of it was read at full resolution, in 24 sub-images."
    assert caption(low) == "The whole image was read at 224 x 224 pixels."
    assert caption(make_layout((200, 20_000), V1)).endswith("Drawn 16.7 times too high.")


def test_mistakes_are_named() -> None:
    image, layout = flat(64, 48), make_layout((48, 64), V1)
    kept = first_of_each_region(layout)
    with pytest.raises(ValueError, match="width must be 480 to 2400 pixels, got 100"):
        draw_zoom(image, layout, kept, width=100)
    with pytest.raises(ValueError, match="keeps 12 of 24 high sub-images; pass their indices as kept, got none"):
        draw_zoom(image, layout)
    for wrong in ([0, *kept[:-1]], [*kept[:-1], 24], kept[:-1], [*kept, 23]):
        with pytest.raises(ValueError, match="keeps 12 of 24 high sub-images"):
            draw_zoom(image, layout, wrong)
    with pytest.raises(ValueError, match="one score for each of the 24 high sub-images, got 12"):
        draw_zoom(image, layout, kept, [0.5] * 12)
    with pytest.raises(ValueError, match="expected an RGB image of height 48, width 64"):
        draw_zoom(flat(48, 64), layout, kept)


def test_wrapped_lines_fit_and_lose_no_word() -> None:
    font = Type(1200).text
    text = "the low view and the kept high sub-images " * 5
    lines = wrap(text, 200, font)
    assert " ".join(lines).split() == text.split()
    assert all(font.getlength(line) <= 200 for line in lines)
    assert all(font_of(15).getlength(line) <= 50 for line in wrap("W" * 100, 50, font_of(15)))
