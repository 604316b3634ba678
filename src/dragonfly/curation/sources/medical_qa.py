"""Medical questions and grades: VQA-RAD, SLAKE, Path-VQA (training splits); fundus photographs by Kaggle DR and DDR.

The last two have a label, the grade of diabetic retinopathy, and no text; the step `questions_from_labels` asks about it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dragonfly.data import BadSample, ImageRef, Sample
from dragonfly.data.modality import NOT_STATED, of_question, shared
from dragonfly.data.readers.files import file_rows
from dragonfly.data.readers.images import image_ref
from dragonfly.files import sha256

from .access import NOT_CHECKED, Access
from .source import Outcome, Source, asked, converted, find_files, labelled, table_rows, text


def _qa_parquet(split: str) -> Callable[[Path], Iterator[Outcome]]:
    def read(folder: Path) -> Iterator[Outcome]:
        files = find_files(folder, f"data/{split}-*.parquet")
        modality = shared(stated for file in files for row in file_rows(file) for stated in _stated(row))

        def to_sample(row: dict[str, Any], _: Path) -> Sample:
            question, answer, image = text(row, "question"), text(row, "answer"), image_ref(row.get("image"), None)
            return asked(question, answer, (image,), modality=modality.get(_key(image), NOT_STATED))

        return converted(files, folder, to_sample)

    return read


def _stated(row: Any) -> Iterator[tuple[str, str]]:
    """(image, modality that the row's words state); nothing for a row that cannot be read."""
    try:
        yield _key(image_ref(row["image"], None)), of_question(text(row, "question"), text(row, "answer"))
    except (BadSample, KeyError, TypeError):
        return


def _key(image: ImageRef) -> str:
    return str(image.path) if image.bytes is None else sha256(image.bytes)


def _slake(split: str) -> Callable[[Path], Iterator[Outcome]]:
    def read(folder: Path) -> Iterator[Outcome]:
        def to_sample(row: dict[str, Any], _: Path) -> Sample:
            name, language = text(row, "img_name"), text(row, "q_lang")
            if language not in ("en", "zh"):
                raise BadSample("unknown-language", f"{language!r}; accepted: en, zh")
            image = ImageRef(path=str(folder / "imgs" / name), group=f"slake:{Path(name).parent.name}")
            meta = {key: row[key] for key in ("answer_type", "content_type", "modality") if isinstance(row.get(key), str)}
            return asked(text(row, "question"), text(row, "answer"), (image,), subset=language, **meta)

        return converted(find_files(folder, f"{split}.json"), folder, to_sample)

    return read


_MODALITY = "The modality is the one that question and answer name, or another row about the same image (data/modality.py)."


def _qa_access(hub: str, authors: str, size: str = NOT_CHECKED) -> Access:
    patterns = ("data/train-*.parquet", "data/test-*.parquet")
    return Access(
        publisher=f"{authors}; the hub's copy by Flavia Giammarino", terms="open", size=size, hub=hub, patterns=patterns
    )


VQA_RAD = Source(
    name="vqa-rad",
    title="VQA-RAD (training split)",
    url="https://huggingface.co/datasets/flaviagiammarino/vqa-rad",
    licence="CC0 1.0",
    access=_qa_access("flaviagiammarino/vqa-rad", "Lau and others", "34.5 MB"),
    files=(("data/train-*.parquet",),),
    layout=(
        "data/train-*.parquet with image ({bytes, path}), question, answer; data/test-*.parquet for the step leak. The "
        f"layout names no patient: no group. {_MODALITY}"
    ),
    rows=_qa_parquet("train"),
    held_out=_qa_parquet("test"),
    domain="biomedical",
    modality="radiology",
    form="qa",
    paper_rows=1_790,
    paper_place="appendix C.8 and table 7",
    published_rows=1_793,
    published_place="rows on the hub",
)

SLAKE = Source(
    name="slake",
    title="SLAKE (training split)",
    url="https://huggingface.co/datasets/BoKelvin/SLAKE",
    licence="CC BY 4.0",
    access=Access(
        publisher="Bo Liu and others (BoKelvin)",
        terms="open",
        size="215 MB (2.96 MB of questions, 212 MB of images)",
        hub="BoKelvin/SLAKE",
        patterns=("train.json", "test.json", "imgs.zip"),
        unpack=(("imgs.zip", "imgs"),),
    ),
    files=(("train.json",), ("imgs",)),
    layout=(
        "train.json, a list of {img_name, question, answer, q_lang, answer_type, content_type, modality, ...}; images as "
        "imgs/<img_name> (imgs.zip), such as imgs/xmlab1/source.jpg. Subsets: en, zh (the paper takes en). The group is the "
        "image's folder. test.json, for the step leak, is alike."
    ),
    rows=_slake("train"),
    held_out=_slake("test"),
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
    licence="MIT (the hub's tag)",
    access=_qa_access("flaviagiammarino/path-vqa", "He and others"),
    files=(("data/train-*.parquet",),),
    layout=f"data/train-*.parquet with image ({{bytes, path}}), question, answer, as VQA-RAD. No group. {_MODALITY}",
    rows=_qa_parquet("train"),
    held_out=_qa_parquet("test"),
    domain="biomedical",
    modality="pathology",
    form="qa",
    paper_rows=19_654,
    paper_place="appendix C.10 and table 7",
    published_rows=19_700,
    published_place="rows on the hub, rounded",
)


_UNGRADABLE = 5  # DDR's sixth class
_DDR_SPLITS = ("train", "valid", "test")


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

    files = find_files(folder, *(f"DR_grading/{split}.txt" for split in _DDR_SPLITS))
    return converted(files, folder, to_sample, rows=rows)


KAGGLE_DR = Source(
    name="kaggle-dr",
    title="Kaggle Diabetic Retinopathy Detection (training split)",
    url="https://www.kaggle.com/c/diabetic-retinopathy-detection",
    licence="not stated; the competition's rules",
    access=Access(
        publisher="Kaggle, for the California Healthcare Foundation",
        terms="gated",
        size="35 GB of training images (a mirror's count)",
        apply="https://www.kaggle.com/c/diabetic-retinopathy-detection, with an account that accepts the rules",
    ),
    files=(("trainLabels.csv",), ("train",)),
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
    access=Access(publisher="nkicsl (GitHub)", terms="not checked", rest="its page links to the archives"),
    files=(tuple(f"DR_grading/{split}.txt" for split in _DDR_SPLITS), tuple(f"DR_grading/{split}" for split in _DDR_SPLITS)),
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
