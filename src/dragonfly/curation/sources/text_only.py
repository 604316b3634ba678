"""Text without images: OpenHermes 2.5 and MathInstruct. They keep the language model's own skills alive."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from dragonfly.data import Sample
from dragonfly.data.readers.rows import turn_row

from .rows import asked, converted, found, text
from .source import Row, Source


def _openhermes(folder: Path) -> Iterator[Row]:
    def to_sample(row: dict[str, Any], _: Path) -> Sample:
        sample = turn_row({"conversations": row.get("conversations")}, None)
        return replace(sample, meta={"subset": row["source"]} if isinstance(row.get("source"), str) else {})

    return converted(found(folder, "openhermes2_5.json"), folder, to_sample)


def _mathinstruct(folder: Path) -> Iterator[Row]:
    def to_sample(row: dict[str, Any], _: Path) -> Sample:
        return asked(text(row, "instruction"), text(row, "output"), (), subset=str(row.get("source")))

    return converted(found(folder, "MathInstruct.json"), folder, to_sample)


OPENHERMES = Source(
    name="openhermes",
    title="OpenHermes 2.5",
    url="https://huggingface.co/datasets/teknium/OpenHermes-2.5",
    licence="not stated",
    layout=(
        "openhermes2_5.json: a list of {conversations: [{from: system | human | gpt, value}], source, ...}; source becomes the "
        "subset. The file (1.9 GB) is read into memory whole."
    ),
    rows=_openhermes,
    domain="general",
    modality="text",
    form="conversation",
    published_rows=1_001_551,
    published_place="rows on the hub",
)

MATHINSTRUCT = Source(
    name="mathinstruct",
    title="MathInstruct",
    url="https://huggingface.co/datasets/TIGER-Lab/MathInstruct",
    licence="MIT",
    layout="MathInstruct.json: a list of {instruction, output, source}; source becomes the subset.",
    rows=_mathinstruct,
    domain="general",
    modality="text",
    form="qa",
    published_rows=262_000,
    published_place="rows on the hub, rounded",
)
