"""Boxes of documents hold their ink, all of it and nothing else, also after the page was bent."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image

from dragonfly.research.synthetic.documents.scan import draw_bend, flat
from dragonfly.research.synthetic.documents.sheet import Sheet, runs_box
from dragonfly.research.synthetic.documents.typefaces import Typeface, draw_typeface, face, typefaces
from dragonfly.vision.layout import Box

SIZE = (420, 260)
MONO = typefaces("bundled")["mono"][0]
FACES = [
    *(face(path, 14) for paths in typefaces("bundled").values() for path in paths),
    *(face(MONO, 18, 0.8, 1.0), face(MONO, 15, 1.2, 0.5, 8)),
]


def ink(image: Image.Image, level: int = 128) -> Box:
    """The box of what is darker than `level`."""
    rows, cols = np.nonzero(np.asarray(image.convert("L")) < level)
    return float(cols.min()), float(rows.min()), float(cols.max() + 1), float(rows.max() + 1)


def sheet_of(text: str, typeface: Typeface) -> Sheet:
    sheet = Sheet(SIZE)
    sheet.text(60, 140, text, typeface)
    return sheet


@pytest.mark.parametrize("typeface", FACES, ids=lambda f: f"{f.path.stem}-{f.cap}-{f.coarse}")
def test_a_characters_box_is_the_box_of_its_ink(typeface: Typeface) -> None:
    """Each character of a text is drawn alone, where it stands in the text: what is dark is its box, to a pixel."""
    whole = sheet_of("Total: 45,07 gQ", typeface)
    pen = 60.0
    boxes = iter(whole.boxes)
    for char in "Total: 45,07 gQ":
        if char != " ":
            alone = Sheet(SIZE)
            alone.text(pen, 140, char, typeface)
            box = next(boxes)
            assert alone.boxes == [box]
            dark = ink(alone.image, 250)
            assert all(abs(a - b) <= 1 for a, b in zip(dark, box, strict=True)), (char, dark, box)
        pen += typeface.glyph(char).advance
    assert next(boxes, None) is None


@pytest.mark.parametrize("tilt", [0.0, 0.05])
@pytest.mark.parametrize("seed", range(8))
def test_boxes_move_with_the_ink_when_the_page_is_bent(seed: int, tilt: float) -> None:
    """Every character alone on a bent page: its ink lies in its moved box, and reaches near each side of it."""
    rng = random.Random(seed)
    bend = draw_bend(rng, SIZE, tilt)
    typeface = draw_typeface(rng, "bundled", ("mono", "sans", "serif"), 20)
    for x, y in ((20, 30), (350, 40), (200, 140), (30, 240), (380, 250)):
        alone = Sheet(SIZE)
        alone.text(x, y, rng.choice("HEBDZ8"), typeface)
        (box,) = bend.boxes(alone.boxes).tolist()
        dark = ink(bend.image(alone.image, 255))
        assert all(dark[at] >= box[at] - 1 for at in (0, 1)) and all(dark[at] <= box[at] + 1 for at in (2, 3))
        assert all(abs(a - b) <= 2.5 for a, b in zip(dark, box, strict=True)), (dark, box)


def test_a_bent_page_keeps_all_of_itself() -> None:
    for seed in range(100):
        rng = random.Random(seed)
        bend = draw_bend(rng, SIZE, rng.choice((0.0, rng.uniform(0.01, 0.05))))
        (left, top, right, bottom) = bend.boxes([(0, 0, *SIZE)])[0]
        assert left > 0 and top > 0 and right < bend.size[0] and bottom < bend.size[1]


def test_a_flat_page_moves_nothing() -> None:
    sheet = sheet_of("net 12", FACES[0])
    assert flat(SIZE).boxes(sheet.boxes).tolist() == [list(map(float, box)) for box in sheet.boxes]


def test_spans_are_runs_of_the_characters_that_they_say() -> None:
    sheet = sheet_of("Sub Total : 9.50", FACES[0])
    said = {(span.kind, span.label) for span in sheet.spans}
    assert said == {("word", "Sub"), ("word", "Total"), ("word", ":"), ("word", "9.50"), ("line", "Sub Total : 9.50")}
    for span in sheet.spans:
        text = "".join(char for first, last in span.runs for char in sheet.chars[first:last])
        assert text == span.label.replace(" ", "")
    line = next(span for span in sheet.spans if span.kind == "line")
    part = sheet.part(line.runs[0], "Sub Total : 9.50", "Total")
    assert "".join(sheet.chars[slice(*part)]) == "Total"
    assert runs_box(sheet.boxes, [part])[0] > sheet.boxes[2][2]
