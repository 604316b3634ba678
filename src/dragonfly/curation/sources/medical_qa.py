"""Medical questions and grades: VQA-RAD, SLAKE, Path-VQA (training splits); fundus photographs by Kaggle DR and DDR.

The last two have a label, the grade of diabetic retinopathy, and no text; the step `questions_from_labels` asks about it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dragonfly.data import BadSample, ImageRef, Sample
from dragonfly.data.readers.images import image_ref

from .source import Outcome, Source, asked, converted, find_files, labelled, table_rows, text


def _qa_parquet(folder: Path) -> Iterator[Outcome]:
    def to_sample(row: dict[str, Any], _: Path) -> Sample:
        return asked(text(row, "question"), text(row, "answer"), (image_ref(row.get("image"), None),))

    return converted(find_files(folder, "data/train-*.parquet"), folder, to_sample)


def _slake(folder: Path) -> Iterator[Outcome]:
    def to_sample(row: dict[str, Any], _: Path) -> Sample:
        name, language = text(row, "img_name"), text(row, "q_lang")
        if language not in ("en", "zh"):
            raise BadSample("unknown-language", f"{language!r}; accepted: en, zh")
        image = ImageRef(path=str(folder / "imgs" / name), group=f"slake:{Path(name).parent.name}")
        meta = {key: row[key] for key in ("answer_type", "content_type", "modality") if isinstance(row.get(key), str)}
        return asked(text(row, "question"), text(row, "answer"), (image,), subset=language, **meta)

    return converted(find_files(folder, "train.json"), folder, to_sample)


VQA_RAD = Source(
    name="vqa-rad",
    title="VQA-RAD (training split)",
    url="https://huggingface.co/datasets/flaviagiammarino/vqa-rad",
    licence="CC0 1.0",
    layout="data/train-*.parquet with image ({bytes, path}), question, answer. The layout names no patient: no group.",
    rows=_qa_parquet,
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
    rows=_qa_parquet,
    domain="biomedical",
    modality="pathology",
    form="qa",
    paper_rows=19_654,
    paper_place="appendix C.10 and table 7",
    published_rows=19_700,
    published_place="rows on the hub, rounded",
)


_UNGRADABLE = 5  # DDR's sixth class


def _grade(row: dict[str, Any], highest: int) -> int:
    word = text(row, "level")
    if word not in map(str, range(highest + 1)):
        raise BadSample("unknown-label", f"{word!r}; accepted: 0 to {highest}")
    return int(word)


def _kaggle(folder: Path) -> Iterator[Outcome]:
    def to_sample(row: dict[str, Any], _: Path) -> Sample:
        name = text(row, "image")
        group = f"kaggle-dr:{name.split('_')[0]}"
        return labelled(_grade(row, 4), ImageRef(path=str(folder / "train" / f"{name}.jpeg"), group=group), "dr-grade")

    return converted(find_files(folder, "trainLabels.csv"), folder, to_sample, rows=table_rows)


def _ddr(folder: Path) -> Iterator[Outcome]:
    def to_sample(row: dict[str, Any], file: Path) -> Sample:
        name, grade = text(row, "image"), _grade(row, _UNGRADABLE)
        image = ImageRef(path=str(file.with_suffix("") / name), group=f"ddr:{'-'.join(name.split('-')[:2])}")
        return labelled(grade, image, "dr-grade", subset="ungradable" if grade == _UNGRADABLE else file.stem)

    def rows(file: Path) -> Iterator[Any]:
        return table_rows(file, delimiter=" ", fields=("image", "level"))

    files = find_files(folder, *(f"DR_grading/{split}.txt" for split in ("train", "valid", "test")))
    return converted(files, folder, to_sample, rows=rows)


KAGGLE_DR = Source(
    name="kaggle-dr",
    title="Kaggle Diabetic Retinopathy Detection (training split)",
    url="https://www.kaggle.com/c/diabetic-retinopathy-detection",
    licence="not stated; the competition's rules",
    layout=(
        "trainLabels.csv with image and level (0 to 4), images as train/<image>.jpeg; an image is named <patient>_left or "
        "<patient>_right, the group is the patient."
    ),
    rows=_kaggle,
    domain="biomedical",
    modality="fundus",
    form="label",
    paper_rows=35_126,
    paper_place="appendix C.5: 35,126 samples for training",
    published_rows=35_126,
    published_place="appendix C.5 as quoted from the competition",
    images=35_126,
)

DDR = Source(
    name="ddr",
    title="DDR (grading)",
    url="https://github.com/nkicsl/DDR-dataset",
    licence="not stated",
    layout=(
        "DR_grading/{train,valid,test}.txt, lines of an image's name, a space and its grade (0 to 4, 5 for ungradable), any of "
        "them; images in the folder of the same name. Subsets: train, valid, test, ungradable. The group is the name's first "
        "two numbers (that they tell patients apart is not confirmed)."
    ),
    rows=_ddr,
    domain="biomedical",
    modality="fundus",
    form="label",
    paper_rows=13_673,
    paper_place="appendix C.6: 13,673 images, all splits",
    published_rows=13_673,
    published_place="appendix C.6 as quoted from the data set",
    images=13_673,
)
