"""The rules that give an image its grid."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragonfly.vision.grids import MAX_HIGH_SIDE, Grid, Size, closest_aspect, grown, most_useful_pixels
from dragonfly.vision.presets import GRIDS_24, MID
from tests.vision.cases import SIZES

RELEASED_24: tuple[Grid, ...] = ((4, 6), (6, 4), (8, 3), (3, 8), (12, 2), (2, 12))


@pytest.mark.parametrize(
    ("size", "grids", "expected"),
    [
        ((100, 100), ((4, 6), (6, 4)), (4, 6)),  # 1.5 either way: the first
        ((100, 100), ((6, 4), (4, 6)), (6, 4)),
        ((101, 100), ((4, 6), (6, 4)), (6, 4)),
        ((100, 200), ((2, 2), (1, 4)), (2, 2)),  # a factor of 2 from either: the first
        ((100, 200), ((1, 4), (2, 2)), (1, 4)),
        ((100, 201), ((2, 2), (1, 4)), (1, 4)),
        ((100, 199), ((1, 4), (2, 2)), (2, 2)),
        ((200, 100), MID, (2, 2)),
        ((201, 100), MID, (4, 1)),
        ((1, 20_000), GRIDS_24, (3, 8)),
        ((20_000, 1), GRIDS_24, (8, 3)),
        ((640, 480), GRIDS_24, (6, 4)),
        ((480, 640), GRIDS_24, (4, 6)),
        ((100, 300), GRIDS_24, (3, 8)),
    ],
)
def test_closest_aspect_by_hand(size: Size, grids: tuple[Grid, ...], expected: Grid) -> None:
    assert closest_aspect(size, grids, 224) == expected


@given(side=st.integers(1, 20_000))
@settings(max_examples=50, deadline=None)
def test_ties_are_exact_at_every_size(side: int) -> None:
    """Logarithms in floating point would break some of these ties."""
    for grids in (((2, 2), (1, 4)), ((1, 4), (2, 2))):
        assert closest_aspect((side, 2 * side), grids, 224) == grids[0]
    for grids in (((2, 3), (1, 6)), ((1, 6), (2, 3))):  # 3 / 2 and 6, either a factor of 2 from 3
        assert closest_aspect((side, 3 * side), grids, 224) == grids[0]


@given(size=SIZES, grids=st.permutations(GRIDS_24 + MID))
@settings(max_examples=50, deadline=None)
def test_closest_aspect_minimises_the_distance_of_logarithms(size: Size, grids: list[Grid]) -> None:
    def distance(grid: Grid) -> float:
        return abs(math.log(size[1] / size[0]) - math.log(grid[1] / grid[0]))

    chosen = closest_aspect(size, tuple(grids), 224)
    assert distance(chosen) <= min(map(distance, grids)) + 1e-12
    assert chosen == closest_aspect((3 * size[0], 3 * size[1]), tuple(grids), 1)  # shape alone decides


def test_the_released_rule_prefers_the_smaller_canvas_among_equals() -> None:
    assert most_useful_pixels((100, 100), ((4, 4), (2, 2)), 224) == (2, 2)
    assert most_useful_pixels((100, 100), ((1, 4), (2, 2)), 224) == (1, 4)  # as large: list order


@pytest.mark.parametrize(
    ("size", "grids", "resolution", "released", "exact"),
    [
        ((687, 343), MID, 224, (2, 2), (4, 1)),
        ((555, 277), MID, 224, (2, 2), (4, 1)),
        ((2217, 554), RELEASED_24, 224, (8, 3), (12, 2)),
        ((1141, 570), MID, 336, (2, 2), (4, 1)),
        ((688, 344), MID, 224, (2, 2), (2, 2)),
    ],
)
def test_the_released_rule_needs_its_floating_point(
    size: Size, grids: tuple[Grid, ...], resolution: int, released: Grid, exact: Grid
) -> None:
    def merit(grid: Grid) -> tuple[int, int]:
        height, width = grid[0] * resolution, grid[1] * resolution
        scale = min(Fraction(width, size[1]), Fraction(height, size[0]))
        useful = min(int(size[1] * scale) * int(size[0] * scale), size[0] * size[1])
        return useful, useful - width * height

    assert most_useful_pixels(size, grids, resolution) == released
    assert max(grids, key=merit) == exact


@pytest.mark.parametrize(
    ("high", "mid", "wanted", "expected"),
    [
        ((4, 6), (2, 2), (1, 1), (4, 6)),  # never fewer
        ((4, 6), (2, 2), (5, 6), (6, 6)),  # whole multiples of the mid grid's
        ((4, 6), (2, 2), (37, 37), (38, 38)),
        ((3, 8), (1, 4), (2, 9), (3, 12)),
        ((3, 8), (1, 4), (2, 90), (3, 64)),
        ((8, 3), (4, 1), (1000, 1000), (64, 64)),
        ((3, 6), (3, 3), (1000, 1000), (63, 63)),  # the most that are whole multiples
        ((2, 90), (2, 2), (1, 1), (2, 90)),  # unless the grid has more of itself
        ((2, 90), (2, 2), (1, 1000), (2, 90)),
    ],
)
def test_a_high_grid_grows_by_hand(high: Grid, mid: Grid, wanted: Grid, expected: Grid) -> None:
    assert grown(high, mid, wanted) == expected


@given(
    mid=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    factors=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    wanted=st.tuples(st.integers(1, 200), st.integers(1, 200)),
)
def test_a_high_grid_grows_to_the_least_multiple_that_is_enough(mid: Grid, factors: Grid, wanted: Grid) -> None:
    high = (mid[0] * factors[0], mid[1] * factors[1])
    for count, least, unit, most in zip(grown(high, mid, wanted), high, mid, wanted, strict=True):
        enough = [multiple for multiple in range(least, MAX_HIGH_SIDE + 1, unit) if multiple >= most]
        assert count == (enough[0] if enough else MAX_HIGH_SIDE // unit * unit)
