"""The two captioning sets of bioCaption, training splits: IU X-Ray and Peir Gross."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dragonfly.data import ImageRef, Sample

from .rows import captioned, converted, found, table_rows, text
from .source import Row, Source


def _rows(images: str, style: str, group: Callable[[str], str | None]) -> Callable[[Path], Iterator[Row]]:
    def read(folder: Path) -> Iterator[Row]:
        def to_sample(row: dict[str, Any], _: Path) -> Sample:
            name = text(row, "image")
            return captioned(text(row, "caption"), ImageRef(path=str(folder / images / name), group=group(name)), style)

        def rows(file: Path) -> Iterator[Any]:
            return table_rows(file, delimiter="\t", fields=("image", "caption"))

        return converted(found(folder, "train_images.tsv"), folder, to_sample, rows=rows)

    return read


IU_XRAY = Source(
    name="iu-xray",
    title="IU X-Ray (bioCaption's training split)",
    url="https://github.com/nlpaueb/bioCaption",
    licence="not stated",
    layout=(
        "train_images.tsv (image's name, tab, impression and findings), images in iu_xray_images/, named "
        "CXR<report>_IM-...png; the group is the report."
    ),
    rows=_rows("iu_xray_images", "chest-xray-report", lambda name: f"iu-xray:{name.split('_')[0]}"),
    domain="biomedical",
    modality="chest-xray",
    form="caption",
    paper_rows=6_698,
    paper_place="appendix C.11 and table 7",
    images=6_698,
)

PEIR_GROSS = Source(
    name="peir-gross",
    title="Peir Gross (bioCaption's training split)",
    url="https://github.com/nlpaueb/bioCaption",
    licence="not stated",
    layout="train_images.tsv (image's name, tab, caption), images in peir_gross_images/. No group.",
    rows=_rows("peir_gross_images", "gross-pathology", lambda _: None),
    domain="biomedical",
    modality="gross-pathology",
    form="caption",
    paper_rows=5_172,
    paper_place="appendix C.12 and table 7",
    images=5_172,
)
