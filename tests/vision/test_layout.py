"""Geometry of sub-images, without a pixel."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dragonfly.vision.layout import (
    LOW,
    SubImageLayout,
    choose_grids,
    level_counts,
    make_layout,
)
from dragonfly.vision.layout import MID as MID_CODE
from dragonfly.vision.presets import PRESETS
from dragonfly.vision.spec import EncoderSpec, Grid, LevelSpec
from tests.vision.cases import EXTREME_SIZES, FOLLOWING, SIZES, SPECS, STATIC, V1, V2

Size = tuple[int, int]
each_spec = pytest.mark.parametrize("name", SPECS)


def sizes(check: Callable[..., None]) -> Callable[..., None]:
    """Run a test on random sizes up to 20000 x 20000 and on the extreme ones."""
    for size in EXTREME_SIZES:
        check = example(size=size)(check)
    return settings(max_examples=12, deadline=None)(given(size=SIZES)(check))


# --- boxes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, spec in SPECS.items() if spec.fit == "stretch"])
@sizes
def test_every_edge_is_the_float_nearest_to_its_exact_fraction_of_the_image(name: str, size: Size) -> None:
    height, width = size
    for level in make_layout(size, SPECS[name]).levels:
        rows, cols = level.grid
        for index in range(rows * cols):
            row, col = divmod(index, cols)
            exact = (
                Fraction(width * col, cols),
                Fraction(height * row, rows),
                Fraction(width * (col + 1), cols),
                Fraction(height * (row + 1), rows),
            )
            assert level.box(index) == tuple(float(edge) for edge in exact)


@each_spec
@sizes
def test_each_level_tiles_the_image(name: str, size: Size) -> None:
    height, width = size
    for level in make_layout(size, SPECS[name]).levels:
        rows, cols = level.grid
        boxes = [level.box(index) for index in range(rows * cols)]
        lefts, rights = [box[0] for box in boxes[:cols]], [box[2] for box in boxes[:cols]]
        tops, bottoms = [box[1] for box in boxes[::cols]], [box[3] for box in boxes[::cols]]
        # The boxes are the product of columns and rows, so that the two axes can be checked one at a time.
        assert boxes == [(lefts[c], tops[r], rights[c], bottoms[r]) for r in range(rows) for c in range(cols)]
        assert rights[:-1] == lefts[1:] and bottoms[:-1] == tops[1:]
        for starts, ends, length in ((lefts, rights, width), (tops, bottoms, height)):
            assert starts[0] == 0 and ends[-1] >= length
            centres = np.arange(length) + 0.5
            holders = sum((start <= centres) & (centres < end) for start, end in zip(starts, ends, strict=True))
            assert np.all(holders == 1)
            edges = np.array([*starts, ends[-1]])
            assert np.all(np.diff(edges) > 0)
        areas = [(Fraction(box[2]) - Fraction(box[0])) * (Fraction(box[3]) - Fraction(box[1])) for box in boxes]
        assert sum(areas) == Fraction(rights[-1]) * Fraction(bottoms[-1])
        if SPECS[name].fit == "stretch":
            assert sum(areas) == width * height


@pytest.mark.parametrize("name", [name for name, spec in SPECS.items() if spec.mid and spec.high and spec.regions == "spatial"])
@sizes
def test_every_high_sub_image_lies_in_its_region(name: str, size: Size) -> None:
    layout = make_layout(size, SPECS[name])
    mids = layout.level_boxes("mid")
    for region, (left, top, right, bottom) in zip(layout.regions, layout.level_boxes("high"), strict=True):
        mid = mids[region]
        assert mid[0] <= left < right <= mid[2] and mid[1] <= top < bottom <= mid[3]


def test_the_released_raster_regions_do_leave_their_mid_sub_image() -> None:
    layout = make_layout((100, 100), SPECS["v1-released"])
    outside = [
        index
        for index, (region, box) in enumerate(zip(layout.regions, layout.level_boxes("high"), strict=True))
        if not (layout.level_boxes("mid")[region][0] <= box[0] and box[2] <= layout.level_boxes("mid")[region][2])
    ]
    assert outside == [3, 4, 5, 6, 7, 8, 15, 16, 17, 18, 19, 20]


@pytest.mark.parametrize(("height", "width"), [(0, 5), (5, 0), (-1, 5)])
def test_an_image_without_pixels_is_refused(height: int, width: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1 x 1 pixels, got height {height}, width {width}"):
        make_layout((height, width), V1)


# --- counts ----------------------------------------------------------------------------------------------------------


@each_spec
@sizes
def test_all_counts_follow_from_the_same_record(name: str, size: Size) -> None:
    spec = SPECS[name]
    layout = make_layout(size, spec)
    low, mid, high = (layout.count(level) for level in ("low", "mid", "high"))
    assert layout.codes == (LOW,) * low + (MID_CODE,) * mid + layout.regions
    assert len(layout.boxes) == len(layout.codes) == layout.num_sub_images == low + mid + high
    assert len(layout.regions) == high
    assert layout.boxes == sum((layout.level_boxes(level) for level in ("low", "mid", "high")), ())
    assert len(layout.token_counts) == layout.num_kept == low + mid + layout.num_kept_high
    assert layout.num_image_tokens == layout.num_features + layout.num_kept
    per_level = {level.name: level.tokens for level in layout.levels}
    assert layout.num_features == (
        low * per_level.get("low", 0) + mid * per_level.get("mid", 0) + layout.num_kept_high * per_level.get("high", 0)
    )


@pytest.mark.parametrize("name", STATIC)
@sizes
def test_counts_do_not_depend_on_the_image(name: str, size: Size) -> None:
    spec = SPECS[name]
    layout, reference = make_layout(size, spec), make_layout((480, 640), spec)
    assert layout.token_counts == reference.token_counts
    assert layout.num_kept_high == reference.num_kept_high
    assert level_counts(spec) == {level: layout.count(level) for level in ("low", "mid", "high")}


@pytest.mark.parametrize("name", [name for name, spec in SPECS.items() if spec.selects])
@sizes
def test_the_keep_rule_can_be_met(name: str, size: Size) -> None:
    layout, rule = make_layout(size, SPECS[name]), SPECS[name].selection
    if layout.regions:
        members = [layout.regions.count(region) for region in set(layout.regions)]
        assert len(set(members)) == 1
        expected = rule.keep if rule.scope == "image" else rule.keep * len(members)
        assert layout.num_kept_high == expected <= layout.count("high")
        assert rule.scope == "image" or rule.keep <= members[0]


def test_counts_that_depend_on_the_image_are_not_promised() -> None:
    assert level_counts(SPECS["v2-capped"]) is None
    assert level_counts(EncoderSpec(resolution=224, patch_size=32, mid=LevelSpec(grids=((2, 2), (3, 3))))) is None


# --- grid rules ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "mid", "high"),
    [
        ((91, 37), (2, 2), (4, 6)),  # small: everything fits, the first of both lists
        ((640, 480), (2, 2), (4, 6)),  # an upright image gets a lying grid
        ((687, 343), (2, 2), (4, 6)),
        ((1000, 4000), (1, 4), (3, 8)),  # both hold 448 x 1792 of it and waste as much: list order
        ((1000, 5000), (1, 4), (2, 12)),  # 3 x 8 holds 358 x 1792, 2 x 12 holds 448 x 2240
        ((4000, 1000), (4, 1), (8, 3)),
        ((5000, 1000), (4, 1), (12, 2)),
        ((4000, 3000), (2, 2), (6, 4)),
        ((3000, 4000), (2, 2), (4, 6)),
    ],
)
def test_the_released_rule_by_hand(size: Size, mid: Grid, high: Grid) -> None:
    assert choose_grids(size, SPECS["v1-released"]) == (mid, high)


@pytest.mark.parametrize(
    ("name", "size", "mid", "high"),
    [
        ("v1", (100, 100), (2, 2), (4, 6)),
        ("v1", (640, 480), (2, 2), (6, 4)),
        ("v1", (100, 1000), (1, 4), (3, 8)),
        ("v1", (1000, 100), (4, 1), (8, 3)),
        ("v1-high16", (1000, 100), (4, 1), (8, 2)),
        ("v1-high48", (100, 100), (2, 2), (8, 6)),
        ("v1-high48", (100, 120), (2, 2), (6, 8)),
        ("v2", (100, 1000), (1, 4), (3, 12)),
        ("v2", (640, 480), (2, 2), (6, 6)),
        ("v2-released", (300, 4000), (1, 4), (3, 12)),
        ("low-only", (100, 100), None, None),
        ("baseline-2", (1000, 100), (8, 2), None),
        ("high-only", (1000, 100), None, (8, 3)),
        ("no-mid", (100, 1000), None, (3, 8)),
    ],
)
def test_high_is_chosen_among_the_mid_grids_partners(name: str, size: Size, mid: Grid | None, high: Grid | None) -> None:
    assert choose_grids(size, SPECS[name]) == (mid, high)


# --- grids that follow the pixels ------------------------------------------------------------------------------------


@st.composite
def strips(draw: st.DrawFn) -> Size:
    """Images of up to 20,000 pixels per side and 50 : 1, either way."""
    longer = draw(st.integers(50, 20_000))
    shorter = max(1, longer // draw(st.integers(1, 50)))
    return draw(st.permutations((longer, shorter)).map(lambda sides: (sides[0], sides[1])))


@pytest.mark.parametrize("name", FOLLOWING)
@settings(max_examples=20, deadline=None)
@given(size=strips())
@example(size=(8192, 8192))
@example(size=(20_000, 400))
@example(size=(896, 1344))
@example(size=(897, 1345))
def test_a_high_sub_image_is_not_reduced_unless_the_grid_is_at_its_largest(name: str, size: Size) -> None:
    spec = SPECS[name]
    layout, least = make_layout(size, spec), make_layout((1, 1), spec)
    high, mid = layout.level("high"), layout.level("mid")
    assert high is not None
    by_shape = choose_grids(size, spec.with_changes(grid_rule="aspect"))
    for axis in (0, 1):
        unit, fewest, cells = mid.grid[axis] if mid else 1, (by_shape[1] or (0, 0))[axis], high.grid[axis]
        assert cells % unit == 0 and cells >= fewest
        assert size[axis] <= cells * 224 or cells == 64  # at most 224 source pixels each, or the most there may be
        assert cells == fewest or (cells - unit) * 224 < size[axis]  # and no more of them than that takes
    assert by_shape[0] == (mid.grid if mid else None)
    assert layout.token_counts == least.token_counts
    assert (layout.num_image_tokens, layout.num_kept) == (least.num_image_tokens, least.num_kept)
    counts = level_counts(spec)
    if spec.selection.early:
        assert counts is not None and counts["high"] == layout.num_kept_high
    else:
        assert counts is None


@pytest.mark.parametrize("name", FOLLOWING)
def test_grids_that_follow_the_pixels_lie_between_their_least_and_largest_pairs(name: str) -> None:
    spec = SPECS[name]
    pairs = spec.pairs()
    for size in ((1, 1), (3000, 5000), (9000, 300), (100_000, 100_000)):
        mid, high = choose_grids(size, spec)
        highs = [other for one, other in pairs if one == mid and other]
        assert high is not None and min(highs) <= high <= (64, 64)
        assert max(high) <= max(max(grid) for grid in highs)
    assert choose_grids((100_000, 100_000), spec)[1] in [high for _, high in pairs]
    assert spec.largest_grid == (64, 64)


# --- regions ---------------------------------------------------------------------------------------------------------


def regions(mid: Grid, high: Grid, rule: str) -> tuple[int, ...]:
    spec = EncoderSpec.from_dict(
        {"resolution": 224, "patch_size": 32, "mid": LevelSpec(grids=(mid,)), "high": LevelSpec(grids=(high,)), "regions": rule}
    )
    return make_layout((100, 100), spec).regions


SPATIAL = {
    ((2, 2), (4, 6)): """
        000111
        000111
        222333
        222333""",
    ((2, 2), (6, 4)): """
        0011
        0011
        0011
        2233
        2233
        2233""",
    ((1, 4), (3, 8)): """
        00112233
        00112233
        00112233""",
    ((4, 1), (8, 3)): "000 000 111 111 222 222 333 333",
    ((2, 2), (6, 6)): """
        000111
        000111
        000111
        222333
        222333
        222333""",
    ((1, 4), (3, 12)): "000111222333 000111222333 000111222333",
    ((4, 1), (12, 3)): "000000000 111111111 222222222 333333333",
    ((1, 4), (2, 12)): "000111222333 000111222333",
}
RASTER_24 = "000000 111111 222222 333333"


def digits(table: str) -> tuple[int, ...]:
    return tuple(int(digit) for digit in table if digit.isdigit())


@pytest.mark.parametrize(("mid", "high"), SPATIAL)
def test_spatial_regions_by_hand(mid: Grid, high: Grid) -> None:
    assert regions(mid, high, "spatial") == digits(SPATIAL[mid, high])


@pytest.mark.parametrize(
    ("mid", "high", "agreeing"),
    [
        ((2, 2), (4, 6), 12),
        ((2, 2), (6, 4), 16),
        ((1, 4), (3, 8), 8),
        ((1, 4), (2, 12), 6),
        ((4, 1), (8, 3), 24),
        ((4, 1), (12, 2), 24),
    ],
)
def test_raster_regions_are_runs_of_six_and_agree_with_the_spatial_ones_in_part(mid: Grid, high: Grid, agreeing: int) -> None:
    raster = regions(mid, high, "raster")
    assert raster == digits(RASTER_24)
    assert sum(a == b for a, b in zip(raster, regions(mid, high, "spatial"), strict=True)) == agreeing


def test_without_mid_the_image_is_one_region() -> None:
    layout = make_layout((100, 100), SPECS["high-only"])
    assert layout.regions == (0,) * 24
    assert layout.num_kept_high == 5


# --- enlargement cap and padding -------------------------------------------------------------------------------------


def names(layout: SubImageLayout) -> list[str]:
    return [level.name for level in layout.levels]


def test_the_cap_leaves_out_what_would_enlarge_too_far() -> None:
    """v1 on a square: mid is 448 x 448, high 896 x 1344."""
    capped = V1.with_changes(max_enlargement=2.0)
    assert names(make_layout((223, 224), capped)) == ["low"]
    assert names(make_layout((224, 224), capped)) == ["low", "mid"]  # twice is not more than twice
    assert names(make_layout((548, 549), capped)) == ["low", "mid"]
    assert names(make_layout((549, 549), capped)) == ["low", "mid", "high"]  # 896 x 1344 = 4 x 548.7 ^ 2
    assert names(make_layout((1, 1), capped)) == ["low"]


def test_what_the_cap_leaves_out_takes_no_tokens() -> None:
    layout = make_layout((1, 1), SPECS["v2-capped"])
    assert (layout.num_kept, layout.num_features, layout.regions, layout.codes) == (1, 577, (), (LOW,))


def test_padding_keeps_the_aspect_ratio() -> None:
    layout = make_layout((100, 200), SPECS["v1-high16-padded"])
    low, mid, high = layout.levels
    assert (low.content, mid.content, high.content) == ((112, 224), (224, 448), (448, 896))
    assert [level.extent for level in layout.levels] == [(200, 200)] * 3
    assert layout.level_boxes("mid") == ((0, 0, 100, 100), (100, 0, 200, 100), (0, 100, 100, 200), (100, 100, 200, 200))


@pytest.mark.parametrize(("width", "height"), [(150, 224), (151, 223), (152, 221), (153, 220)])  # 224, 222.5, 221.1, 219.6
def test_padded_content_is_the_nearest_whole_canvas_pixel(width: int, height: int) -> None:
    low = make_layout((100, width), SPECS["v2-padded"]).levels[0]
    assert low.content == (height, 336)
    assert make_layout((width, 100), SPECS["v2-padded"]).levels[0].content == (336, height)


@given(size=SIZES)
@settings(max_examples=50, deadline=None)
def test_padded_content_fills_one_side_and_errs_by_half_a_canvas_pixel_at_most(size: Size) -> None:
    for level in make_layout(size, SPECS["v2-padded"]).levels:
        canvas = [336 * cells for cells in level.grid]
        assert any(inside == whole for inside, whole in zip(level.content, canvas, strict=True))
        for axis in (0, 1):
            exact = canvas[axis] * Fraction(size[axis]) / level.extent[axis]
            assert 1 <= level.content[axis] <= canvas[axis]
            assert abs(max(exact, 1) - level.content[axis]) <= Fraction(1, 2)  # a side never vanishes
        assert level.extent[0] * canvas[1] == level.extent[1] * canvas[0]  # square pixels


def test_stretching_covers_the_canvas() -> None:
    for level in make_layout((100, 200), V2).levels:
        assert level.content == (336 * level.grid[0], 336 * level.grid[1])
        assert level.extent == (100, 200)


def test_presets_cover_every_variant_of_the_rules() -> None:
    """The properties above run on all of these; a preset that goes missing must not go unnoticed."""
    assert set(PRESETS) < set(SPECS)
    assert {spec.grid_rule for spec in SPECS.values()} == {"aspect", "released", "resolution"}
    assert {spec.regions for spec in SPECS.values()} == {"spatial", "raster"}
    assert {spec.fit for spec in SPECS.values()} == {"stretch", "pad"}
