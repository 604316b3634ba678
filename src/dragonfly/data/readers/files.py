"""Rows out of .csv, .tsv, .json, .jsonl and .parquet files, one at a time where the format allows.

Promises to name the file that cannot be read. A damaged line of a .jsonl file is one bad row, not the end.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import BadSample
from ..parquet import import_pyarrow
from .delimited import FIRST_ROW, read_delimited

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
TABLES = (".csv", ".tsv")

_BATCH_ROWS = 256


def numbered_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """The file's rows in order, each with its number: from 0, in a .csv or .tsv as a spreadsheet counts (the head is 1)."""
    for number, row in enumerate(file_rows(path), start=FIRST_ROW if path.suffix.lower() in TABLES else 0):
        if row is not None:
            yield number, row


def file_rows(path: Path) -> Iterator[Any]:
    """The file's rows in order; what cannot be a row comes as the `BadSample` that says so, an empty row of a table as None."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"cannot read {path}; accepted: {', '.join(SUFFIXES)}")
    if suffix in TABLES:
        return read_delimited(path).rows()
    if suffix == ".jsonl":
        return _jsonl_rows(path)
    return _parquet_rows(path) if suffix == ".parquet" else _json_rows(path)


def _jsonl_rows(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, or nested without end
                    yield BadSample("not-json", str(error))


def _json_rows(path: Path) -> Iterator[Any]:
    try:
        rows = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}; a file with one object per line is named .jsonl") from None
    if not isinstance(rows, list):
        raise ValueError(f"{path} holds a {type(rows).__name__}; expected a list of rows")
    yield from rows


def _parquet_rows(path: Path) -> Iterator[Any]:
    pyarrow = import_pyarrow()
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path} is not readable Parquet: {error}; fetch or write it again") from None
