"""A large desk with papers on it: one is asked about, the others are of other kinds and say nothing that answers.

The paper that is asked about follows from (split, seed, index) alone, and so do its questions and the shape of the desk: at every
size of the desk the same is asked, among ever more paper. Print keeps its size in pixels.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from PIL import Image, ImageDraw

from dragonfly.vision.layout import Box

from ..document import row_random
from ..document_questions import Question
from ..document_spec import SynthSpec
from ..draw_context import TextAnnotation
from .page import KINDS, Document, draw_kind

SMALLEST = 1024  # longer side in pixels of the smallest desk, which must hold the paper that is asked about
SHAPES = ((4, 3), (3, 4), (1, 1), (16, 9), (9, 16))  # width to height
GAP = 12  # pixels at least between papers, and between a paper and the edge
PLACES, MISSES = 80, 4  # places tried for a paper, and papers in a row that found none, before the desk is full
LIKE = {"receipt": ("invoice", "crowded"), "invoice": ("receipt", "crowded"), "table": ("receipt", "invoice")}
"""Kinds that people could mean by another's name: they do not lie beside it."""

_NAME = "documents-desk"  # seeds what does not depend on the size
_CROWDED = 1.0  # weight of pages full of print, of no kind that is asked about


def make_desk(spec: SynthSpec, split: str, seed: int, index: int) -> Document:
    """Draw the desk number `index` of a split, `spec.desk` pixels along its longer side. ValueError for an unknown split."""
    rng = row_random(replace(spec, name=_NAME), split, seed, index)
    paper, shape = _asked_about(rng, spec, split)
    place = rng.random(), rng.random()
    width, height = _size(shape, spec.desk)
    rng = row_random(spec, split, seed, index, "surroundings")
    desk = _empty(rng, (width, height))
    corner = [
        GAP + round(part * (side - size - 2 * GAP)) for part, side, size in zip(place, desk.size, paper.image.size, strict=True)
    ]
    taken = [_lay(desk, paper.image, (corner[0], corner[1]))]
    annotations = [*_moved_annotations(paper, corner[0], corner[1])]
    for other, left, top in _others(rng, spec, split, paper.family, desk.size, taken):
        taken.append(_lay(desk, other.image, (left, top)))
        annotations += _moved_annotations(other, left, top)
    asked = tuple(
        _asked(question, paper.family, corner[0], corner[1]) for question in paper.questions if question.kind != "describe"
    )
    return Document(desk, asked, tuple(annotations), paper.family, paper.template, rng.randint(80, 92))


def _asked_about(rng: random.Random, spec: SynthSpec, split: str) -> tuple[Document, tuple[int, int]]:
    """The first paper drawn that fits on the smallest desk in some shape, and one of the shapes in which it does."""
    weights = {name: kind.weight for name, kind in KINDS.items()}
    while True:
        paper = draw_kind(rng, rng.choices(list(weights), list(weights.values()))[0], spec, split)
        width, height = (side + 2 * GAP for side in paper.image.size)
        fitting = [shape for shape in SHAPES if width <= _size(shape, SMALLEST)[0] and height <= _size(shape, SMALLEST)[1]]
        if fitting and any(question.evidence for question in paper.questions):
            return paper, rng.choice(fitting)


def _size(shape: tuple[int, int], longer: int) -> tuple[int, int]:
    """(width, height) in pixels of a desk of this shape."""
    across, down = shape
    return round(longer * across / max(shape)), round(longer * down / max(shape))


def _empty(rng: random.Random, size: tuple[int, int]) -> Image.Image:
    """A desk top: one colour that changes slowly, which costs a JPEG file little."""
    colour = [rng.randint(60, 190) for _ in range(3)]
    cells = Image.new("RGB", (12, 12))
    cells.putdata([tuple(level + shade for level in colour) for shade in (rng.randint(-14, 14) for _ in range(144))])
    return cells.resize(size, Image.Resampling.BICUBIC)


def _others(
    rng: random.Random, spec: SynthSpec, split: str, kind: str, size: tuple[int, int], taken: list[Box]
) -> Iterator[tuple[Document, int, int]]:
    """Papers of other kinds with their places, none over another, until a share `spec.covered` of the desk is; `taken` grows."""
    weights = {"crowded": _CROWDED, **{name: one.weight for name, one in KINDS.items()}}
    weights = {name: weight for name, weight in weights.items() if name != kind and name not in LIKE.get(kind, ())}
    misses = 0
    while misses < MISSES and sum(map(_area, taken)) < spec.covered * size[0] * size[1]:
        paper = draw_kind(rng, rng.choices(list(weights), list(weights.values()))[0], spec, split)
        place = _free_place(rng, paper.image.size, size, taken)
        misses = 0 if place else misses + 1
        if place:
            yield paper, *place


def _free_place(rng: random.Random, paper: tuple[int, int], desk: tuple[int, int], taken: list[Box]) -> tuple[int, int] | None:
    """A corner at which a paper lies clear of all others; None where none of the places tried is."""
    rooms = [side - size - GAP for side, size in zip(desk, paper, strict=True)]
    if min(rooms) < GAP:
        return None
    for _ in range(PLACES):
        left, top = (rng.randint(GAP, room) for room in rooms)
        box = left - GAP, top - GAP, left + paper[0] + GAP, top + paper[1] + GAP
        if not any(box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3] for other in taken):
            return left, top
    return None


def _lay(desk: Image.Image, paper: Image.Image, corner: tuple[int, int]) -> Box:
    """Put a paper on the desk, with the line of its edge around it; its box."""
    left, top = corner
    right, bottom = left + paper.width, top + paper.height
    ImageDraw.Draw(desk).rectangle((left - 1, top - 1, right, bottom), outline=(40, 40, 40))
    desk.paste(paper.convert("RGB"), corner)
    return left, top, right, bottom


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _asked(question: Question, kind: str, left: int, top: int) -> Question:
    """The question about the one paper of its kind."""
    text = f"On the {KINDS[kind].topic.thing}: {question.text}"
    return replace(question, text=text, evidence=tuple(_moved(box, left, top) for box in question.evidence))


def _moved_annotations(paper: Document, left: int, top: int) -> Iterator[TextAnnotation]:
    for one in paper.text_annotations:
        around = _moved(one.around, left, top) if one.around else None
        yield replace(one, box=_moved(one.box, left, top), around=around)


def _moved(box: Box, left: int, top: int) -> Box:
    return box[0] + left, box[1] + top, box[2] + left, box[3] + top
