"""Other people's data as samples: one dialect, one row function; one door, `read`.

Promises one result per row, a `Sample` or a `BadRow`, in order, with nothing dropped between but the empty rows of a table.
Images are named here, never opened: a broken one shows when it is decoded.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dragonfly.imaging import image_exists

from ..errors import BadRow, BadSample
from ..manifest import NAME, Manifest, is_url
from ..sample import Sample, validate
from .columns import HINT, check_table, named, parse_columns, parts_of
from .files import SUFFIXES, TABLES, numbered_rows
from .folders import CLASS_QUESTION, class_rows, members
from .huggingface import from_hub, is_hub_name, is_saved, saved, undecoded
from .rows import message_row, question_row, released_row, turn_row

__all__ = ["FORMATS", "locate", "parse_columns", "parts_of", "read"]

RowFunction = Callable[[dict[str, Any], Path | None], Sample]

FORMATS: dict[str, RowFunction] = {
    "llava": turn_row,
    "sharegpt": turn_row,
    "openai": message_row,
    "released": released_row,
    "question": question_row,
}


@dataclass(frozen=True)
class _How:
    """What a caller says of the rows: their format, where images lie, which column plays which part."""

    format: str
    root: Path | None
    columns: Mapping[str, str] | None


def read(
    source: Any,
    format: str = "auto",
    image_root: str | Path | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    split: str | None = None,
) -> Iterator[Sample | BadRow]:
    """Every row of `source` as a valid `Sample` or as a `BadRow` that says why not.

    `source` is a .csv, .tsv, .json, .jsonl or .parquet file, a folder of them, of images with a metadata file, or of one folder
    per class; what `save_to_disk` wrote, a data set of the hub (OWNER/NAME), a manifest, or a Hugging Face dataset (map-style or
    streaming; any iterable of dicts will do). `PATH:SPLIT` names a split, as `split` does. `format` is `auto` (told from each
    row's fields), `manifest`, or a key of `FORMATS`. `columns` maps parts of a question (`columns.NAMES`) to names of columns.
    Relative image paths start at `image_root`, by default the file's own folder, and stay inside it. ValueError at once when
    the source or the format is not known, or a table's columns are not recognised.
    """
    if format not in (*FORMATS, "auto", "manifest"):
        raise ValueError(f"unknown format {format!r}; accepted: auto, manifest, {', '.join(FORMATS)}")
    parts_of([*(columns or {}).values()], columns)  # names a wrong part before anything is opened
    how = _How(format, None if image_root is None else Path(image_root), columns)
    if not isinstance(source, str | Path):
        if not isinstance(source, Iterable) or isinstance(source, Mapping | bytes):
            raise ValueError(f"cannot read a {type(source).__name__}; give a path or a dataset with rows (one split)")
        return _read_dataset(source, how)
    name, split = locate(source, split)
    path = Path(name)
    if not path.exists():
        if not is_hub_name(name):
            raise ValueError(f"no file or folder {name}; give the data file's path")
        return _read_dataset(from_hub(name, split), how, name)
    if format == "manifest" or (format == "auto" and _is_manifest(path)):
        return _read_manifest(Manifest.open(path))
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise ValueError(f"cannot read {path}; accepted: {', '.join(SUFFIXES)}, a folder of them, or a manifest")
        return _read_files([path], how)
    if is_saved(path):
        return _read_dataset(saved(path, split), how, path.absolute().name)
    files, classes = members(path, split)
    return _read_files(files, how) if classes is None else _read_classes(classes, how)


def locate(source: str | Path, split: str | None = None) -> tuple[str, str | None]:
    """(path or hub name, split) of `PATH:SPLIT`; the source and the split as given where nothing is named behind a colon."""
    text = str(source)
    before, colon, after = text.rpartition(":")
    if colon and after and not Path(text).exists() and (Path(before).is_dir() or is_hub_name(before)):
        return before, after
    return text, split


def _is_manifest(path: Path) -> bool:
    return path.name == NAME or (path / NAME).is_file()


def _read_manifest(manifest: Manifest) -> Iterator[Sample | BadRow]:
    for sample in manifest:
        yield _checked(sample, sample.place or (str(manifest.path), 0))


def _read_files(files: list[Path], how: _How) -> Iterator[Sample | BadRow]:
    for file in files:
        is_table = file.suffix.lower() in (*TABLES, ".parquet") or file.stem.lower() == "metadata"
        for position, (number, row) in enumerate(numbered_rows(file)):
            if position == 0 and is_table and isinstance(row, dict) and _dialect(row, how) in ("question", "unknown"):
                check_table(str(file), list(row), row, how.columns)
            yield _converted(row, how, file.parent, (str(file), number), file.stem)


def _read_classes(folder: Path, how: _How) -> Iterator[Sample | BadRow]:
    for number, row in enumerate(class_rows(folder)):
        yield _converted(row, replace(how, columns=None), folder, (str(folder), number), folder.absolute().name)


def _read_dataset(dataset: Iterable[Any], how: _How, name: str = "") -> Iterator[Sample | BadRow]:
    name = name or str(getattr(dataset, "builder_name", None) or "dataset")
    rows = undecoded(dataset)
    for number, row in enumerate(rows):
        asked = _class_question(row, rows, how)
        is_table = number == 0 and isinstance(asked, dict) and getattr(dataset, "features", None)
        if is_table and _dialect(asked, how) in ("question", "unknown"):
            check_table(name, list(asked), asked, how.columns)
        yield _converted(asked, how, None, (name, number), Path(name).name)


def _class_question(row: Any, rows: Any, how: _How) -> Any:
    """A row of images and class labels, without a question, as the question that a class folder asks."""
    labels = getattr(rows, "class_columns", ())
    parts = parts_of(list(row), how.columns) if labels and isinstance(row, dict) else {}
    if "question" in parts or parts.get("answer") not in labels:
        return row
    return {**row, "question": CLASS_QUESTION, "options": rows.names[parts["answer"]]}


def _converted(row: Any, how: _How, folder: Path | None, place: tuple[str, int], source: str) -> Sample | BadRow:
    try:
        if isinstance(row, BadSample):
            raise row
        if not isinstance(row, dict):
            raise BadSample("not-a-row", f"{type(row).__name__}; each row is an object with named fields")
        dialect = _dialect(row, how)
        if dialect == "unknown":
            fields = ", ".join(map(str, row)) or "none"
            legal = "conversations, messages, or question and answer"
            raise BadSample("unknown-format", f"fields: {fields}; expected {legal}, or say which is which: {HINT}")
        if dialect == "question":
            sample = question_row(named(row, how.columns), how.root or folder, own=how.root is None)
        else:
            sample = FORMATS[dialect](row, how.root or folder)
    except BadSample as error:
        return BadRow(*place, error.reason, error.detail)
    return _checked(replace(sample, id=sample.id or f"{source}-{place[1]}", source=sample.source or source, place=place), place)


def _dialect(row: dict[str, Any], how: _How) -> str:
    """The format of a row from its fields; released rows hold a templated string or name their image image_url."""
    if how.format != "auto":
        return how.format
    if row.get("messages") is not None:
        return "openai"
    if isinstance(row.get("conversations"), str) or "image_url" in row:
        return "released"
    if row.get("conversations") is not None:
        return "llava"
    parts = parts_of(list(map(str, row)))
    parts.update(how.columns or {})
    return "question" if "question" in parts and ("answer" in parts or "answers" in parts) else "unknown"


def _checked(sample: Sample, place: tuple[str, int]) -> Sample | BadRow:
    try:
        validate(sample)
        for image in sample.images:
            if image.path is not None and not is_url(image.path) and not image_exists(image.path):
                raise BadSample("missing-image", f"no file {image.path[:300]}; check image_root")
    except BadSample as error:
        return BadRow(*place, error.reason, error.detail)
    return sample
