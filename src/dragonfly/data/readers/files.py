"""Rows out of .csv, .tsv, .json, .jsonl and .parquet files, one at a time where the format allows.

Promises to name the file that cannot be read. A damaged line of a .jsonl file is one bad row, not the end.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import BadSample
from ..parquet import import_pyarrow
from .delimited import FIRST_ROW, read_delimited

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
TABLES = (".csv", ".tsv")

_BATCH_ROWS = 256
_MAX_DEPTH = 100
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def numbered_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """The file's rows in order, each with its number: from 0, in a .csv or .tsv as a spreadsheet counts (the head is 1)."""
    for number, row in enumerate(file_rows(path), start=FIRST_ROW if path.suffix.lower() in TABLES else 0):
        if row is not None:
            yield number, row


def file_rows(path: Path) -> Iterator[Any]:
    """The file's rows in order; what cannot be a row, or could not be written again, comes as the `BadSample` that says so.

    An empty row of a table comes as None.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"cannot read {path}; accepted: {', '.join(SUFFIXES)}")
    if suffix in TABLES:
        return read_delimited(path).rows()
    rows = _jsonl_rows(path) if suffix == ".jsonl" else _parquet_rows(path) if suffix == ".parquet" else _json_rows(path)
    return (BadSample("too-deep", f"nested more than {_MAX_DEPTH} deep") if _is_too_deep(row) else row for row in rows)


def _is_too_deep(row: Any) -> bool:
    """Whether `row` has more levels than code that follows it recursively (copies, hashes, writers) can be trusted with."""
    level = [row]
    for _ in range(_MAX_DEPTH):
        nested = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        if not nested:
            return False
        level = [value for values in nested for value in values]
    return True


def _jsonl_rows(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or nested without end
                    yield BadSample("not-json", str(error))
                else:
                    yield _as_text(row) if _SURROGATE.search(line) else row


def _json_rows(path: Path) -> Iterator[Any]:
    data = path.read_bytes()
    try:
        rows = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}; a file with one object per line is named .jsonl") from None
    if not isinstance(rows, list):
        raise ValueError(f"{path} holds a {type(rows).__name__}; expected a list of rows")
    yield from map(_as_text, rows) if _SURROGATE.search(data) else rows


def _as_text(row: Any) -> Any:
    """The row, unless its text holds half a surrogate pair, which JSON can spell and no text file or table can hold."""
    try:
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        return BadSample("not-text", f"half a surrogate pair, {error.object[error.start]!a}")
    except RecursionError:  # too deep, which is said of it elsewhere
        pass
    return row


def _parquet_rows(path: Path) -> Iterator[Any]:
    pyarrow = import_pyarrow()
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} is not readable Parquet: {error}; fetch or write it again") from None
