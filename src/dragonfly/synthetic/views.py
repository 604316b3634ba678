"""What one index of a data set holds: a whole page, crops of its cells, or its records as text, with questions.

Promises that the questions of a view are answered by what the view shows. Boxes are in pixels of the first picture.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from .facts import Fact
from .families import FAMILIES, draw_family, make_facts
from .page import Box, Mark
from .picture import Drawn, make_picture, row_random
from .questions import Question, ask
from .spec import SynthSpec


@dataclass(frozen=True)
class View:
    """Pictures (none where the records are text) with the questions that are asked about them."""

    images: tuple[Image.Image, ...]
    questions: tuple[Question, ...]
    marks: tuple[Mark, ...]
    family: str
    template: str
    quality: int = 0
    records: str = ""


def make_views(spec: SynthSpec, split: str, seed: int, index: int) -> list[View]:
    """The views at these coordinates: one, or for close-ups as many as the page gives."""
    if spec.text:
        return [_as_text(spec, split, seed, index)]
    drawn = make_picture(spec, split, seed, index)
    if spec.close:
        return list(_close_ups(drawn, spec, split, row_random(spec, split, seed, index, "close")))
    return [View((drawn.image,), drawn.questions, drawn.marks, drawn.family, drawn.template, drawn.quality)]


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
    """The page's cells in groups of `close`, each cell a picture; a group without facts is left out."""
    family = FAMILIES[drawn.family]
    cells = [_pixels(drawn.cells.box(*cell)) for cell in drawn.cells.all()]
    rng.shuffle(cells)
    for start in range(0, len(cells) - spec.close + 1, spec.close):
        group = cells[start : start + spec.close]
        facts = [_on_first(fact, number == 0, cell) for number, cell in enumerate(group) for fact in _within(drawn, cell)]
        if not facts:
            continue
        known = {fact.key for fact in facts}
        absent = [*drawn.absent, *(fact.key for fact in drawn.facts if fact.key not in known)]
        questions = ask(rng, facts, absent, family, split, whole=False)
        images = tuple(drawn.image.crop(cell) for cell in group)
        marks = tuple(_moved(mark, group[0]) for mark in drawn.marks if _inside(mark.box, group[0]))
        yield View(images, questions, marks, drawn.family, drawn.template, drawn.quality)


def _pixels(box: Box) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    return round(left), round(top), round(right), round(bottom)


def _within(drawn: Drawn, cell: tuple[int, int, int, int]) -> Sequence[Fact]:
    return [fact for fact in drawn.facts if fact.box is not None and _inside(fact.box, cell)]


def _inside(box: Box, cell: tuple[int, int, int, int]) -> bool:
    """Whether the middle of the box lies in the cell."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return cell[0] <= x < cell[2] and cell[1] <= y < cell[3]


def _on_first(fact: Fact, first: bool, cell: tuple[int, int, int, int]) -> Fact:
    """The fact with its box in pixels of the crop, which only the first picture's facts have."""
    return replace(fact, box=_shifted(fact.box, cell) if first and fact.box is not None else None)


def _moved(mark: Mark, cell: tuple[int, int, int, int]) -> Mark:
    return replace(mark, box=_shifted(mark.box, cell), around=_shifted(mark.around, cell) if mark.around else None)


def _shifted(box: Box, cell: tuple[int, int, int, int]) -> Box:
    """The box in pixels of the crop, cut to it."""
    left, top, width, height = cell[0], cell[1], cell[2] - cell[0], cell[3] - cell[1]
    return max(0, box[0] - left), max(0, box[1] - top), min(width, box[2] - left), min(height, box[3] - top)
