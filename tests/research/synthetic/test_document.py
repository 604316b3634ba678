"""What an image promises: facts in cells, few in a region, text annotations where they say, and nothing but its coordinates."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from dragonfly.research.synthetic import SPECS, SPLITS, Drawn, make_image
from dragonfly.research.synthetic.charts import draw_plot
from dragonfly.research.synthetic.document import row_random
from dragonfly.research.synthetic.draw_context import DrawContext, Look, Page
from dragonfly.research.synthetic.facts import split_of
from dragonfly.research.synthetic.layouts import free_layout
from dragonfly.research.synthetic.styles import STYLES
from dragonfly.vision.layout import Box, make_layout
from dragonfly.vision.presets import get_preset

SPEC = get_preset("v1").spec  # its grids are those that `nano` is drawn for: 24 high sub-images under 4


@cache
def drawn(spec: str, split: str = "train", count: int = 25, seed: int = 5) -> list[Drawn]:
    return [make_image(SPECS[spec], split, seed, index) for index in range(count)]


def inside(inner: Box, outer: Box, slack: float = 0.0) -> bool:
    left, top = inner[0] >= outer[0] - slack, inner[1] >= outer[1] - slack
    return left and top and inner[2] <= outer[2] + slack and inner[3] <= outer[3] + slack


def high_of(image: Drawn) -> list[int]:
    """For each fact, the one high sub-image that it lies in."""
    layout = make_layout((image.image.height, image.image.width), SPEC)
    highs, found = layout.level_boxes("high"), []
    for fact in image.facts:
        assert fact.box is not None
        holding = [index for index, high in enumerate(highs) if inside(fact.box, high)]
        assert len(holding) == 1, (image.family, fact)
        found += holding
    return found


def test_an_image_follows_from_its_coordinates_alone() -> None:
    first, again = (make_image(SPECS["nano"], "train", 3, 7) for _ in range(2))
    assert first.image.tobytes() == again.image.tobytes()
    assert (first.facts, first.text_annotations, first.questions) == (again.facts, again.text_annotations, again.questions)
    others = [("dev", 3, 7), ("train", 4, 7), ("train", 3, 8)]
    assert all(make_image(SPECS["nano"], *other).image.tobytes() != first.image.tobytes() for other in others)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="split 'eval' is not one of: train, dev, test"):
        make_image(SPECS["nano"], "eval", 0, 0)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("spec", ["nano", "nano-crowded"])
def test_every_fact_lies_in_one_high_sub_image(spec: str, split: str) -> None:
    assert all(len(high_of(image)) == len(image.facts) for image in drawn(spec, split))


@pytest.mark.parametrize("split", SPLITS)
def test_at_most_three_cells_of_a_region_hold_facts(split: str) -> None:
    for image in drawn("nano", split):
        layout = make_layout((image.image.height, image.image.width), SPEC)
        cells = high_of(image)
        assert len(set(cells)) == len(cells)
        assert max(Counter(layout.regions[cell] for cell in cells).values()) <= 3


def test_crowded_pages_fill_most_cells() -> None:
    assert all(len(image.facts) >= 16 for image in drawn("nano-crowded", count=25))


def test_pages_of_words_have_words_for_most_values_of_fields() -> None:
    def share(spec: str) -> float:
        pages = [image for image in drawn(spec, count=60) if image.family in ("receipt", "label", "form", "page", "table")]
        values = [fact.value for image in pages for fact in image.facts]
        return sum(value.isalpha() for value in values) / len(values)

    assert share("nano") < 0.4
    assert share("nano-words") > 0.7


def test_pages_of_glyphs_repeat_hardly_a_value() -> None:
    def distinct(spec: str) -> float:
        values = [fact.value for image in drawn(spec, count=120) if image.family in ("receipt", "label") for fact in image.facts]
        assert all(split_of(value) == "train" and 2 <= len(value) <= 7 for value in values)
        return len(set(values)) / len(values)

    assert distinct("nano-glyphs-crowded") > 0.9
    assert distinct("nano-crowded") < 0.8


def test_the_shapes_of_the_images_choose_the_grid_that_they_were_drawn_on() -> None:
    seen = set()
    for image in drawn("nano"):
        level = make_layout((image.image.height, image.image.width), SPEC).level("high")
        assert level is not None and level.grid == image.cells.grid
        seen.add(level.grid)
    assert seen == {(4, 6), (6, 4), (3, 8), (8, 3)}


def test_capitals_are_10_to_16_pixels_high_on_the_canvas_and_under_4_from_afar() -> None:
    for image in (image for image in drawn("nano") if image.family != "specks"):
        for fact in image.facts:
            assert 10 <= fact.detail_px * 64 / image.cells.cell_size[0] <= 16
            assert fact.detail_px * 64 / image.image.height < 4


@pytest.mark.parametrize("spec", ["nano", "nano-crowded", "fine"])
def test_characters_lie_in_their_word_and_words_in_the_image(spec: str) -> None:
    for image in drawn(spec, count=12):
        whole = (0.0, 0.0, float(image.image.width), float(image.image.height))
        text_annotations, letters = iter(image.text_annotations), 0
        for annotation in text_annotations:
            assert inside(annotation.box, whole), (image.family, annotation)
            if annotation.kind == "word":
                chars = [next(text_annotations) for _ in annotation.label]
                assert [char.label for char in chars] == list(annotation.label)
                assert all(char.kind == "char" and inside(char.box, annotation.box) for char in chars)
                letters += len(chars)
        assert letters == sum(annotation.kind == "char" for annotation in image.text_annotations)


@pytest.mark.parametrize("spec", ["nano", "fine"])
def test_what_is_marked_is_what_is_seen(spec: str) -> None:
    """Under every word of a plain page there is ink: pixels far from those around the word."""
    for image in drawn(spec, count=12):
        grey = np.asarray(image.image.convert("L"))
        for annotation in (annotation for annotation in image.text_annotations if annotation.kind == "word"):
            left, top, right, bottom = (round(edge) for edge in annotation.box)
            assert np.ptp(grey[top:bottom, left:right]) > 60, (image.family, annotation)


def test_free_pages_are_large_sparse_and_dense_with_fine_and_large_text() -> None:
    images = drawn("fine", count=25)
    assert {image.image.width > image.image.height for image in images} == {True, False}
    counts = [len(image.facts) for image in images]
    assert min(counts) < 8 and max(counts) > 18
    details = [fact.detail_px for image in images for fact in image.facts]
    assert min(details) < 10 and max(details) > 20


def test_facts_of_a_free_page_do_not_overlap() -> None:
    for image in drawn("fine", count=12):
        boxes = [fact.box for fact in image.facts if fact.box]
        for number, a in enumerate(boxes):
            for b in boxes[:number]:
                overlap = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
                assert min(overlap) < 12, (image.family, a, b)  # upright boxes around turned ones may touch


def test_the_bars_of_one_chart_stand_on_one_line_and_are_as_high_as_their_values() -> None:
    spec, seen = replace(SPECS["fine"], turn=0.0), 0
    for index in range(70):
        rng = row_random(spec, "train", 1, index)
        layout = free_layout(rng, spec, "train", "chart", STYLES["chart"]["train"][index % 2])
        if layout.plot is None:
            continue
        page = Page(Image.new("RGB", (layout.cells.size[1], layout.cells.size[0]), "white"))
        context = DrawContext(rng, page, STYLES["chart"]["train"][0], Look(*[(0, 0, 0)] * 4), layout.items[0].face, False)
        facts = draw_plot(context, layout.plot, [item.fact for item in layout.items])
        boxes = [fact.box for fact in facts if fact.box]
        assert all(a[2] <= b[0] + 1 for a, b in pairwise(boxes)) and all(inside(box, layout.plot, 2.0) for box in boxes)
        tops = [box[1] for _, box in sorted((fact.number, fact.box) for fact in facts if fact.box)]
        assert all(higher <= lower + 3 for lower, higher in pairwise(tops))  # digits differ in height, by rounding too
        seen += len(facts) > 3
    assert seen > 10
