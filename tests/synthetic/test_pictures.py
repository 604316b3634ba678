"""What a picture promises: facts in cells, few in a region, marks where they say, and nothing but its coordinates."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from dragonfly.models.presets import get_preset
from dragonfly.synthetic import SPECS, SPLITS, Drawn, make_picture
from dragonfly.synthetic.layouts import free_layout
from dragonfly.synthetic.page import Box, Page
from dragonfly.synthetic.papers import Look
from dragonfly.synthetic.picture import row_random
from dragonfly.synthetic.plots import draw_plot
from dragonfly.synthetic.sheet import Sheet
from dragonfly.synthetic.styles import STYLES
from dragonfly.vision.layout import make_layout

SPEC = get_preset("v1").spec  # its grids are those that `nano` is drawn for: 24 high sub-images under 4


@cache
def drawn(spec: str, split: str = "train", count: int = 25, seed: int = 5) -> list[Drawn]:
    return [make_picture(SPECS[spec], split, seed, index) for index in range(count)]


def inside(inner: Box, outer: Box, slack: float = 0.0) -> bool:
    left, top = inner[0] >= outer[0] - slack, inner[1] >= outer[1] - slack
    return left and top and inner[2] <= outer[2] + slack and inner[3] <= outer[3] + slack


def high_of(picture: Drawn) -> list[int]:
    """For each fact, the one high sub-image that it lies in."""
    layout = make_layout((picture.image.height, picture.image.width), SPEC)
    highs, found = layout.level_boxes("high"), []
    for fact in picture.facts:
        assert fact.box is not None
        holding = [index for index, high in enumerate(highs) if inside(fact.box, high)]
        assert len(holding) == 1, (picture.family, fact)
        found += holding
    return found


def test_a_picture_follows_from_its_coordinates_alone() -> None:
    first, again = (make_picture(SPECS["nano"], "train", 3, 7) for _ in range(2))
    assert first.image.tobytes() == again.image.tobytes()
    assert (first.facts, first.marks, first.questions) == (again.facts, again.marks, again.questions)
    others = [("dev", 3, 7), ("train", 4, 7), ("train", 3, 8)]
    assert all(make_picture(SPECS["nano"], *other).image.tobytes() != first.image.tobytes() for other in others)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="split 'eval' is not one of: train, dev, test"):
        make_picture(SPECS["nano"], "eval", 0, 0)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("spec", ["nano", "nano-crowded"])
def test_every_fact_lies_in_one_high_sub_image(spec: str, split: str) -> None:
    assert all(len(high_of(picture)) == len(picture.facts) for picture in drawn(spec, split))


@pytest.mark.parametrize("split", SPLITS)
def test_at_most_three_cells_of_a_region_hold_facts(split: str) -> None:
    for picture in drawn("nano", split):
        layout = make_layout((picture.image.height, picture.image.width), SPEC)
        cells = high_of(picture)
        assert len(set(cells)) == len(cells)
        assert max(Counter(layout.regions[cell] for cell in cells).values()) <= 3


def test_crowded_pages_fill_most_cells() -> None:
    assert all(len(picture.facts) >= 16 for picture in drawn("nano-crowded", count=25))


def test_pages_of_words_have_words_for_most_values_of_fields() -> None:
    def share(spec: str) -> float:
        pages = [picture for picture in drawn(spec, count=60) if picture.family in ("receipt", "label", "form", "page", "table")]
        values = [fact.value for picture in pages for fact in picture.facts]
        return sum(value.isalpha() for value in values) / len(values)

    assert share("nano") < 0.4
    assert share("nano-words") > 0.7


def test_the_shapes_of_the_pictures_choose_the_grid_that_they_were_drawn_on() -> None:
    seen = set()
    for picture in drawn("nano"):
        level = make_layout((picture.image.height, picture.image.width), SPEC).level("high")
        assert level is not None and level.grid == picture.cells.grid
        seen.add(level.grid)
    assert seen == {(4, 6), (6, 4), (3, 8), (8, 3)}


def test_capitals_are_10_to_16_pixels_high_on_the_canvas_and_under_4_from_afar() -> None:
    for picture in (picture for picture in drawn("nano") if picture.family != "specks"):
        for fact in picture.facts:
            assert 10 <= fact.detail_px * 64 / picture.cells.cell_size[0] <= 16
            assert fact.detail_px * 64 / picture.image.height < 4


@pytest.mark.parametrize("spec", ["nano", "nano-crowded", "fine"])
def test_characters_lie_in_their_word_and_words_in_the_picture(spec: str) -> None:
    for picture in drawn(spec, count=12):
        whole = (0.0, 0.0, float(picture.image.width), float(picture.image.height))
        marks, letters = iter(picture.marks), 0
        for mark in marks:
            assert inside(mark.box, whole), (picture.family, mark)
            if mark.kind == "word":
                chars = [next(marks) for _ in mark.label]
                assert [char.label for char in chars] == list(mark.label)
                assert all(char.kind == "char" and inside(char.box, mark.box) for char in chars)
                letters += len(chars)
        assert letters == sum(mark.kind == "char" for mark in picture.marks)


@pytest.mark.parametrize("spec", ["nano", "fine"])
def test_what_is_marked_is_what_is_seen(spec: str) -> None:
    """Under every word of a plain page there is ink: pixels far from those around the word."""
    for picture in drawn(spec, count=12):
        grey = np.asarray(picture.image.convert("L"))
        for mark in (mark for mark in picture.marks if mark.kind == "word"):
            left, top, right, bottom = (round(edge) for edge in mark.box)
            assert np.ptp(grey[top:bottom, left:right]) > 60, (picture.family, mark)


def test_free_pages_are_large_sparse_and_dense_with_fine_and_large_text() -> None:
    pictures = drawn("fine", count=25)
    assert {picture.image.width > picture.image.height for picture in pictures} == {True, False}
    counts = [len(picture.facts) for picture in pictures]
    assert min(counts) < 8 and max(counts) > 18
    details = [fact.detail_px for picture in pictures for fact in picture.facts]
    assert min(details) < 10 and max(details) > 20


def test_facts_of_a_free_page_do_not_overlap() -> None:
    for picture in drawn("fine", count=12):
        boxes = [fact.box for fact in picture.facts if fact.box]
        for number, a in enumerate(boxes):
            for b in boxes[:number]:
                overlap = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
                assert min(overlap) < 12, (picture.family, a, b)  # upright boxes around turned ones may touch


def test_the_bars_of_one_chart_stand_on_one_line_and_are_as_high_as_their_values() -> None:
    spec, seen = replace(SPECS["fine"], turn=0.0), 0
    for index in range(70):
        rng = row_random(spec, "train", 1, index)
        layout = free_layout(rng, spec, "train", "chart", STYLES["chart"]["train"][index % 2])
        if layout.plot is None:
            continue
        page = Page(Image.new("RGB", (layout.cells.size[1], layout.cells.size[0]), "white"))
        sheet = Sheet(rng, page, STYLES["chart"]["train"][0], Look(*[(0, 0, 0)] * 4), layout.items[0].face, False)
        facts = draw_plot(sheet, layout.plot, [item.fact for item in layout.items])
        boxes = [fact.box for fact in facts if fact.box]
        assert all(a[2] <= b[0] + 1 for a, b in pairwise(boxes)) and all(inside(box, layout.plot, 2.0) for box in boxes)
        tops = [box[1] for _, box in sorted((fact.number, fact.box) for fact in facts if fact.box)]
        assert all(higher <= lower + 3 for lower, higher in pairwise(tops))  # digits differ in height, by rounding too
        seen += len(facts) > 3
    assert seen > 10
