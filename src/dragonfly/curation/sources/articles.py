"""Captioned figures of open-access medical articles: MedICaT and ROCO."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dragonfly.data import BadSample, ImageRef, Sample

from .rows import captioned, converted, found, table_rows, text
from .source import Row, Source


def _medicat(folder: Path) -> Iterator[Row]:
    def to_sample(row: dict[str, Any], _: Path) -> Sample:
        article, figure = text(row, "pdf_hash"), text(row, "fig_uri")
        image = ImageRef(path=str(folder / "figures" / f"{article}_{figure}"), group=f"s2:{article}")
        licence = _below(row, "oa_info", "oa", "license") or "not stated"
        meta = {"subset": str(row["predicted_type"])} if row.get("predicted_type") else {}
        return captioned(text(row, "s2_caption", "s2orc_caption"), image, "figure", licence=f"{licence}; non-commercial", **meta)

    return converted(found(folder, "*.jsonl"), folder, to_sample)


def _below(row: dict[str, Any], *keys: str) -> Any:
    """The value below these keys, None where one of them is not there."""
    value: Any = row
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _roco(folder: Path) -> Iterator[Row]:
    root = folder / "data/train/radiology"
    listed = _licences(found(root, "licences.txt")[0])

    def to_sample(row: dict[str, Any], _: Path) -> Sample:
        known = listed.get(row["id"])
        if known is None:
            raise BadSample("unknown-image", f"{row['id']!r} is not in licences.txt")
        image = ImageRef(path=str(_roco_image(root / "images", known)), group=f"pmc:{known['PMC_ID'].split('_')[0]}")
        return captioned(text(row, "caption"), image, "radiology", licence=known["CC"], native_id=row["id"])

    captions = found(root, "captions.txt")
    return converted(captions, folder, to_sample, rows=lambda file: table_rows(file, delimiter="\t", fields=("id", "caption")))


def _licences(path: Path) -> dict[str, dict[str, str]]:
    """ROCO_ID -> its line. A damaged line is left out here, and its caption is named as an unknown image."""
    rows = [row for row in table_rows(path) if not isinstance(row, BadSample)]
    if not rows or not {"ROCO_ID", "PMC_ID", "CC"} <= rows[0].keys():
        raise ValueError(f"{path} is not ROCO's list with the columns ROCO_ID,PMC_ID,CC; fetch it again")
    return {row["ROCO_ID"]: row for row in rows}


def _roco_image(images: Path, known: dict[str, str]) -> Path:
    """Named by the article's own file, as the data set's script does, or by ROCO's id, as mirrors do."""
    by_id = images / f"{known['ROCO_ID']}.jpg"
    return by_id if by_id.is_file() else images / known["PMC_ID"]


MEDICAT = Source(
    name="medicat",
    title="MedICaT",
    url="https://github.com/allenai/medicat",
    licence="each article's own (in its row); the data set for non-commercial use",
    layout=(
        "*.jsonl with {pdf_hash, fig_uri, s2_caption, s2orc_caption, predicted_type, oa_info: {oa: {license}}, ...}; the image "
        "is figures/<pdf_hash>_<fig_uri>, the group is the article, predicted_type the subset."
    ),
    rows=_medicat,
    domain="biomedical",
    modality="mixed",
    form="caption",
    paper_rows=217_000,
    paper_place="appendix C.2: 217,000 images",
    published_rows=217_060,
    published_place="data set's page",
    images=217_060,
)

ROCO = Source(
    name="roco",
    title="ROCO (radiology, training split)",
    url="https://github.com/razorx89/roco-dataset",
    licence="each image's own (licences.txt, in its row)",
    layout=(
        "data/train/radiology/captions.txt (id, tab, caption), licences.txt (ROCO_ID,PMC_ID,CC) and images/, where an image "
        "bears its PMC_ID or its ROCO_ID with .jpg; the group is the article. The out-of-class images and the other splits "
        "are not read."
    ),
    rows=_roco,
    domain="biomedical",
    modality="radiology",
    form="caption",
    paper_rows=70_308,
    paper_place="appendix C.7: 70,308 training images",
    images=70_308,
)
