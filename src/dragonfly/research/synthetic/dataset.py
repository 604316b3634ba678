"""A synthetic data set on the disk: images as JPEG files, questions as the rows of a manifest.

Its bytes depend on the options and package versions alone, not on the number of workers; the folder is complete or absent. An
index gives one view (a whole page, or its records as text) or several (close-ups of some of its cells).
"""

from __future__ import annotations

import io
import multiprocessing
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from math import isqrt
from pathlib import Path
from typing import Any, get_args

from PIL import Image

from dragonfly.files import atomic_directory
from dragonfly.vision.layout import Box

from .document import Drawn, make_image, row_random
from .document_questions import KINDS, Question, ask
from .document_spec import SPECS, SPLITS, Language, SynthSpec
from .documents import make_desk, make_document
from .documents.strips import cut_strips
from .draw_context import TextAnnotation
from .facts import FAMILIES, Fact, draw_family, make_facts

LICENCE = "MIT"
_FOLDER = "images"
_PER_FOLDER = 1000  # indices whose images share a folder
_CHUNK = 32  # indices that a worker takes at a time; of desks one, for each is seconds of work


@dataclass(frozen=True)
class DatasetOptions:
    """What to write.

    Args:
        spec: name of a specification.
        split: train, dev or test.
        n: number of indices; each is one page.
        seed: 0 or more.
        questions: `all` of an image, `one-per-kind`, or those of some of `KINDS` alone, with commas between.
        text_annotations: write one row per image, with its annotations, instead of one per question.
        language: `plain`, `natural` or `varied`; None is the specification's own.
        absent: the share that is kept of the questions about what is not in the image. A model that meets more of them than
            it is asked later says too often that something is not there.
    """

    spec: str
    split: str
    n: int
    seed: int
    questions: str = "all"
    text_annotations: bool = False
    language: Language | None = None
    absent: float = 1.0

    def __post_init__(self) -> None:
        if self.spec not in SPECS:
            from dragonfly.config import nearest

            raise ValueError(f"spec {nearest(self.spec, SPECS)}")
        if self.split not in SPLITS:
            raise ValueError(f"split '{self.split}' is not one of: {', '.join(SPLITS)}")
        if self.n < 1:
            raise ValueError(f"n is {self.n}; give at least 1 image")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; give 0 or more")
        if self.questions not in ("all", "one-per-kind") and not set(self.kinds) <= set(KINDS):
            raise ValueError(
                f"questions is '{self.questions}'; accepted: all, one-per-kind, or of {','.join(KINDS)} with commas between"
            )
        if self.text_annotations and SPECS[self.spec].text:
            raise ValueError(f"spec '{self.spec}' draws no images, so it has no text annotations; leave --text-annotations out")
        if self.language not in (None, *get_args(Language)):
            raise ValueError(f"language is '{self.language}'; accepted: {', '.join(get_args(Language))}")
        if not 0 <= self.absent <= 1:
            raise ValueError(f"absent is {self.absent:g}; give the share to keep, from 0 to 1")
        if self.text_annotations and (self.absent < 1 or self.questions != "all"):
            name, value = ("absent", f"{self.absent:g}") if self.absent < 1 else ("questions", f"'{self.questions}'")
            raise ValueError(
                f"{name} is {value}, and text annotations come one row per image, whatever is asked; leave --{name} out"
            )
        if self.language in ("plain", "varied") and SPECS[self.spec].documents:
            raise ValueError(f"spec '{self.spec}' is asked about in language natural alone; leave --language out")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the questions that are written."""
        return KINDS if self.questions in ("all", "one-per-kind") else tuple(self.questions.split(","))

    @property
    def drawn(self) -> SynthSpec:
        """The specification in the language that was asked for."""
        spec = SPECS[self.spec]
        return spec if self.language is None else replace(spec, language=self.language)


@dataclass(frozen=True)
class _Rendered:
    """An index ready to be written: JPEG files by name; of each asked view its number, its images' names, and the rest of it."""

    files: dict[str, bytes]
    views: list[tuple[int, tuple[str, ...], View]]


def write_dataset(plan: DatasetOptions, directory: str | Path, *, workers: int = 1) -> Path:
    """Write a data set into the new folder `directory`; the path of its `manifest.json`.

    ValueError where the folder exists and is not empty, or `workers` is below 1.
    """
    from dragonfly.data.manifest import write_manifest

    if workers < 1:
        raise ValueError(f"workers is {workers}; give at least 1")
    with atomic_directory(directory) as folder:
        rows = folder / "rows"  # a manifest of its own, moved up beside the images at the end
        with _rendered(plan, workers) as rendered:
            write_manifest(_samples(plan, rendered, folder, rows), rows)
        for file in rows.iterdir():
            file.rename(folder / file.name)
        rows.rmdir()
    return Path(directory) / "manifest.json"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _rendered(plan: DatasetOptions, workers: int) -> Iterator[Iterator[_Rendered]]:
    """An iterator over all indices in order, drawn by this process or several."""
    draw, chunk = partial(_render, plan), 1 if plan.drawn.desk else _CHUNK
    workers = min(workers, -(-plan.n // chunk))
    if workers == 1:
        yield map(draw, range(plan.n))
        return
    # Spawned, because the parent may have loaded torch, whose threads do not survive a fork.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield pool.imap(draw, range(plan.n), chunksize=chunk)


def _render(plan: DatasetOptions, index: int) -> _Rendered:
    spec, files, views = plan.drawn, {}, []
    for number, view in enumerate(make_views(spec, plan.split, plan.seed, index)):
        chance = row_random(spec, plan.split, plan.seed, index, f"absent {number}")
        asked = _asked(plan, view, chance)
        if not asked:  # no row would name its images
            continue
        names = tuple(f"{index // _PER_FOLDER:05d}/{index:07d}-{number}-{place}.jpg" for place in range(len(view.images)))
        for name, image in zip(names, view.images, strict=True):
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=view.quality)
            files[name] = buffer.getvalue()
        kept = replace(
            view,
            images=(),
            questions=asked,
            text_annotations=view.text_annotations if plan.text_annotations else (),
        )
        views.append((number, names, kept))
    return _Rendered(files, views)


def _asked(plan: DatasetOptions, view: View, chance: random.Random) -> tuple[Question, ...]:
    if plan.text_annotations:
        return view.questions[:1]
    asked = tuple(question for question in view.questions if question.kind != "absent" or chance.random() < plan.absent)
    if plan.questions != "one-per-kind":
        return tuple(question for question in asked if question.kind in plan.kinds)
    return tuple({question.kind: question for question in reversed(asked)}.values())


def _samples(plan: DatasetOptions, rendered: Iterator[_Rendered], folder: Path, rows: Path) -> Iterator[Any]:
    """The rows in order; the images of an index are written before its rows are yielded."""
    spec, asked = plan.drawn, False
    for index, item in enumerate(rendered):
        asked = asked or bool(item.views)
        for name, content in item.files.items():
            path = folder / _FOLDER / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for number, names, view in item.views:
            # Named under `rows`, though they lie beside it: so the manifest's paths hold once it has moved up.
            images = [str(rows / _FOLDER / name) for name in names]
            yield from _rows(plan, spec, f"{plan.spec}-{plan.split}-{plan.seed}-{index:07d}-{number}", images, view)
    if not asked:
        raise ValueError(
            f"questions is '{plan.questions}', and no page of spec '{spec.name}' that was drawn has one; take other kinds"
        )


def _rows(plan: DatasetOptions, spec: SynthSpec, name: str, loaded_images: list[str], view: View) -> Iterator[Any]:
    """A row per question; of text for training one row with a turn per question, so that the records occur once."""
    from dragonfly.data.sample import ImageRef, Sample

    images = tuple(ImageRef(path=path) for path in loaded_images)
    common: dict[str, Any] = {
        "family": view.family,
        "template": view.template,
        "split": plan.split,
        "spec": spec.name,
        "licence": LICENCE,
    }
    if spec.language != "plain":
        common["language"] = spec.language
    source = f"synthetic/{spec.name}"
    if spec.text and plan.split == "train":
        messages = [turn for number, question in enumerate(view.questions) for turn in _turns(view, question, number == 0, 0)]
        yield Sample(name, source, (), tuple(messages), (), common)
        return
    if plan.text_annotations:
        common["text_annotations"] = [asdict(annotation) for annotation in view.text_annotations]
    for number, question in enumerate(view.questions):
        meta = {
            "kind": question.kind,
            "form": question.form,
            "detail_px": question.detail_px,
            "about": [question.about],
            **common,
        }
        messages = _turns(view, question, True, len(images))
        evidence = (question.evidence,) if images else ()
        yield Sample(f"{name}-{number}", source, images, tuple(messages), evidence, meta)


def _turns(view: View, question: Question, first: bool, images: int) -> list[Any]:
    """The messages of question and answer; with the `first` question come the images or records."""
    from dragonfly.data.sample import Message, Part

    records = (Part("text", f"{view.records}\n"),) if first and view.records else ()
    asked = (*(Part("image") for _ in range(images)), *records, Part("text", question.text))
    return [Message("user", asked), Message("assistant", (Part("text", question.answer),))]


@dataclass(frozen=True)
class View:
    """An image, or none where the records are text, with its questions and annotations. Boxes are in pixels of this image."""

    images: tuple[Image.Image, ...]
    questions: tuple[Question, ...]
    text_annotations: tuple[TextAnnotation, ...]
    family: str
    template: str
    quality: int = 0
    records: str = ""


def make_views(spec: SynthSpec, split: str, seed: int, index: int) -> list[View]:
    """The views of an index: one, or all close-ups of its page."""
    if spec.text:
        return [_as_text(spec, split, seed, index)]
    if spec.documents:
        page = (make_desk if spec.desk else make_document)(spec, split, seed, index)
        if spec.close:
            rng = row_random(spec, split, seed, index, "close")
            strips = cut_strips(rng, page.image, page.questions, page.text_annotations, spec.close)
            return [
                View((strip.image,), strip.questions, strip.text_annotations, page.family, page.template, page.quality)
                for strip in strips
            ]
        return [View((page.image,), page.questions, page.text_annotations, page.family, page.template, page.quality)]
    drawn = make_image(spec, split, seed, index)
    if spec.close:
        return list(_close_ups(drawn, spec, split, row_random(spec, split, seed, index, "close")))
    return [View((drawn.image,), drawn.questions, drawn.text_annotations, drawn.family, drawn.template, drawn.quality)]


def _as_text(spec: SynthSpec, split: str, seed: int, index: int) -> View:
    """Facts as lines "key value" in random order, under a line with the family's name."""
    rng = row_random(spec, split, seed, index)
    name = draw_family(rng)
    family = FAMILIES[name]
    facts, absent = make_facts(rng, family, split, rng.randint(*spec.facts))
    capitals = not family.shapes and rng.random() < 0.5
    lines = [f"{fact.key.capitalize() if capitals else fact.key} {fact.value}" for fact in rng.sample(facts, len(facts))]
    questions = ask(rng, facts, absent, family, split, language=spec.language)
    return View((), questions, (), name, "lines", records="\n".join([family.thing, *lines]))


def _close_ups(drawn: Drawn, spec: SynthSpec, split: str, rng: random.Random) -> Iterator[View]:
    """Close-ups of `close` cells each, from all cells of the page in random order; one without facts is left out."""
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
        questions = ask(rng, facts, absent, family, split, whole=False, language=spec.language)
        text_annotations = tuple(
            _moved(annotation, tile)
            for tile in tiles
            for annotation in drawn.text_annotations
            if _inside(annotation.box, tile.source)
        )
        yield View((_montage(drawn.image, tiles),), questions, text_annotations, drawn.family, drawn.template, drawn.quality)


@dataclass(frozen=True)
class Tile:
    """A crop of the page, as (left, top, right, bottom), and the (x, y) of its corner in the close-up, in pixels."""

    source: tuple[int, int, int, int]
    at: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        return self.source[2] - self.source[0], self.source[3] - self.source[1]

    def move(self, box: Box) -> Box:
        """A box of the page in pixels of the close-up, cut to the tile."""
        (left, top), (width, height) = self.source[:2], self.size
        cut = max(0, box[0] - left), max(0, box[1] - top), min(width, box[2] - left), min(height, box[3] - top)
        return cut[0] + self.at[0], cut[1] + self.at[1], cut[2] + self.at[0], cut[3] + self.at[1]


def _tiles(cells: Sequence[tuple[int, int, int, int]]) -> list[Tile]:
    """Arrange the cells in a square, cut to the size of the smallest, because cells differ by a pixel."""
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
