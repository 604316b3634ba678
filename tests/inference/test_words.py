"""An answer in words: how sure, and where in the image."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dragonfly.inference.words import looked_closely, sureness
from dragonfly.vision import make_layout
from dragonfly.vision.presets import PRESETS

V1 = PRESETS["v1"].spec
GRID = (4, 6)  # of a landscape image under v1


def where(*cells: tuple[int, int]) -> str:
    """In words, for cells (row, column) of the 4 x 6 grid."""
    layout = make_layout((480, 640), V1)
    high = layout.level("high")
    assert high is not None and high.grid == GRID
    return looked_closely(layout, [row * GRID[1] + column for row, column in cells])


def test_confidence_has_a_word_and_a_share() -> None:
    said = [sureness(value) for value in (1.0, 0.9, 0.78, 0.5, 0.1, 0.0)]
    words = ["very sure, 100 %", "very sure, 90 %", "fairly sure, 78 %", "unsure, 50 %", "very unsure, 10 %", "very unsure, 0 %"]
    assert said == words


def test_places_are_named_in_reading_order_once() -> None:
    assert where((0, 0), (0, 1), (2, 5)) == "looked closely at: upper left, centre right; 3 of 24"
    assert where((1, 2)) == "looked closely at: centre; 1 of 24"
    assert where((3, 3), (0, 2)) == "looked closely at: upper centre, lower centre; 2 of 24"
    assert where((0, 0), (0, 2), (0, 5), (1, 0)) == "looked closely at: upper third, centre left; 4 of 24"
    corners = [(row, column) for row in (0, 1, 3) for column in (0, 2, 5)]
    assert where(*corners) == "looked closely at: all parts of it; 9 of 24"


def test_where_nothing_is_chosen() -> None:
    everything, low = (make_layout((480, 640), PRESETS[name].spec) for name in ("v2", "low-only"))
    assert looked_closely(everything, range(everything.count("high"))) == f"looked closely at: all of it, in {6 * 6} parts"
    assert looked_closely(make_layout((480, 640), PRESETS["baseline-1"].spec), []) == "looked closely at: all of it, in 4 parts"
    assert looked_closely(low, []) == "looked at it as a whole"


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(0, 23))
def test_any_image_has_a_place_for_any_sub_image(height: int, width: int, index: int) -> None:
    said = looked_closely(make_layout((height, width), V1), [index])
    assert said.startswith("looked closely at: ") and said.endswith("; 1 of 24")
    words = said.removeprefix("looked closely at: ").removesuffix("; 1 of 24").split()
    assert words == ["centre"] or (words[0] in ("upper", "centre", "lower") and words[1] in ("left", "centre", "right"))
