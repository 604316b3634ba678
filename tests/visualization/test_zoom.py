"""The zoom image: same bytes, bounded size, kept sub-images bright and dropped ones dark, every preset and shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from dragonfly.vision import EncoderSpec, LevelSpec, SelectionSpec, SubImageLayout, make_layout
from dragonfly.vision.presets import PRESETS
from dragonfly.visualization import zoom
from dragonfly.visualization.pen import PADDING, PALETTE, Type, wrap
from dragonfly.visualization.zoom import MAX_SIDE, MIN_WIDTH, draw_zoom

V1 = PRESETS["v1"].spec


def flat(width: int, height: int, value: int = 200) -> Image.Image:
    return Image.new("RGB", (width, height), (value, value, value))


def first_of_each_region(layout: SubImageLayout) -> list[int]:
    """As many high sub-images as the layout keeps, the first of each region."""
    each = layout.num_kept_high // max(1, len(set(layout.regions)))
    return [i for i, region in enumerate(layout.regions) if layout.regions[:i].count(region) < each]


def drawn_source(image: Image.Image, spec: EncoderSpec, kept: Sequence[int], size: tuple[int, int]) -> Image.Image:
    """The left panel alone at a known size, as `draw_zoom` draws it."""
    layout = make_layout((image.height, image.width), spec)
    high = zoom._high_shown(layout, None)
    mid = [zoom.Shown(box, PALETTE[i % len(PALETTE)], f"M{i}") for i, box in enumerate(layout.level_boxes("mid"))]
    return zoom._draw_source(image, size, Type(1200), mid=mid, high=high, kept=tuple(kept))


@pytest.mark.parametrize("value", [255, 128, 40, 0])
def test_every_kept_sub_image_is_brighter_than_every_dropped_one(value: int) -> None:
    layout = make_layout((480, 600), V1)
    kept = first_of_each_region(layout)
    image = np.asarray(drawn_source(flat(600, 480, value), V1, kept, (600, 480)).convert("L"), dtype=float)
    light = [
        image[round(top) : round(bottom), round(left) : round(right)].mean()
        for left, top, right, bottom in layout.level_boxes("high")
    ]
    dropped = [light[i] for i in range(24) if i not in kept]
    assert min(light[i] for i in kept) > max(dropped)
    assert max(dropped) < 0.6 * value + 40  # frames and labels of the region add a little


def test_left_out_pixels_are_dark_and_kept_pixels_are_the_sources() -> None:
    layout = make_layout((480, 600), V1)
    kept = first_of_each_region(layout)
    image = drawn_source(flat(600, 480), V1, kept, (600, 480))
    for index, (left, top, right, bottom) in enumerate(layout.level_boxes("high")):
        centre = (round((left + right) / 2), round((top + bottom) / 2))
        assert image.getpixel(centre) == ((200, 200, 200) if index in kept else (60, 60, 60))


def test_frames_carry_the_regions_colour() -> None:
    layout = make_layout((480, 600), V1)
    kept = first_of_each_region(layout)
    image = drawn_source(flat(600, 480), V1, kept, (600, 480))
    for index in kept:
        left, _, _, bottom = layout.level_boxes("high")[index]
        assert image.getpixel((round(left) + 50, round(bottom) - 2)) == PALETTE[layout.regions[index]]
    for region, (left, top, right, _) in enumerate(layout.level_boxes("mid")):
        assert image.getpixel((round((left + right) / 2) + 20, round(top) + 3)) == PALETTE[region]


def test_equal_input_gives_equal_bytes_and_leaves_the_source_alone() -> None:
    image = Image.radial_gradient("L").convert("RGB")
    before = image.tobytes()
    layout = make_layout((256, 256), V1)
    kept, scores = first_of_each_region(layout), [float(i) for i in range(24)]
    first = draw_zoom(image, layout, kept, scores, title="Where?")
    assert first.tobytes() == draw_zoom(image, layout, list(reversed(kept)), scores, title="Where?").tobytes()
    assert image.tobytes() == before and image.mode == "RGB"


def test_scores_and_title_are_drawn() -> None:
    image, layout = flat(300, 300), make_layout((300, 300), V1)
    kept = first_of_each_region(layout)
    plain = draw_zoom(image, layout, kept)
    equal = draw_zoom(image, layout, kept, [1.0] * 24)
    ranked = draw_zoom(image, layout, kept, [float(-i) for i in range(24)])
    assert plain.tobytes() == equal.tobytes()  # equal scores say nothing
    assert plain.tobytes() != ranked.tobytes()
    assert draw_zoom(image, layout, kept, title="Where?").height > plain.height


def test_ranks_count_within_a_region_and_ties_go_to_the_lower_index() -> None:
    layout = make_layout((480, 640), V1)
    scores = [0.0] * 24
    scores[7], scores[2] = 5.0, 5.0  # both in region 0
    notes = {shown.label: shown.note for shown in zoom._high_shown(layout, scores)}
    assert (notes["2"], notes["7"], notes["0"], notes["3"]) == ("#1  5", "#2  5", "#3  0", "#1  0")


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_drawn(preset: str) -> None:
    layout = make_layout((90, 120), PRESETS[preset].spec)
    page = draw_zoom(flat(120, 90), layout, first_of_each_region(layout))
    assert page.mode == "RGB" and page.width == 1200 and 300 < page.height <= 1200


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(["v1", "v1-high48", "low-only", "baseline-3"]), st.integers(1, 400), st.integers(1, 400), st.data())
def test_any_size_width_and_title_stays_within_bounds(preset: str, height: int, width: int, data: st.DataObject) -> None:
    across = data.draw(st.integers(MIN_WIDTH, MAX_SIDE))
    title = data.draw(st.text(max_size=400))
    layout = make_layout((height, width), PRESETS[preset].spec)
    page = draw_zoom(flat(width, height), layout, first_of_each_region(layout), title=title, width=across)
    assert page.width == across and page.height <= MAX_SIDE


@pytest.mark.parametrize(
    ("size", "width"),
    [((1, 1), MIN_WIDTH), ((20_000, 200), MIN_WIDTH), ((20_000, 200), MAX_SIDE), ((200, 20_000), MAX_SIDE)],
)
def test_extreme_shapes_are_drawn_within_bounds(size: tuple[int, int], width: int) -> None:
    layout = make_layout((size[1], size[0]), V1)
    page = draw_zoom(flat(*size), layout, first_of_each_region(layout), title="word " * 2000, width=width)
    assert page.width == width and max(page.size) <= MAX_SIDE
    # The lowest line of the legend is inside: the last rows are paper, and something is drawn above them.
    assert page.crop((0, page.height - 4, page.width, page.height)).getextrema() == ((252, 252), (252, 252), (250, 250))


def test_a_padded_image_is_drawn_without_what_lies_beyond_it() -> None:
    spec = PRESETS["v2"].spec.with_changes(fit="pad", selection=SelectionSpec(policy="detail", scope="region", keep=3))
    layout = make_layout((300, 900), spec)
    kept = first_of_each_region(layout)
    beyond = [box for box in layout.level_boxes("high") if box[0] >= 900 or box[1] >= 300]
    assert beyond
    assert zoom._on_image(beyond[0], (900, 300), (90, 30)) is None
    assert zoom._on_image((450, 0, 950, 999), (900, 300), (90, 30)) == (45, 0, 90, 30)
    page = draw_zoom(flat(900, 300), layout, kept)
    assert PADDING in {colour for _, colour in page.getcolors(1 << 20) or []}
    assert "Grey is padding beyond the image." in zoom._legend(layout, [])


def test_encoders_without_mid_or_low() -> None:
    high = LevelSpec(grids=((4, 6),))
    spec = V1.with_changes(mid=None, partners=None, high=high, selection=SelectionSpec(policy="detail", scope="image", keep=5))
    assert draw_zoom(flat(90, 60), make_layout((60, 90), spec), range(5)).width == 1200
    assert draw_zoom(flat(90, 60), make_layout((60, 90), V1.with_changes(low=None)), range(0, 24, 2)).width == 1200


def test_other_modes_are_converted() -> None:
    grey = Image.linear_gradient("L")
    layout = make_layout((256, 256), V1)
    kept = first_of_each_region(layout)
    expected = draw_zoom(grey.convert("RGB"), layout, kept)
    assert ImageChops.difference(draw_zoom(grey, layout, kept), expected).getbbox() is None


def test_the_legend_tells_what_happened() -> None:
    scores = [float(i) for i in range(24)]
    layout = make_layout((480, 640), V1)
    words = zoom._legend(layout, zoom._high_shown(layout, scores))
    assert words == [
        "The image has 640 x 480 pixels.",
        "Each sub-image is resized to 224 x 224 pixels.",
        "Kept 12 of 24 high sub-images (bright); the dark ones were left out.",
        "Frame colour: the mid sub-image (M0 to M3) that a sub-image belongs to.",
        "#1: the highest score of its colour, with the score beside it.",
        "The language model reads 867 tokens for this image.",
    ]
    everything = make_layout((480, 640), PRESETS["v2"].spec)
    assert "All 36 high sub-images were kept; nothing was left out." in zoom._legend(everything, [])
    no_high = make_layout((480, 640), PRESETS["baseline-3"].spec)
    assert "Framed: the mid sub-images, M0 to M23. There is no high level." in zoom._legend(no_high, [])
    assert zoom._legend(make_layout((200, 20_000), V1), [])[0] == "The image has 20000 x 200 pixels, drawn 16.7 times too high."


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
    assert all(font.getlength(line) <= 50 for line in wrap("W" * 100, 50, font))
