"""A data set on the disk: images as JPEG files, questions as the rows of a manifest.

Promises that the files' bytes depend on (spec, split, seed, count, options) and package versions alone, never on the
number of workers, and that the folder is whole or absent.
"""

from __future__ import annotations

import io
import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from dragonfly.files import atomic_directory

from .document_questions import Question
from .document_spec import SPECS, SPLITS, SynthSpec
from .views import View, make_views

LICENCE = "MIT"
_FOLDER = "images"
_PER_FOLDER = 1000  # indices whose images share a folder
_CHUNK = 32  # indices that a worker takes at a time


@dataclass(frozen=True)
class DatasetOptions:
    """What to write. `text_annotations` writes one row per image, with its text_annotations, instead of one per question."""

    spec: str
    split: str
    n: int
    seed: int
    questions: Literal["all", "one-per-kind"] = "all"
    text_annotations: bool = False

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
        if self.questions not in ("all", "one-per-kind"):
            raise ValueError(f"questions is '{self.questions}'; accepted: all, one-per-kind")
        if self.text_annotations and SPECS[self.spec].text:
            raise ValueError(f"spec '{self.spec}' draws no images, so it has no text annotations; leave text annotations out")


@dataclass(frozen=True)
class _Rendered:
    """One index, ready to be written: encoded images by name, and the views without their images."""

    files: dict[str, bytes]
    views: list[tuple[tuple[str, ...], View]]


def write_dataset(plan: DatasetOptions, directory: str | Path, *, workers: int = 1) -> Path:
    """Draw what the plan says into the new folder `directory`; the path of its `manifest.json`.

    ValueError where the folder exists and is not empty, or `workers` is below 1.
    """
    from dragonfly.data.manifest import write_manifest

    if workers < 1:
        raise ValueError(f"workers is {workers}; give at least 1")
    with atomic_directory(directory) as folder:
        rows = folder / "rows"  # written as a manifest of its own, then moved up beside the images
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
    """All indices in order, drawn by this process or by several."""
    draw, workers = partial(_render, plan), min(workers, -(-plan.n // _CHUNK))
    if workers == 1:
        yield map(draw, range(plan.n))
        return
    # Spawned, not forked: the parent has loaded torch, whose threads do not survive a fork.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield pool.imap(draw, range(plan.n), chunksize=_CHUNK)


def _render(plan: DatasetOptions, index: int) -> _Rendered:
    spec, files, views = SPECS[plan.spec], {}, []
    for number, view in enumerate(make_views(spec, plan.split, plan.seed, index)):
        names = tuple(f"{index // _PER_FOLDER:05d}/{index:07d}-{number}-{place}.jpg" for place in range(len(view.images)))
        for name, image in zip(names, view.images, strict=True):
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=view.quality)
            files[name] = buffer.getvalue()
        kept = replace(
            view, images=(), questions=_asked(plan, view), text_annotations=view.text_annotations if plan.text_annotations else ()
        )
        views.append((names, kept))
    return _Rendered(files, views)


def _asked(plan: DatasetOptions, view: View) -> tuple[Question, ...]:
    if plan.text_annotations:
        return view.questions[:1]
    if plan.questions == "all":
        return view.questions
    return tuple({question.kind: question for question in reversed(view.questions)}.values())


def _samples(plan: DatasetOptions, rendered: Iterator[_Rendered], folder: Path, rows: Path) -> Iterator[Any]:
    """The rows in order; an index's images are written before its rows are given."""
    spec = SPECS[plan.spec]
    for index, item in enumerate(rendered):
        for name, content in item.files.items():
            path = folder / _FOLDER / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for number, (names, view) in enumerate(item.views):
            # Named under `rows`, though they lie beside it: so the manifest's paths hold once it has moved up.
            images = [str(rows / _FOLDER / name) for name in names]
            yield from _rows(plan, spec, f"{plan.spec}-{plan.split}-{plan.seed}-{index:07d}-{number}", images, view)


def _rows(plan: DatasetOptions, spec: SynthSpec, name: str, loaded_images: list[str], view: View) -> Iterator[Any]:
    """A row per question; of text to train on, one row with a turn per question, because the records are said once."""
    from dragonfly.data.sample import ImageRef, Sample

    images = tuple(ImageRef(path=path) for path in loaded_images)
    common: dict[str, Any] = {
        "family": view.family,
        "template": view.template,
        "split": plan.split,
        "spec": spec.name,
        "licence": LICENCE,
    }
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
    """Question and answer; the first question carries the images or the records."""
    from dragonfly.data.sample import Message, Part

    records = (Part("text", f"{view.records}\n"),) if first and view.records else ()
    asked = (*(Part("image") for _ in range(images)), *records, Part("text", question.text))
    return [Message("user", asked), Message("assistant", (Part("text", question.answer),))]
