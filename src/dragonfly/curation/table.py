"""Samples as a table of Parquet parts: the manifest's columns, and beside them the numbers that the steps compare.

Rows keep the order in which they were read, within and across parts. Images stay outside: a row holds their paths and keys.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from dragonfly.data import Sample
from dragonfly.data.parquet import from_row, import_pyarrow, schema, to_table

from .hashing import Indices, joined, normalised, number

PART_ROWS = 16_384


@dataclass(frozen=True)
class Table:
    """The parts of one folder. `facts` is the Parquet file of the images' facts, one row per image path.

    Columns beside the manifest's: `row` (place in reading order), `origin` (the mix's name of the source), `key` (what stands
    in the row, for drawing), `question` (hash of the instruction), `groups` (keys), `image_keys`, `image_key`
    (all of these as one; 0 without images), `fault` (why an image of it cannot be used), `split` (train or eval).
    """

    folder: Path
    facts: Path

    @property
    def parts(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.parquet"))

    @cached_property
    def rows(self) -> int:
        pq = import_pyarrow().parquet
        return sum(pq.read_metadata(part).num_rows for part in self.parts)

    def read(self, *columns: str) -> Any:
        """These columns of all rows as one Arrow table."""
        pa = import_pyarrow()
        tables = [pa.parquet.read_table(part, columns=list(columns), use_threads=False) for part in self.parts]
        return pa.concat_tables(tables).combine_chunks()

    def batches(self, *columns: str) -> Iterator[Any]:
        """The same, part by part; all columns where none are named."""
        pq = import_pyarrow().parquet
        return (pq.read_table(part, columns=list(columns) or None, use_threads=False) for part in self.parts)

    def numbers(self, column: str) -> Any:
        """A column of numbers as a numpy array."""
        return self.read(column)[column].to_numpy()

    def lists(self, column: str) -> tuple[Indices, Any]:
        """A column of lists as (index of the row, value), one per value."""
        values = self.read(column)[column].combine_chunks()
        counts = np.diff(values.offsets.to_numpy().astype(np.int64))
        return np.repeat(np.arange(len(counts)), counts), np.asarray(values.flatten())


def table_schema() -> Any:
    pa = import_pyarrow()
    numbers = pa.list_(pa.uint64())
    extra = [
        ("row", pa.int64()),
        ("origin", pa.string()),
        ("key", pa.uint64()),
        ("question", pa.uint64()),
        ("groups", numbers),
        ("image_keys", numbers),
        ("image_key", pa.uint64()),
        ("fault", pa.string()),
        ("split", pa.string()),
    ]
    return pa.schema([*schema(), *(pa.field(name, kind) for name, kind in extra)])


def rows_of(samples: Sequence[Sample], first_row: int, origins: Sequence[str]) -> Any:
    """Samples as rows of the table; the keys of their images are added later."""
    pa = import_pyarrow()
    count = len(samples)
    columns = {
        "row": pa.array(range(first_row, first_row + count), pa.int64()),
        "origin": pa.array(origins, pa.string()),
        "groups": pa.array([group_keys(sample) for sample in samples], pa.list_(pa.uint64())),
        "image_keys": pa.array([[] for _ in samples], pa.list_(pa.uint64())),
        "image_key": pa.array([0] * count, pa.uint64()),
        "fault": pa.nulls(count, pa.string()),
        "split": pa.array(["train"] * count),
        **text_columns(samples),
    }
    return _complete(to_table(samples), columns)


def samples_of(table: Any) -> list[Sample]:
    """The rows of an Arrow table with the manifest's columns."""
    return [from_row(row) for row in table.select(schema().names).to_pylist()]


def with_samples(table: Any, samples: Sequence[Sample]) -> Any:
    """The table with other text in its rows: as many samples, on the same images."""
    kept = {name: table[name] for name in table_schema().names if name not in schema().names}
    return _complete(to_table(samples), {**kept, **text_columns(samples)})


def text_columns(samples: Sequence[Sample]) -> dict[str, Any]:
    """`key` and `question` of each sample."""
    pa = import_pyarrow()
    keys = [number(sample.source, sample.id, *(f"{m.role} {m.text}" for m in sample.messages)) for sample in samples]
    return {
        "key": pa.array(keys, pa.uint64()),
        "question": pa.array([number(question(sample)) for sample in samples], pa.uint64()),
    }


def question(sample: Sample) -> str:
    """The instruction: all text that the model is given, system message included, in normal form."""
    return normalised("\n".join(message.text for message in sample.messages if message.role != "assistant"))


def group_keys(sample: Sample) -> list[int]:
    """Keys of the patients or documents of its images; the source is part of a key, as two sets may both have a patient 17."""
    named = sorted({image.group for image in sample.images if image.group is not None})
    if not named and sample.meta.get("group") is not None:
        named = [str(sample.meta["group"])]
    return [number("group", sample.source, group) for group in named]


def image_columns(images: list[list[int]]) -> dict[str, Any]:
    """The columns `image_keys` and `image_key` from the keys of each row's images."""
    pa = import_pyarrow()
    return {
        "image_keys": pa.array(images, pa.list_(pa.uint64())),
        "image_key": pa.array([joined(keys) for keys in images], pa.uint64()),
    }


def replaced(table: Any, columns: dict[str, Any]) -> Any:
    """The table with some columns exchanged."""
    return _complete(table, columns)


def _complete(table: Any, columns: dict[str, Any]) -> Any:
    pa = import_pyarrow()
    names = table_schema().names
    arrays = [columns[name] if name in columns else table[name] for name in names]
    return pa.table(dict(zip(names, arrays, strict=True)), schema=table_schema())


def write_part(table: Any, path: Path) -> None:
    import_pyarrow().parquet.write_table(table, path, compression="zstd", row_group_size=2048)
