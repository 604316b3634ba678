"""What the step `leak` compares with: a data source's own test split, a manifest or data file, or a folder of benchmarks.

Only images, groups and questions of an evaluation set matter here, so a folder of benchmarks is read in whatever layout it has:
every image in it, as a file or inside a Parquet file, and every question that a Parquet row holds. A Parquet file named train is
no evaluation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragonfly.data import ImageRef, Message, Part, Sample, count_bad, read
from dragonfly.data.manifest import NAME
from dragonfly.data.readers.files import SUFFIXES, file_rows
from dragonfly.data.readers.images import image_ref
from dragonfly.imaging import IMAGE_SUFFIXES

from ..image_hashes import Facts, describe
from ..options import TEST
from .base import Job

_QUESTIONS = ("question", "query", "problem", "text")


@dataclass(frozen=True)
class EvaluationSet:
    """`own` is the data source whose test split it is (None: another set); `unreadable` counts what could not be compared."""

    own: str | None
    samples: list[Sample]
    facts: list[Facts]
    unreadable: int


def open_set(entry: str, job: Job) -> EvaluationSet:
    """The evaluation set that `entry` names. ValueError when there is none, or a file's image cannot be opened.

    A test split may lack some images (their publishers take some down): these are counted, and nobody is asked about them either.
    """
    own = entry.removeprefix(TEST) if entry.startswith(TEST) else None
    if own is not None:
        rows = list(job.held_out[own]())
        samples = [row for row in rows if isinstance(row, Sample)]
        if not samples:
            raise ValueError(f"leak: the test split of {own} has no usable row: {rows[0] if rows else 'it is empty'}")
    else:
        rows = samples = _read(entry)
    described = [describe(one.source, one.seen) for one in dict.fromkeys(image for sample in samples for image in sample.images)]
    faults = [fact.fault for fact in described if fact.fault]
    if faults and own is None:
        raise ValueError(f"leak: an evaluation image cannot be compared: {faults[0]}")
    facts = [fact for fact in described if not fact.fault]
    return EvaluationSet(own, samples, facts, len(rows) - len(samples) + len(faults))


def _read(path: str) -> list[Sample]:
    place = Path(path)
    if "://" not in path and not place.exists():
        raise ValueError(f"leak: no file or folder {path}; give the evaluation set's manifest or file in `against`")
    if not place.is_dir() or (place / NAME).is_file() or any(f.suffix.lower() in SUFFIXES for f in place.iterdir()):
        return count_bad(read(path), 0.0)[0]
    samples = [sample for file in sorted(place.rglob("*")) if file.is_file() for sample in _benchmark(file)]
    if not samples:
        raise ValueError(f"leak: {path} holds no image and no Parquet file; give the folder of the benchmarks")
    return samples


def _benchmark(file: Path) -> Iterator[Sample]:
    if file.name.lower().endswith(IMAGE_SUFFIXES):
        yield Sample("", "benchmark", images=(ImageRef(path=str(file)),), messages=())
    elif file.suffix.lower() == ".parquet" and not file.name.startswith("train"):
        for row in file_rows(file):
            yield _row(row)


def _row(row: Any) -> Sample:
    """All images and the question of a row, whatever their columns are called."""
    fields = row if isinstance(row, dict) else {}
    values = [value for field in fields.values() for value in (field if isinstance(field, list) else [field])]
    images: list[ImageRef] = []
    for value in values:
        if isinstance(value, dict) and isinstance(value.get("bytes"), bytes):
            images.append(image_ref(value, None))
    question = next((fields[key] for key in _QUESTIONS if isinstance(fields.get(key), str)), "")
    return Sample("", "benchmark", images=tuple(images), messages=(Message("user", (Part("text", question),)),))
