"""One HTML file that needs nothing else: tables, plots, and examples of right and wrong replies with their images.

Text of the data, of the model or of a file's name is shown as text: jinja2 escapes it (`page.html.jinja`), and the page's own
policy forbids anything from elsewhere and all scripts but its own. Examples are chosen by a rule, as Figures 2 and 3 of the paper
are not: within
the right and within the wrong replies by a hash of the question's id (graded metrics: best first, worst first), one question per
image. The same run folders give the same bytes. Needs matplotlib.
"""

import io
import re
from base64 import b64encode
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from dragonfly.files import check_suffix, sha256, write_text
from dragonfly.imaging import load_image
from dragonfly.inference.words import SURENESS, sureness
from dragonfly.visualization import html_page as pages
from dragonfly.visualization.zoom import draw_zoom

from ..layout_json import layout_of
from ..question import Question
from ..run import predictions_of
from ..scoring import item_scores, read_records
from ..tasks import TASKS, find_task, folder_of, read_questions
from . import plots
from .document import Art, Block, Drawing, Example, Gallery, Heading, Text, page
from .runs import Run

IMAGE, ZOOM = 640, 640  # pixels: the longest side of an image, the width of a drawing of where the model looked
QUALITY = 80
SURE = SURENESS[0][0]  # from there on a wrong answer is one that nothing warns of

CHOICE = "Chosen by a hash of the question's id, one per image; by score first where the score is graded."


def write_html(
    runs: Sequence[Run],
    path: Path,
    comparison: dict[str, Any] | None = None,
    *,
    with_reported: bool = False,
    examples: int = 4,
) -> None:
    """Write the page of `runs` to `path`, with up to `examples` right and as many wrong replies of each task.

    `comparison` is `compare` of the same runs, where there are several. ValueError without matplotlib, before anything is read or
    drawn, for fewer than 0 examples, and for a path that is not named .html.
    """
    plots.require()
    check_suffix(path, (".html", ".htm"))
    if examples < 0:
        raise ValueError(f"examples is {examples}; give 0 or more of each kind")
    art = Art(
        scores=lambda name, runs: [plots.scores_plot(name, [(run.label, run.scores[name]) for run in runs])],
        breakdown=_Breakdowns(),
        calibration=lambda name, run: [plots.calibration_plot(name, run.scores[name])],
        examples=partial(example_blocks, count=examples),
    )
    write_text(path, _render(page(runs, comparison, with_reported=with_reported, art=art)))


class _Breakdowns:
    """Breakdowns as plots, what their marks mean under the first one alone."""

    def __init__(self) -> None:
        self.explained = False

    def __call__(self, name: str, key: str, run: Run) -> list[Block]:
        drawn = plots.breakdown_plot(name, key, run.scores[name])
        known, self.explained = self.explained, True
        return [drawn] if known else [drawn, Text(plots.KEY)]


def _render(blocks: Sequence[Block]) -> str:
    filters = {"base64": lambda data: b64encode(data).decode(), "facts": _facts, "parted": _parted}
    shown = [(type(block).__name__, block) for block in blocks]
    return pages.render("dragonfly.evaluation", "report", "page.html.jinja", filters=filters, blocks=shown)


def _parted(cell: str) -> tuple[str, str]:
    """A number and what stands behind it, which is shown in grey: `30.0 [17.1, 46.2]`; (the cell, "") where it is no number."""
    match = re.fullmatch(r"(-?[\d,]*\.?\d+%?)(?:\s+(.*))?", cell, re.DOTALL)
    return (match[1], match[2] or "") if match else (cell, "")


def _facts(example: Example) -> list[tuple[str, str]]:
    """What stands below an example's heading, by name."""
    facts = [("question", example.question), ("gold", " | ".join(example.answers))]
    for run, reply, confidence in example.replies:
        suffix = "" if confidence is None else f"  ({sureness(confidence)})"
        facts.append((f"answer, {run}" if len(example.replies) > 1 else "answer", f"{reply or '(empty)'}{suffix}"))
    return [*facts, ("note", example.note)] if example.note else facts


def example_blocks(name: str, runs: Sequence[Run], count: int) -> list[Block]:
    """Up to `count` right and as many wrong replies of the first run, with the other runs' replies to the same questions."""
    if not count:
        return []
    records = [predictions_of(run.folder, name) for run in runs]
    right, wrong, metric = choose(name, records[0], count)
    if not right and not wrong:
        return []
    images = _Images(name, runs[0])
    found: list[Example] = []
    for verdict, chosen in (("right", right), ("wrong", wrong)):
        for index, score in chosen:
            replies = [_reply(run.label, rows[index]) for run, rows in zip(runs, records, strict=True)]
            drawings, note = images.drawn(records[0][index])
            record = records[0][index]
            title = verdict if score in (0, 1) else f"{metric} {100 * score:.1f}"
            sure = verdict == "wrong" and (replies[0][2] or 0) >= SURE
            kind = "wrong and sure" if sure else verdict
            found.append(Example(kind, title, record["id"], record["prompt"], record["answers"], replies, drawings, note))
    about = f"By {metric.replace('_', ' ')}{' of the first run' if len(runs) > 1 else ''}. {CHOICE}"
    return [Heading(3, "Gallery: right and wrong"), Text(about), Gallery(found)]


def choose(
    task: str, records: Sequence[dict[str, Any]], count: int
) -> tuple[list[tuple[int, float]], list[tuple[int, float]], str]:
    """(right, wrong, metric): (index, score) of up to `count` replies that score above 0, and of as many below 1."""
    questions, replies = read_records(list(records))
    scored = item_scores(find_task(task).metrics, questions, replies)
    if scored is None:
        return [], [], ""
    metric, scores = scored
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
        """The first image and where the model looked on it; and a note on what is missing or left out, empty without."""
        if not record["images"]:
            return [], "asked without an image"
        try:
            image = load_image(self._source(record)).image
        except ValueError as error:
            return [], f"no image: {error}"
        small = image.copy()
        small.thumbnail((IMAGE, IMAGE), Image.Resampling.LANCZOS)
        note = ""
        if len(record["images"]) > 1:
            note = f"the first of {len(record['images'])} images"
        if views := record.get("views"):
            layout, kept, scores = layout_of(views[0])
            if layout.size != (image.height, image.width):
                return [_jpeg(small, "the image")], "the image is no longer the one that was asked about"
            return [_jpeg(draw_zoom(image, layout, kept, scores, width=ZOOM), "where the model looked")], note
        return [_jpeg(small, "the image")], note

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
            settings = self.run.settings
            task = find_task(self.task, settings.get("columns"), settings.get("image_root"))
            folder = folder_of(task, self.run.settings["data"]) if self.task in TASKS else Path()
            return {question.id: question for question in read_questions(task, folder) if isinstance(question, Question)}
        except (ValueError, OSError):
            return {}


def _jpeg(image: Image.Image, alt: str) -> Drawing:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY, optimize=True)
    return Drawing(file.getvalue(), "image/jpeg", alt)
