"""Fundus photographs graded for diabetic retinopathy: Kaggle DR and DDR. Labels, no text."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dragonfly.data import BadSample, ImageRef, Sample

from .rows import converted, found, labelled, table_rows, text
from .source import Row, Source

_UNGRADABLE = 5  # DDR's sixth class


def _grade(row: dict[str, Any], highest: int) -> int:
    word = text(row, "level")
    if word not in map(str, range(highest + 1)):
        raise BadSample("unknown-label", f"{word!r}; accepted: 0 to {highest}")
    return int(word)


def _kaggle(folder: Path) -> Iterator[Row]:
    def to_sample(row: dict[str, Any], _: Path) -> Sample:
        name = text(row, "image")
        group = f"kaggle-dr:{name.split('_')[0]}"
        return labelled(_grade(row, 4), ImageRef(path=str(folder / "train" / f"{name}.jpeg"), group=group), "dr-grade")

    return converted(found(folder, "trainLabels.csv"), folder, to_sample, rows=table_rows)


def _ddr(folder: Path) -> Iterator[Row]:
    def to_sample(row: dict[str, Any], file: Path) -> Sample:
        name, grade = text(row, "image"), _grade(row, _UNGRADABLE)
        image = ImageRef(path=str(file.with_suffix("") / name), group=f"ddr:{'-'.join(name.split('-')[:2])}")
        return labelled(grade, image, "dr-grade", subset="ungradable" if grade == _UNGRADABLE else file.stem)

    def rows(file: Path) -> Iterator[Any]:
        return table_rows(file, delimiter=" ", fields=("image", "level"))

    files = found(folder, *(f"DR_grading/{split}.txt" for split in ("train", "valid", "test")))
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
