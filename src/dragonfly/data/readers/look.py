"""What a source is, before its rows are read: how it is written, its columns, and which of them play which part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ..manifest import NAME
from .columns import parts_of
from .delimited import read_delimited
from .files import TABLES, numbered_rows
from .folders import CLASS_QUESTION, class_rows, members
from .huggingface import is_saved


@dataclass(frozen=True)
class Look:
    """`written` in words; {part: column}, and the columns that play none. Both are empty where the format has no columns."""

    written: str
    parts: dict[str, str]
    others: tuple[str, ...]


def look(path: str, split: str | None = None, columns: Mapping[str, str] | None = None) -> Look:
    """A look at a file or folder, or the name of a data set of the hub (`readers.locate` says which), for a person."""
    place = Path(path)
    if not place.exists() or (place.is_dir() and is_saved(place)):
        kind = "saved data set" if place.exists() else "data set of the Hugging Face hub"
        return Look(f"{kind}{f', split {split}' if split else ''}", {}, ())
    if place.name == NAME or (place / NAME).is_file():
        return Look("manifest", {}, ())
    files, classes = ([place], None) if place.is_file() else members(place, split)
    if classes is not None:
        names = next(class_rows(classes))["options"]
        listed = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        return Look(f"{len(names)} class folders ({listed}); each image is asked: {CLASS_QUESTION}", {}, ())
    first = files[0]
    written = f"{first.suffix.lstrip('.').upper()}{f', {len(files)} files' if len(files) > 1 else ''}"
    head: Any
    if first.suffix.lower() in TABLES:
        table = read_delimited(first)
        written, head = f"{written}, {table.written}", table.columns
    else:
        row = next((row for _, row in islice(numbered_rows(first), 1)), None)
        head = list(map(str, row)) if isinstance(row, dict) else []
    if {"messages", "conversations", "image_url"} & set(head):
        return Look(f"{written}, conversations", {}, ())
    parts = parts_of(head, columns)
    return Look(written, parts, tuple(column for column in head if column not in parts.values()))
