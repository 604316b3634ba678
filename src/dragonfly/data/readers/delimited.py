"""Rows of a table written as text, as spreadsheets and pandas write it: .csv with commas or semicolons, .tsv with tabs.

Encoding and separator are found, not asked for: UTF-8 or UTF-16 with or without a mark, else Windows-1252; the separator that the
head holds most of. A cell in quotes may hold separators and line ends. Promises to name the row that cannot be read.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BadSample

FIRST_ROW = 2
"""The first row below the head as a spreadsheet counts it."""

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_NAMES = {"utf-8-sig": "UTF-8", "utf-8": "UTF-8", "utf-16": "UTF-16", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class Delimited:
    """A table in memory: its columns, the rows of cells below them, and how it was written, in words."""

    path: Path
    columns: list[str]
    cells: list[list[str]]
    written: str

    def rows(self) -> Iterator[Any]:
        """{column: cell} of every row; of too few or too many cells the `BadSample` that says so, of an empty one None."""
        for cells in self.cells:
            if not any(cell.strip() for cell in cells):
                yield None
            elif len(cells) != len(self.columns):
                yield BadSample(
                    "ragged-row",
                    f"{len(cells)} cells, the head has {len(self.columns)}; put a cell that holds the separator in quotes",
                )
            else:
                yield dict(zip(self.columns, cells, strict=True))


def read_delimited(path: Path) -> Delimited:
    """ValueError naming the file where it has no head, two columns of one name, or is no text."""
    text, encoding = _decoded(path)
    separator = "\t" if path.suffix.lower() == ".tsv" else ""
    first, _, rest = text.partition("\n")
    if first.strip().lower().startswith("sep=") and len(first.strip()) == 5:  # a line that Excel writes for itself
        separator, text = first.strip()[4], rest
    separator = separator or _separator(text)
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise ValueError(f"{path} is not a table of text ({error}); a quote inside a cell in quotes is written twice") from None
    head = next((number for number, cells in enumerate(table) if any(cell.strip() for cell in cells)), None)
    if head is None:
        raise ValueError(f"{path} is empty; its first line names the columns, such as image,question,answer")
    columns = [cell.strip() for cell in table[head]]
    while columns and not columns[-1] and all(len(cells) < len(columns) or not cells[len(columns) - 1] for cells in table[head:]):
        columns.pop()  # a separator at the end of every line
        table = [cells[: len(columns)] for cells in table]
    if double := next((name for name in columns if columns.count(name) > 1), None):
        raise ValueError(f"{path} has two columns named {double!r}; give each its own name")
    how = f"{_NAMES.get(encoding, 'Windows-1252')}, separated by {_SEPARATORS.get(separator, repr(separator))}"
    return Delimited(path, columns, table[head + 1 :], how)


def _decoded(path: Path) -> tuple[str, str]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from None
    encodings = [name for mark, name in _MARKS if data.startswith(mark)] or [*_unmarked_utf16(data), "utf-8", "cp1252"]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text, encoding
    raise ValueError(f"{path} is not text in UTF-8, UTF-16 or Windows-1252; save it as CSV in UTF-8")


def _unmarked_utf16(data: bytes) -> list[str]:
    """UTF-16 without its mark: in Latin text every other byte is zero."""
    head = data[:400]
    if head.count(0) * 3 < len(head):
        return []
    return ["utf-16-be" if head[0::2].count(0) > head[1::2].count(0) else "utf-16-le"]


def _separator(text: str) -> str:
    """The separator of which the first line holds most outside quotes; a comma where it holds none."""
    line, quoted = "", False
    for letter in text.lstrip("\r\n"):
        if letter == '"':
            quoted = not quoted
        elif letter == "\n" and not quoted:
            break
        elif not quoted:
            line += letter
    return max(_SEPARATORS, key=line.count) if any(map(line.count, _SEPARATORS)) else ","
