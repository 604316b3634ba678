"""How published data sets lay out their rows: each function turns one layout into the fields of a `Question`.

Rows of Hugging Face data sets hold their images as bytes; the others name files beside them. A row that is no part of the task
gets `skip`. Nothing is downloaded here.
"""

import ast
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from ..metrics.choices import LETTERS
from ..question import Question, RowReader

Fields = dict[str, Any]
"""A row of a published file, or the fields of a `Question` made of it."""

_SUBJECTS = {  # MMMU's own grouping of its 30 subjects
    "Art and Design": "Art Art_Theory Design Music",
    "Business": "Accounting Economics Finance Manage Marketing",
    "Science": "Biology Chemistry Geography Math Physics",
    "Health and Medicine": "Basic_Medical_Science Clinical_Medicine Diagnostics_and_Laboratory_Medicine Pharmacy Public_Health",
    "Humanities and Social Science": "History Literature Sociology Psychology",
    "Tech and Engineering": "Agriculture Architecture_and_Engineering Computer_Science Electronics Energy_and_Power Materials "
    "Mechanical_Engineering",
}
DISCIPLINES = {subject: discipline for discipline, subjects in _SUBJECTS.items() for subject in subjects.split()}

ONE_SENTENCE = "Provide a one-sentence caption for the provided image."
BRIEFLY = "Describe the image briefly."
FINDINGS = "Describe the findings of this chest X-ray."
MEDICAL_CAPTION = "Describe this medical image in one sentence."
GROSS_CAPTION = "Describe this gross pathology image in one sentence."


def lettered(row: Fields, _: Path) -> Fields:
    """lmms-lab/ai2d: `options`, and `answer` as the index of the right one."""
    return {"answer": LETTERS[int(row["answer"])], "options": list(row["options"])}


def science_qa_full(row: Fields, _: Path) -> Fields:
    """lmms-lab/ScienceQA: `choices`, `answer` as an index, an optional `hint`, and an image or none."""
    hint = row.get("hint") or ""
    question = f"Context: {hint}\n{row['question']}" if hint else row["question"]
    return {"question": question, "answer": LETTERS[int(row["answer"])]}


def science_qa(row: Fields, folder: Path) -> Fields:
    """As `science_qa_full`; rows without an image are not asked."""
    return {**science_qa_full(row, folder), "skip": row.get("image") is None}


def mmmu(row: Fields, _: Path) -> Fields:
    """MMMU/MMMU or lmms-lab/MMMU, asked as the official code does: options as "(A) text" after an empty line."""
    return _mmmu(row, "({}) {}", "\n\n")


def mmmu_lmms(row: Fields, _: Path) -> Fields:
    """The same rows asked as lmms-eval does: options as "A. text" right below the question."""
    return _mmmu(row, "{}. {}", "\n")


def _mmmu(row: Fields, form: str, gap: str) -> Fields:
    """`options` and lists of answers are Python text, images are image_1 to image_7."""
    options, answer = list(ast.literal_eval(row["options"])), row["answer"]
    if options:
        listed = "\n".join(form.format(letter, option) for letter, option in zip(LETTERS, options, strict=False))
        asked = f"{row['question']}{gap}{listed}\n\nAnswer with the option's letter from the given choices directly."
    else:
        asked = f"{row['question']}\n\nAnswer the question using a single word or phrase."
        answer = ast.literal_eval(answer) if answer.startswith("[") else answer
    images = [row[key] for key in (f"image_{n}" for n in range(1, 8)) if row.get(key) is not None]
    subject = row["id"].partition("_")[2].rpartition("_")[0]
    meta = {"subject": subject, "discipline": DISCIPLINES.get(subject, "other")}
    return {"question": asked, "options": options, "answers": answer, "images": images, "meta": meta}


def cxr(row: Fields, folder: Path) -> Fields:
    """qa_derived.jsonl; labels.jsonl beside it says which images are of one patient."""
    patient = _patients(folder).get(row["image"])
    return {} if patient is None else {"group": f"patient {patient}"}


@lru_cache(maxsize=2)
def _patients(folder: Path) -> dict[str, str]:
    path = folder / "labels.jsonl"
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines()) if path.is_file() else ()
    return {row["image"]: row["patient"] for row in rows}


def text_vqa(*, ocr: bool) -> RowReader:
    """lmms-lab/textvqa: ten `answers`; the question is capitalised as lmms-eval does. `ocr` adds the row's OCR tokens."""

    def change(row: Fields, _: Path) -> Fields:
        question = row["question"].capitalize()
        if ocr:
            question += f"\nReference OCR token: {', '.join(row['ocr_tokens'])}"
        return {"id": str(row["question_id"]), "question": question, "group": str(row["image_id"])}

    return change


def mmvet(row: Fields, folder: Path) -> Fields:
    """lmms-lab/MMVet, whose `capability` is "ocr,math", or rows with a list of them."""
    capability = row.get("capability") or []
    names = capability.split(",") if isinstance(capability, str) else capability
    identity = row.get("question_id", row.get("id"))
    return {"id": identity, "meta": {"capability": sorted(name.strip() for name in names)}}


def mmvet_file(files: list[Path]) -> Iterator[Question]:
    """The official mm-vet.json, an object of questions by id, with images/ beside it."""
    for identity, row in json.loads(files[0].read_text(encoding="utf-8")).items():
        image, meta = str(files[0].parent / "images" / row["imagename"]), {"capability": sorted(row["capability"])}
        yield Question(identity, row["question"], (row["answer"],), (image,), row["imagename"], meta=meta)


def hallusion(row: Fields, folder: Path) -> Fields:
    """HallusionBench.json with its images, or lmms-lab/HallusionBench: rows without an image are not asked."""
    keys = ("category", "subcategory", "set_id", "figure_id", "question_id")
    image = row.get("image") or row.get("filename")
    return {
        "id": "-".join(str(row[key]) for key in keys),
        "answer": "yes" if str(row["gt_answer"]) == "1" else "no",
        "image": image,
        "group": "-".join(str(row[key]) for key in keys[:3]),
        "skip": image is None or str(row["visual_input"]) == "0",
    }


def hallusion_judged(*, with_text: bool) -> RowReader:
    """The same rows for a judge, who is given what the answer should say; `with_text` asks those without an image too."""

    def change(row: Fields, folder: Path) -> Fields:
        fields = hallusion(row, folder)
        shown = not fields["skip"]
        meta = {"gt_answer_details": row["gt_answer_details"], "shown": shown}
        return {**fields, "image": fields["image"] if shown else None, "skip": not (shown or with_text), "meta": meta}

    return change


def slake(row: Fields, folder: Path) -> Fields:
    """BoKelvin/SLAKE: test.json beside imgs/, or beside imgs.zip as the hub has it; English questions only."""
    name = f"imgs/{row['img_name']}"
    packed = None if (folder / "imgs").is_dir() else _packed(folder / "imgs.zip")
    image = packed.read(name) if packed is not None and name in packed.NameToInfo else name
    return {"id": str(row["qid"]), "image": image, "group": row["img_name"], "skip": row["q_lang"] != "en"}


@lru_cache(maxsize=2)
def _packed(path: Path) -> ZipFile | None:
    try:
        return ZipFile(path) if path.is_file() else None
    except BadZipFile:
        raise ValueError(f"{path} is not a whole zip file; fetch it again, or unpack it beside test.json") from None


def coco_hub(row: Fields, _: Path) -> Fields:
    """lmms-lab/COCO-Caption2017: five captions in `answer`."""
    return {"id": str(row["question_id"]), "question": ONE_SENTENCE}


def pope_hub(_row: Fields, _: Path) -> Fields:
    """lmms-lab/POPE: its ids are counted per category, so the row's place is the id."""
    return {"id": None}


def pope_files(files: list[Path]) -> Iterator[Question]:
    """RUCAIBox/POPE: coco_pope_{random,popular,adversarial}.json, one object a line, beside val2014/."""
    for file in files:
        category = file.stem.rpartition("_")[2]
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.strip():
                row = json.loads(line)
                image = file.parent / "val2014" / row["image"]
                name = f"{category}-{row['question_id']}"
                yield Question(name, row["text"], (row["label"],), (str(image),), row["image"], meta={"category": category})


def coco_2017(files: list[Path]) -> Iterator[Question]:
    """COCO's captions_val2017.json with val2017/ beside it or beside its folder; images in the order of their ids."""
    file = files[0]
    document = json.loads(file.read_text(encoding="utf-8"))
    folder = next((root / "val2017" for root in (file.parent, file.parent.parent) if (root / "val2017").is_dir()), file.parent)
    captions: dict[int, list[str]] = {}
    for annotation in sorted(document["annotations"], key=lambda item: item["id"]):
        captions.setdefault(annotation["image_id"], []).append(annotation["caption"])
    for image in sorted(document["images"], key=lambda item: item["id"]):
        name, path = str(image["id"]), str(folder / image["file_name"])
        yield Question(name, ONE_SENTENCE, tuple(captions[image["id"]]), (path,), name)


def karpathy(file: Path) -> Iterator[Question]:
    """Karpathy's dataset_coco.json with val2014/ beside it: the images of its test split."""
    for image in json.loads(file.read_text(encoding="utf-8"))["images"]:
        if image["split"] == "test":
            name, path = str(image["cocoid"]), str(file.parent / image["filepath"] / image["filename"])
            yield Question(name, BRIEFLY, tuple(sentence["raw"] for sentence in image["sentences"]), (path,), name)


def report_split(split: str) -> Any:
    """R2Gen's annotation.json with images/ beside it: reports of one or two views, all shown together."""

    def read(file: Path) -> Iterator[Question]:
        for row in json.loads(file.read_text(encoding="utf-8"))[split]:
            images = tuple(str(file.parent / "images" / name) for name in row["image_path"])
            name = str(row["id"])
            yield Question(name, FINDINGS, (row["report"],), images, str(row.get("subject_id", name)))

    return read


def tab_separated(folder: str, question: str, suffix: str = "") -> Any:
    """Lines of an image's name, a tab and its caption (bioCaption, ROCO); the images lie in `folder` beside the file."""

    def read(file: Path) -> Iterator[Question]:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            name, tab, caption = line.partition("\t")
            name, caption = name.strip(), caption.strip()
            if not line.strip():
                continue
            if not tab or not caption:
                raise ValueError(f"{file}, line {number}: expected an image's name, a tab and its caption; repair the line")
            yield Question(name, question, (caption,), (str(file.parent / folder / f"{name}{suffix}"),), name)

    return read
