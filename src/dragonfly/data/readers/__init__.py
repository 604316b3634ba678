"""Other people's data as samples: one dialect, one row function; one door, `read`.

Promises one result per row, a `Sample` or a `BadRow`, in order, with nothing dropped between. Images are named
here, never opened: a broken one shows when it is decoded.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dragonfly.imaging import image_file

from ..errors import BadRow, BadSample
from ..manifest import NAME, Manifest, is_url
from ..sample import Sample, validate
from .files import data_files, file_rows
from .rows import message_row, question_row, released_row, turn_row

__all__ = ["FORMATS", "read"]

RowFunction = Callable[[dict[str, Any], Path | None], Sample]

FORMATS: dict[str, RowFunction] = {
    "llava": turn_row,
    "sharegpt": turn_row,
    "openai": message_row,
    "released": released_row,
    "question": question_row,
}


def read(source: Any, format: str = "auto", image_root: str | Path | None = None) -> Iterator[Sample | BadRow]:
    """Every row of `source` as a valid `Sample` or as a `BadRow` that says why not.

    `source` is a .json, .jsonl or .parquet file, a folder of them, a manifest, or a Hugging Face dataset (map-style or
    streaming; any iterable of dicts will do). `format` is `auto` (told from each row's keys), `manifest`, or a key of
    `FORMATS`. Image paths start at `image_root`, by default the file's own folder, and stay inside it. ValueError at once when
    the source or the format is not known.
    """
    if format not in (*FORMATS, "auto", "manifest"):
        raise ValueError(f"unknown format {format!r}; accepted: auto, manifest, {', '.join(FORMATS)}")
    root = None if image_root is None else Path(image_root)
    if not isinstance(source, str | Path):
        if not isinstance(source, Iterable) or isinstance(source, Mapping | bytes):
            raise ValueError(f"cannot read a {type(source).__name__}; give a path or a dataset with rows (one split)")
        return _read_dataset(source, format, root)
    path = Path(source)
    if format == "manifest" or (format == "auto" and _is_manifest(path)):
        return _read_manifest(Manifest.open(path))
    return _read_files(data_files(path), format, root)


def _is_manifest(path: Path) -> bool:
    return path.name == NAME or (path / NAME).is_file()


def _read_manifest(manifest: Manifest) -> Iterator[Sample | BadRow]:
    for sample in manifest:
        yield _checked(sample, sample.place or (str(manifest.path), 0))


def _read_files(files: list[Path], format: str, root: Path | None) -> Iterator[Sample | BadRow]:
    for file in files:
        for number, row in enumerate(file_rows(file)):
            yield _converted(row, format, root or file.parent, (str(file), number), file.stem)


def _read_dataset(dataset: Iterable[Any], format: str, root: Path | None) -> Iterator[Sample | BadRow]:
    name = str(getattr(dataset, "builder_name", None) or "dataset")
    for number, row in enumerate(_undecoded(dataset)):
        yield _converted(row, format, root, (name, number), name)


def _undecoded(dataset: Any) -> Iterable[Any]:
    """A Hugging Face dataset with its images left as encoded bytes, which keeps them exact and cheap to carry."""
    features = getattr(dataset, "features", None)
    if not features:
        return dataset
    from datasets import Image, List

    for column, feature in features.items():
        if isinstance(feature, Image):
            dataset = dataset.cast_column(column, Image(decode=False))
        elif isinstance(feature, List) and isinstance(feature.feature, Image):
            dataset = dataset.cast_column(column, List(Image(decode=False)))
    return dataset


def _converted(row: Any, format: str, root: Path | None, place: tuple[str, int], source: str) -> Sample | BadRow:
    try:
        if isinstance(row, BadSample):
            raise row
        if not isinstance(row, dict):
            raise BadSample("not-a-row", f"{type(row).__name__}; each row is an object with named fields")
        sample = FORMATS[_dialect(row) if format == "auto" else format](row, root)
    except BadSample as error:
        return BadRow(*place, error.reason, error.detail)
    named = replace(sample, id=sample.id or f"{source}-{place[1]}", source=sample.source or source, place=place)
    return _checked(named, place)


def _dialect(row: dict[str, Any]) -> str:
    """The format of a row from its fields; released rows hold a templated string or name their image image_url."""
    if row.get("messages") is not None:
        return "openai"
    if isinstance(row.get("conversations"), str) or "image_url" in row:
        return "released"
    if row.get("conversations") is not None:
        return "llava"
    if "question" in row and "answer" in row:
        return "question"
    fields = ", ".join(map(str, row)) or "none"
    legal = "conversations, messages, or question and answer"
    raise BadSample("unknown-format", f"fields: {fields}; expected {legal}, or name the format")


def _checked(sample: Sample, place: tuple[str, int]) -> Sample | BadRow:
    try:
        validate(sample)
        for image in sample.images:
            # Path.is_file raises on a name that is too long.
            if image.path is not None and not is_url(image.path) and not os.path.isfile(image_file(image.path)):  # noqa: PTH113
                raise BadSample("missing-image", f"no file {image.path[:300]}; check image_root")
    except BadSample as error:
        return BadRow(*place, error.reason, error.detail)
    return sample
