"""Which column of somebody's table is the image, the question and the answer: a short list of names, or what the user says.

Names are compared without regard to case, and a blank or a hyphen counts as an underscore. Of two columns that could play a part,
the one whose name stands first in the list does; the other stays what it is, a further field of the row.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from dragonfly.config import nearest
from dragonfly.imaging import IMAGE_SUFFIXES

from ..errors import BadSample

NAMES: dict[str, tuple[str, ...]] = {
    "image": (
        "image",
        "images",
        "image_path",
        "img_path",
        "img",
        "image_file",
        "image_name",
        "file_name",
        "filename",
        "file",
        "path",
    ),
    "question": ("question", "query", "prompt", "instruction"),
    "answer": ("answer", "label", "response", "output", "target"),
    "answers": ("answers",),
    "options": ("options", "choices"),
    "group": ("group", "patient", "patient_id", "subject_id"),
    "id": ("id", "question_id", "qid"),
}
"""The parts that a column may play, and the names by which it is recognised, first choice first."""

HINT = "--columns image=COLUMN,question=COLUMN,answer=COLUMN"


def parts_of(columns: Sequence[str], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """{part: column} of the columns that play one. `given` overrules the list of names; it may name columns in any case.

    ValueError where `given` names a part or a column that there is not.
    """
    by_name: dict[str, str] = {}
    for column in columns:
        by_name.setdefault(_folded(column), column)
    parts: dict[str, str] = {}
    for part, column in (given or {}).items():
        if part not in NAMES:
            raise ValueError(f"columns: {nearest(part, NAMES)}")
        if _folded(column) not in by_name:
            raise ValueError(f"columns: there is no column {column!r} for {part}; the columns are {', '.join(columns)}")
        parts[part] = by_name[_folded(column)]
    for part, names in NAMES.items():
        free = (by_name[name] for name in names if name in by_name and by_name[name] not in parts.values())
        if part not in parts and (column := next(free, None)) is not None:
            parts[part] = column
    return parts


def check_table(place: str, columns: Sequence[str], first: Mapping[str, Any] | None, given: Mapping[str, str] | None) -> None:
    """ValueError in one line, with the columns seen and the mapping to write, unless a table's columns can be asked and answered.

    `first` is the table's first row: a column of image names that is not taken for one would be left out in silence.
    """
    parts = parts_of(columns, given)
    lacking = [part for part in ("question", "answer") if part not in parts and not (part == "answer" and "answers" in parts)]
    unused = [column for column in columns if column not in parts.values()]
    if "image" not in parts:
        held = (column for column in unused if str((first or {}).get(column, "")).lower().endswith(IMAGE_SUFFIXES))
        if (column := next(held, None)) is not None:
            lacking.append("image")
            unused.remove(column)
            parts["image"] = column
    if lacking:
        chosen = {part: parts.get(part, "COLUMN") for part in ("image", "question", "answer")}
        given_as = ",".join(f"{part}={column}" for part, column in chosen.items())
        in_recipe = ", ".join(f"{part}: {column}" for part, column in chosen.items())
        missing = " or ".join(lacking) if len(lacking) < 3 else "image, question or answer"
        raise ValueError(
            f"{place} has the columns {', '.join(columns)}; none is recognised as {missing}: say which it is, --columns "
            f"{shlex.quote(given_as)}, or in a recipe columns: {{{in_recipe}}}"
        )


def named(row: Mapping[str, Any], given: Mapping[str, str] | None) -> dict[str, Any]:
    """The row under our names: parts first, the columns that play none as they are. Lists may be written as text."""
    parts = parts_of(list(map(str, row)), _present(row, given))
    playing = {column: part for part, column in parts.items()}
    fields = {playing.get(str(column), str(column)): value for column, value in row.items()}
    for part in ("answers", "options"):
        if part in fields:
            fields[part] = _listed(fields[part])
    return fields


def _present(row: Mapping[str, Any], given: Mapping[str, str] | None) -> dict[str, str] | None:
    """What is given, less what this row lacks: rows of JSON need not hold every field."""
    if given is None:
        return None
    here = {_folded(str(column)) for column in row}
    return {part: column for part, column in given.items() if _folded(column) in here}


def _listed(value: Any) -> list[str]:
    """`["a", "b"]`, the same as text, or `a | b`; of VQA's {"answer": ...} the answers. Nothing is an empty list."""
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            try:
                value = json.loads(text)
            except ValueError:
                raise BadSample("bad-list", f'{text[:60]!r} is not a JSON list; write ["a", "b"] or a | b') from None
        else:
            value = [piece.strip() for piece in text.split("|")] if text else []
    if value is None:
        return []
    items = value if isinstance(value, list | tuple) else [value]
    return [str(item.get("answer", item)) if isinstance(item, Mapping) else str(item) for item in items]


def parse_columns(text: str) -> dict[str, str]:
    """`question=Frage,answer=Antwort` -> {"question": "Frage", "answer": "Antwort"}. ValueError for anything else."""
    pairs = [piece.partition("=") for piece in text.split(",")]
    if not all(part.strip() and equals and column.strip() for part, equals, column in pairs):
        raise ValueError(f"columns {text!r} is not PART=COLUMN,...; the parts are {', '.join(NAMES)}")
    given = {part.strip(): column.strip() for part, _, column in pairs}
    if wrong := next((part for part in given if part not in NAMES), None):
        raise ValueError(f"columns: {nearest(wrong, NAMES)}")
    return given


def _folded(name: str) -> str:
    return "_".join(name.strip().lower().replace("-", " ").split())
