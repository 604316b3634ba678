"""What one index of a data set holds: a whole page, some of its cells, or its records as text, with questions.

Promises that the questions of a view are answered by what the view shows. Boxes are in pixels of the view's image.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isqrt

from PIL import Image

from .document import Drawn, make_image, row_random
from .document_questions import Question, ask
from .document_spec import SynthSpec
from .facts import Fact
from .families import FAMILIES, draw_family, make_facts
from .page_record import Box, TextAnnotation


@dataclass(frozen=True)
class View:
    """An image (none where the records are text) with the questions that are asked about it."""

    images: tuple[Image.Image, ...]
    questions: tuple[Question, ...]
    text_annotations: tuple[TextAnnotation, ...]
    family: str
    template: str
    quality: int = 0
    records: str = ""


def make_views(spec: SynthSpec, split: str, seed: int, index: int) -> list[View]:
    """The views at these coordinates: one, or for close-ups as many as the page gives."""
    if spec.text:
        return [_as_text(spec, split, seed, index)]
    drawn = make_image(spec, split, seed, index)
    if spec.close:
        return list(_close_ups(drawn, spec, split, row_random(spec, split, seed, index, "close")))
    return [View((drawn.image,), drawn.questions, drawn.text_annotations, drawn.family, drawn.template, drawn.quality)]


def _as_text(spec: SynthSpec, split: str, seed: int, index: int) -> View:
    """Facts as lines "key value" in a random order, under a line that says what they are."""
    rng = row_random(spec, split, seed, index)
    name = draw_family(rng)
    family = FAMILIES[name]
    facts, absent = make_facts(rng, family, split, rng.randint(*spec.facts))
    capitals = not family.shapes and rng.random() < 0.5
    lines = [f"{fact.key.capitalize() if capitals else fact.key} {fact.value}" for fact in rng.sample(facts, len(facts))]
    questions = ask(rng, facts, absent, family, split)
    return View((), questions, (), name, "lines", records="\n".join([family.thing, *lines]))


def _close_ups(drawn: Drawn, spec: SynthSpec, split: str, rng: random.Random) -> Iterator[View]:
    """The page's cells in groups of `close`, each cell an image; a group without facts is left out."""
    family = FAMILIES[drawn.family]
    cells = [_pixels(drawn.cells.box(*cell)) for cell in drawn.cells.all()]
    rng.shuffle(cells)
    for start in range(0, len(cells) - spec.close + 1, spec.close):
        tiles = _tiles(cells[start : start + spec.close])
        facts = [_beside(fact, tile) for tile in tiles for fact in drawn.facts if fact.box and _inside(fact.box, tile.source)]
        if not facts:
            continue
        known = {fact.key for fact in facts}
        absent = [*drawn.absent, *(fact.key for fact in drawn.facts if fact.key not in known)]
        questions = ask(rng, facts, absent, family, split, whole=False)
        text_annotations = tuple(
            _moved(annotation, tile)
            for tile in tiles
            for annotation in drawn.text_annotations
            if _inside(annotation.box, tile.source)
        )
        yield View((_montage(drawn.image, tiles),), questions, text_annotations, drawn.family, drawn.template, drawn.quality)


@dataclass(frozen=True)
class Tile:
    """A crop of the page and where its upper left corner lies in the close-up, both in pixels."""

    source: tuple[int, int, int, int]
    at: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        return self.source[2] - self.source[0], self.source[3] - self.source[1]

    def move(self, box: Box) -> Box:
        """The box in pixels of the close-up, cut to the tile."""
        (left, top), (width, height) = self.source[:2], self.size
        cut = max(0, box[0] - left), max(0, box[1] - top), min(width, box[2] - left), min(height, box[3] - top)
        return cut[0] + self.at[0], cut[1] + self.at[1], cut[2] + self.at[0], cut[3] + self.at[1]


def _tiles(cells: Sequence[tuple[int, int, int, int]]) -> list[Tile]:
    """The cells in a square, all as large as the smallest: they differ by a pixel."""
    side = isqrt(len(cells))
    width, height = min(cell[2] - cell[0] for cell in cells), min(cell[3] - cell[1] for cell in cells)
    return [
        Tile((left, top, left + width, top + height), (number % side * width, number // side * height))
        for number, (left, top, _, _) in enumerate(cells)
    ]


def _montage(page: Image.Image, tiles: Sequence[Tile]) -> Image.Image:
    side = isqrt(len(tiles))
    image = Image.new(page.mode, (side * tiles[0].size[0], side * tiles[0].size[1]))
    for tile in tiles:
        image.paste(page.crop(tile.source), tile.at)
    return image


def _beside(fact: Fact, tile: Tile) -> Fact:
    return replace(fact, box=tile.move(fact.box) if fact.box is not None else None)


def _moved(annotation: TextAnnotation, tile: Tile) -> TextAnnotation:
    return replace(annotation, box=tile.move(annotation.box), around=tile.move(annotation.around) if annotation.around else None)


def _pixels(box: Box) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    return round(left), round(top), round(right), round(bottom)


def _inside(box: Box, cell: tuple[int, int, int, int]) -> bool:
    """Whether the middle of the box lies in the cell."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return cell[0] <= x < cell[2] and cell[1] <= y < cell[3]
