"""Successes and failures of a run, each with its image and where the model looked, as Figures 2 and 3 of the paper.

Promises a choice that nobody made by hand: within the right and within the wrong replies the order is that of a hash of the
question's id (graded metrics: best first, worst first), one question per image. The same predictions give the same examples.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from dragonfly.files import sha256
from dragonfly.imaging import load_image
from dragonfly.visualization.zoom import draw_zoom

from ..layout_json import layout_of
from ..questions import Question
from ..run import predictions_of
from ..scoring import item_scores, read_records
from ..tasks import TASKS, find_task, folder_of, read_questions
from .blocks import Block, Drawing, Example, Heading, Text
from .runs import Run

IMAGE, ZOOM = 320, 640  # pixels: the longest side of an image, the width of a drawing of where the model looked
QUALITY = 80

CHOICE = (
    "Chosen by a hash of the question's id, one per image; by score first where the score is graded. "
    "Framed: the regions and the sub-images that the language model was given; dark: left out."
)


def examples(name: str, runs: Sequence[Run], count: int) -> list[Block]:
    """Up to `count` successes and as many failures of the first run, with the replies of the others to the same questions."""
    records = [predictions_of(run.folder, name) for run in runs]
    right, wrong, metric = choose(name, records[0], count)
    if not right and not wrong:
        return []
    images = _Images(name, runs[0])
    blocks: list[Block] = [Heading(3, "Successes and failures"), Text(f"By {metric} of the first run. {CHOICE}")]
    for verdict, chosen in (("right", right), ("wrong", wrong)):
        for index, score in chosen:
            replies = [_reply(run.label, rows[index]) for run, rows in zip(runs, records, strict=True)]
            drawings, note = images.drawn(records[0][index])
            record = records[0][index]
            said = verdict if score in (0, 1) else f"{metric} {100 * score:.1f}"
            gold = record["answers"]
            blocks.append(Example(said, record["id"], record["prompt"], gold, replies, drawings, note))
    return blocks


def choose(
    task: str, records: Sequence[dict[str, Any]], count: int
) -> tuple[list[tuple[int, float]], list[tuple[int, float]], str]:
    """(successes, failures, metric): places and scores of up to `count` replies above 0, and of as many below 1."""
    questions, replies = read_records(list(records))
    found = item_scores(find_task(task).metrics, questions, replies)
    if found is None:
        return [], [], ""
    metric, scores = found
    asked = [index for index, reply in enumerate(replies) if reply is not None]
    by_hash = sorted(asked, key=lambda index: sha256(questions[index].id.encode()))
    right = _one_per_image([i for i in sorted(by_hash, key=lambda i: -scores[i]) if scores[i] > 0], questions, count, set())
    taken = set(right)
    wrong = _one_per_image([i for i in sorted(by_hash, key=lambda i: scores[i]) if scores[i] < 1], questions, count, taken)
    return [(i, scores[i]) for i in right], [(i, scores[i]) for i in wrong], metric


def _one_per_image(order: Sequence[int], questions: Sequence[Question], count: int, taken: set[int]) -> list[int]:
    chosen: dict[str, int] = {}
    for index in order:
        if index not in taken:
            chosen.setdefault(questions[index].group, index)
    return list(chosen.values())[:count]


def _reply(label: str, record: dict[str, Any]) -> tuple[str, str, float | None]:
    return label, record.get("reply", f"could not be asked: {record.get('error')}"), record.get("confidence")


class _Images:
    """The images of a run's questions: from the files that its predictions name, else from the task's data."""

    def __init__(self, task: str, run: Run) -> None:
        self.task, self.run = task, run
        self.data: dict[str, Question] | None = None

    def drawn(self, record: dict[str, Any]) -> tuple[list[Drawing], str]:
        """The first image and where the model looked on it, and what a reader should know of them."""
        if not record["images"]:
            return [], "asked without an image"
        try:
            image = load_image(self._source(record)).image
        except ValueError as error:
            return [], f"no image: {error}"
        small = image.copy()
        small.thumbnail((IMAGE, IMAGE), Image.Resampling.LANCZOS)
        drawings, note = [_jpeg(small, "the image")], ""
        if len(record["images"]) > 1:
            note = f"the first of {len(record['images'])} images"
        if views := record.get("views"):
            layout, kept, scores = layout_of(views[0])
            if layout.size != (image.height, image.width):
                return drawings, "the image is no longer the one that was asked about"
            drawings.append(_jpeg(draw_zoom(image, layout, kept, scores, width=ZOOM), "where the model looked"))
        return drawings, note

    def _source(self, record: dict[str, Any]) -> str | bytes:
        named = record["images"][0]
        if Path(named).is_file():
            return named
        if self.data is None:
            self.data = self._read()
        known = self.data.get(record["id"])
        if known is None or not known.images:
            raise ValueError(f"{named} is not at hand")
        return known.images[0]

    def _read(self) -> dict[str, Question]:
        """The questions of the data that the run names; none where they are no longer there."""
        try:
            task = find_task(self.task)
            folder = folder_of(task, self.run.settings["data"]) if self.task in TASKS else Path()
            return {question.id: question for question in read_questions(task, folder)}
        except (ValueError, OSError):
            return {}


def _jpeg(image: Image.Image, alt: str) -> Drawing:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY, optimize=True)
    return Drawing(file.getvalue(), "image/jpeg", alt)
