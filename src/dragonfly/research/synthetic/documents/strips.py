"""Strips of a page, some high sub-images wide and one high, around what a question is about.

Key and value stand in one row, at times at both margins. A language model learns on strips to go along a row, at the scale at
which it later reads whole pages, before it must also find the row.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from PIL import Image

from dragonfly.vision.layout import Box

from ..document_questions import Question
from ..draw_context import TextAnnotation

GRIDS = ((9, 4), (6, 6), (4, 9))
"""(rows, cols) of high sub-images on whole pages, of which a strip shows some of one row."""
STRIPS = 4  # of a page at most
ABSENT = 2  # questions of a strip at most about what the page does not have
FORMS = ("most", "least")  # of comparisons, about a whole column
MARGIN = 2.0  # pixels around what is asked about


@dataclass(frozen=True)
class Strip:
    """An image with the questions that it answers; boxes are in its pixels."""

    image: Image.Image
    questions: tuple[Question, ...]
    text_annotations: tuple[TextAnnotation, ...]


def cut_strips(
    rng: random.Random, image: Image.Image, questions: tuple[Question, ...], annotations: tuple[TextAnnotation, ...], wide: int
) -> Iterator[Strip]:
    """Strips of a page, `wide` sub-images each, around a question drawn from those that one could hold."""
    rows, cols = min(GRIDS, key=lambda grid: max(ratio := image.width * grid[0] / (image.height * grid[1]), 1 / ratio))
    size = min(image.width, round(wide * image.width / cols)), round(image.height / rows)
    asked = [question for question in questions if question.evidence and _of_a_strip(question)]
    absent = [question for question in questions if not question.evidence and _of_a_strip(question)]
    for question in rng.sample(asked, len(asked))[:STRIPS]:
        area = _placed(rng, _around(question.evidence), size, image.size)
        if area is None:
            continue
        inside = [other for other in asked if all(_inside(box, area) for box in other.evidence)]
        chosen = [*inside, *rng.sample(absent, min(ABSENT, len(absent)))]
        rng.shuffle(chosen)
        yield Strip(
            image.crop(area),
            tuple(replace(one, evidence=tuple(_moved(box, area) for box in one.evidence)) for one in chosen),
            tuple(
                replace(one, box=_moved(one.box, area), around=_moved(one.around, area) if one.around else None)
                for one in annotations
                if _inside(one.box, area)
            ),
        )


def _of_a_strip(question: Question) -> bool:
    """Whether a strip can answer it: not about all of a page, nor about a column whose head stands elsewhere."""
    whole = question.kind in ("count", "describe") or question.form in FORMS
    return not whole and not question.form.startswith("cell")


def _around(boxes: tuple[Box, ...]) -> Box:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _placed(rng: random.Random, box: Box, size: tuple[int, int], page: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """A strip somewhere around a box; None where the box does not fit."""
    corner: list[int] = []
    for axis in (0, 1):
        low = max(0, int(box[axis + 2] + MARGIN) + 1 - size[axis])
        high = min(page[axis] - size[axis], int(box[axis] - MARGIN))
        if low > high:
            return None
        corner.append(rng.randint(low, high))
    return corner[0], corner[1], corner[0] + size[0], corner[1] + size[1]


def _inside(box: Box, area: tuple[int, int, int, int]) -> bool:
    return area[0] <= box[0] and area[1] <= box[1] and box[2] <= area[2] and box[3] <= area[3]


def _moved(box: Box, area: tuple[int, int, int, int]) -> Box:
    return box[0] - area[0], box[1] - area[1], box[2] - area[0], box[3] - area[1]
