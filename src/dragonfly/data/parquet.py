"""Samples as Parquet columns and back, and nothing else: no paths are resolved and no files are opened here.

pyarrow comes with the `train` extra (through datasets) and is imported only when used.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from dragonfly.installation import install_advice
from dragonfly.vision.layout import Box

from .sample import ImageRef, Message, Part, Sample


def import_pyarrow() -> Any:
    """The pyarrow module with its parquet part loaded; ValueError in one line where it is absent."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ValueError(f"pyarrow is not installed, and Parquet needs it; install it with: {install_advice('train')}") from None
    return pyarrow


def schema() -> Any:
    """The manifest's columns; `meta` is JSON text because its keys are free."""
    pa = import_pyarrow()
    image = pa.struct([("path", pa.string()), ("bytes", pa.binary()), ("group", pa.string()), ("view", pa.string())])
    part = pa.struct([("type", pa.string()), ("text", pa.string())])
    return pa.schema(
        [
            ("id", pa.string()),
            ("source", pa.string()),
            ("images", pa.list_(image)),
            ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.list_(part))]))),
            ("evidence", pa.list_(pa.list_(pa.list_(pa.float64())))),
            ("meta", pa.string()),
        ]
    )


def to_table(samples: Sequence[Sample]) -> Any:
    """One table with `schema`'s columns, a row per sample."""
    return import_pyarrow().Table.from_pylist([_to_row(sample) for sample in samples], schema=schema())


def _to_row(sample: Sample) -> dict[str, Any]:
    row = asdict(sample)
    row.pop("place")
    row["meta"] = json.dumps(sample.meta, sort_keys=True, ensure_ascii=False)
    return row


def from_row(row: dict[str, Any]) -> Sample:
    """A row of `to_table(...).to_pylist()` as the sample it was."""
    return Sample(
        id=row["id"],
        source=row["source"],
        images=tuple(ImageRef(**image) for image in row["images"]),
        messages=tuple(
            Message(message["role"], tuple(Part(**part) for part in message["content"])) for message in row["messages"]
        ),
        evidence=tuple(tuple(_box(box) for box in boxes) for boxes in row["evidence"]),
        meta=json.loads(row["meta"]),
    )


def _box(values: Sequence[float]) -> Box:
    left, top, right, bottom = values
    return left, top, right, bottom
