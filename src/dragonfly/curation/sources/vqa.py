"""Medical question answering, training splits: VQA-RAD, SLAKE, Path-VQA."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dragonfly.data import BadSample, ImageRef, Sample
from dragonfly.data.readers.images import image_ref

from .rows import asked, converted, found, text
from .source import Row, Source


def _parquet(folder: Path) -> Iterator[Row]:
    def to_sample(row: dict[str, Any], _: Path) -> Sample:
        return asked(text(row, "question"), text(row, "answer"), (image_ref(row.get("image"), None),))

    return converted(found(folder, "data/train-*.parquet"), folder, to_sample)


def _slake(folder: Path) -> Iterator[Row]:
    def to_sample(row: dict[str, Any], _: Path) -> Sample:
        name, language = text(row, "img_name"), text(row, "q_lang")
        if language not in ("en", "zh"):
            raise BadSample("unknown-language", f"{language!r}; accepted: en, zh")
        image = ImageRef(path=str(folder / "imgs" / name), group=f"slake:{Path(name).parent.name}")
        meta = {key: row[key] for key in ("answer_type", "content_type", "modality") if isinstance(row.get(key), str)}
        return asked(text(row, "question"), text(row, "answer"), (image,), subset=language, **meta)

    return converted(found(folder, "train.json"), folder, to_sample)


VQA_RAD = Source(
    name="vqa-rad",
    title="VQA-RAD (training split)",
    url="https://huggingface.co/datasets/flaviagiammarino/vqa-rad",
    licence="CC0 1.0",
    layout="data/train-*.parquet with image ({bytes, path}), question, answer. The layout names no patient: no group.",
    rows=_parquet,
    domain="biomedical",
    modality="radiology",
    form="qa",
    paper_rows=1_790,
    paper_place="appendix C.8 and table 7",
)

SLAKE = Source(
    name="slake",
    title="SLAKE (training split)",
    url="https://huggingface.co/datasets/BoKelvin/SLAKE",
    licence="CC BY 4.0",
    layout=(
        "train.json, a list of {img_name, question, answer, q_lang, answer_type, content_type, modality, ...}; images as "
        "imgs/<img_name> (imgs.zip), such as imgs/xmlab1/source.jpg. Subsets: en, zh (the paper takes en). The group is the "
        "image's folder."
    ),
    rows=_slake,
    domain="biomedical",
    modality="radiology",
    form="qa",
    paper_rows=4_919,
    paper_place="appendix C.9 and table 7: English",
    not_in_paper_rows=("zh",),
    published_rows=9_849,
    published_place="appendix C.9 as quoted from the data set: English and Chinese",
    images=642,
)

PATH_VQA = Source(
    name="path-vqa",
    title="Path-VQA (training split)",
    url="https://huggingface.co/datasets/flaviagiammarino/path-vqa",
    licence="MIT (as others quote it; not confirmed)",
    layout="data/train-*.parquet with image ({bytes, path}), question, answer, as VQA-RAD. No group.",
    rows=_parquet,
    domain="biomedical",
    modality="pathology",
    form="qa",
    paper_rows=19_654,
    paper_place="appendix C.10 and table 7",
    published_rows=19_700,
    published_place="rows on the hub, rounded",
)
