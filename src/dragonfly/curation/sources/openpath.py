"""OpenPath: pathology images and words from Twitter and LAION. Only post ids are public, so the layout is ours."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dragonfly.data import ImageRef, Sample

from .rows import captioned, converted, found, table_rows, text
from .source import Row, Source


def _rows(folder: Path) -> Iterator[Row]:
    def to_sample(row: dict[str, Any], _: Path) -> Sample:
        group = f"post:{row['post']}" if row.get("post") else None
        meta = {"subset": row["part"]} if row.get("part") else {}
        return captioned(text(row, "caption"), ImageRef(path=str(folder / text(row, "image")), group=group), "pathology", **meta)

    return converted(found(folder, "openpath.csv"), folder, to_sample, rows=table_rows)


OPENPATH = Source(
    name="openpath",
    title="OpenPath",
    url="https://github.com/PathologyFoundation/plip",
    licence="not stated; the posts' own terms",
    layout=(
        "openpath.csv with the columns image (relative to the folder) and caption and, if there, part (tweet, reply or "
        "pathlaion: the subset) and post (the group). The publishers give post ids, not images and words; this layout is "
        "ours, for what those ids were resolved to (not confirmed against any release)."
    ),
    rows=_rows,
    domain="biomedical",
    modality="pathology",
    form="caption",
    paper_rows=208_414,
    paper_place="appendix C.4: 116,504 + 59,869 + 32,041 pairs",
    published_rows=208_414,
    published_place="data set's page",
)
