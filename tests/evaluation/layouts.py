"""Made-up rows in the published layout of every task, and what a constant answer must score on them."""

from __future__ import annotations

import io
import json
import shutil
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests.tiny import image

from .fakes import write_qa


def png(seed: int) -> dict[str, Any]:
    """An image as Hugging Face data sets hold it."""
    buffer = io.BytesIO()
    image(12, 12, seed).save(buffer, format="PNG")
    return {"bytes": buffer.getvalue(), "path": None}


@lru_cache(maxsize=8)
def large_jpeg(seed: int, size: tuple[int, int] = (4096, 3072)) -> bytes:
    """An image of a real size, whose parts differ, so that a reader that shrinks or mixes them up shows."""
    drawn, buffer = Image.new("RGB", size, (seed * 40 % 256, 200, 90)), io.BytesIO()
    drawn.paste((0, 0, 0), (100 * seed, 100, 100 * seed + 80, 140))
    drawn.save(buffer, "JPEG", quality=50)
    return buffer.getvalue()


def base64(seed: int) -> str:
    return b64encode(large_jpeg(seed)).decode()


def save(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image(12, 12, seed).save(path)


def parquet(folder: Path, name: str, rows: Sequence[dict[str, Any]]) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)


def ai2d(folder: Path) -> None:
    rows = [{"question": f"q{n}", "options": ["w", "x", "y", "z"], "answer": str(n % 3), "image": png(n)} for n in range(6)]
    parquet(folder, "data/test-00000-of-00001.parquet", rows)


def science_qa(folder: Path) -> None:
    def row(n: int) -> dict[str, Any]:
        hint = "Look." if n == 0 else ""
        return {"image": png(n), "question": f"q{n}", "choices": ["x", "y"], "answer": n % 2, "hint": hint, "subject": "s"}

    for name in ("ScienceQA-IMG", "ScienceQA-FULL"):
        parquet(folder, f"{name}/test-00000-of-00001.parquet", [*map(row, range(6)), {**row(6), "image": None}])


def chart_qa(folder: Path) -> None:
    rows = [{"type": "human_test", "question": f"q{n}", "answer": str(100 + 2 * n), "image": png(n)} for n in range(6)]
    parquet(folder, "data/test-00000-of-00001.parquet", rows)


def mmmu(folder: Path) -> None:
    def row(n: int) -> dict[str, Any]:
        kind = "short-answer" if n == 4 else "multiple-choice"
        options, answer = ("[]", "['7', 'seven']") if n == 4 else ("['$1', '$2']", "AB"[n % 2])
        images = {"image_1": png(n), "image_2": png(n + 50) if n == 0 else None}
        identity = f"validation_Art_{n}"
        return {
            "id": identity,
            "question": f"<image 1> q{n}",
            "options": options,
            "answer": answer,
            "question_type": kind,
            **images,
        }

    parquet(folder, "data/validation-00000-of-00001.parquet", map_rows(row, 6))


def map_rows(row: Callable[[int], dict[str, Any]], count: int) -> list[dict[str, Any]]:
    return [row(n) for n in range(count)]


def pope(folder: Path) -> None:
    for category in ("random", "popular", "adversarial"):
        rows = [
            {"question_id": n, "image": f"{n // 2}.jpg", "text": f"Is there a {n}?", "label": ("yes", "no")[n % 2]}
            for n in range(4)
        ]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"coco_pope_{category}.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for n in range(2):
        save(folder / "val2014" / f"{n}.jpg", n)


def pope_hub(folder: Path) -> None:
    rows = [
        {
            "id": str(n % 3),
            "question_id": str(n),
            "question": f"q{n}",
            "answer": ("yes", "no")[n % 2],
            "category": "random",
            "image": png(n),
        }
        for n in range(6)
    ]
    parquet(folder, "data/test-00000-of-00001.parquet", rows)


def hallusion(folder: Path) -> None:
    """Set 0: figure 1 with two yes, figure 2 with yes and no, and a row without an image. Questions 0 and 1 on both."""
    answers = {("1", "0"): "1", ("1", "1"): "1", ("2", "0"): "1", ("2", "1"): "0", ("3", "0"): "1"}
    common = {"category": "VS", "subcategory": "chart", "set_id": "0", "sample_note": ""}
    rows: list[dict[str, Any]] = [
        {
            **common,
            "figure_id": figure,
            "question_id": question,
            "question": f"q{question}",
            "gt_answer": answer,
            "gt_answer_details": f"the truth is {answer}",
            "visual_input": "1",
            "filename": f"./VS/chart/0_{figure}.png",
        }
        for (figure, question), answer in answers.items()
    ]
    rows.append({**rows[0], "figure_id": "0", "visual_input": "0", "filename": None})
    for n in (1, 2, 3):
        save(folder / f"VS/chart/0_{n}.png", n)
    (folder / "HallusionBench.json").write_text(json.dumps(rows))


def text_vqa(folder: Path) -> None:
    def row(n: int) -> dict[str, Any]:
        answers = ["yes"] * (2 * n) + ["no"] * (10 - 2 * n)
        common = {"image_id": f"i{n}", "question_id": n, "question": "what IS it?", "ocr_tokens": ["STOP", str(n)]}
        return {**common, "answers": answers, "image": png(n)}

    parquet(folder, "data/validation-00000-of-00001.parquet", map_rows(row, 6))


def qa_local(answers: Sequence[str], **extra: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        rows = [
            {"id": f"q{n}", "image": f"images/{n}.png", "question": f"q{n}", "answer": answer, **extra}
            for n, answer in enumerate(answers)
        ]
        write_qa(folder, rows, "dev/qa.jsonl")

    return write


def qa_hub(answers: Sequence[str]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        rows = [{"image": png(n), "question": f"q{n}", "answer": answer} for n, answer in enumerate(answers)]
        parquet(folder, "data/test-00000-of-00001.parquet", rows)
        parquet(folder, "data/train-00000-of-00001.parquet", [{**rows[0], "answer": "lung"}])

    return write


def mmvet_hub(folder: Path) -> None:
    def row(n: int) -> dict[str, Any]:
        answer = ("red<OR>crimson", "red<AND>blue")[n % 2]
        capability = ("ocr,math", "rec")[n % 2]
        return {"question_id": f"v1_{n}", "image": png(n), "question": f"q{n}", "answer": answer, "capability": capability}

    parquet(folder, "data/test-00000-of-00001.parquet", map_rows(row, 6))


def mmvet_official(folder: Path) -> None:
    rows = {
        f"v1_{n}": {"imagename": f"v1_{n}.png", "question": f"q{n}", "answer": "red<AND>blue", "capability": ["rec", "gen"]}
        for n in range(5)
    }
    for row in rows.values():
        save(folder / "images" / row["imagename"], len(row["imagename"]))
    (folder / "mm-vet.json").write_text(json.dumps(rows))


def slake_zip(folder: Path) -> None:
    """As the hub has it: the images packed."""
    slake(folder)
    with ZipFile(folder / "imgs.zip", "w") as packed:
        for path in sorted((folder / "imgs").rglob("*.jpg")):
            packed.write(path, path.relative_to(folder).as_posix())
    shutil.rmtree(folder / "imgs")


def hallusion_hub(folder: Path) -> None:
    """As the hub has it: a file of rows with an image and one of rows without."""
    hallusion(folder)
    rows = json.loads((folder / "HallusionBench.json").read_text())
    (folder / "HallusionBench.json").unlink()
    for name, shown in (("image", True), ("non_image", False)):
        some = [
            {**row, "image": png(n) if shown else None} for n, row in enumerate(rows) if (row["visual_input"] != "0") == shown
        ]
        parquet(folder, f"data/{name}-00000-of-00001.parquet", some)


def slake(folder: Path) -> None:
    rows = [
        {
            "img_id": n,
            "img_name": f"xmlab{n}/source.jpg",
            "question": f"q{n}",
            "answer": "Yes" if n < 2 else "No",
            "q_lang": "en" if n < 5 else "zh",
            "location": "Lung",
            "modality": ("CT", "MRI")[n % 2],
            "answer_type": "CLOSED",
            "content_type": "Organ",
            "triple": ["a", "_", "_"],
            "qid": n,
        }
        for n in range(6)
    ]
    for n in range(6):
        save(folder / f"imgs/xmlab{n}/source.jpg", n)
    (folder / "test.json").write_text(json.dumps(rows))


def coco_2017(folder: Path) -> None:
    images = [{"id": n, "file_name": f"{n:012}.jpg"} for n in (4, 3, 2, 1, 0)]
    annotations = [{"id": 10 * n + k, "image_id": n, "caption": f"caption {k} of {n}"} for n in range(5) for k in range(5)]
    for n in range(5):
        save(folder / "val2017" / f"{n:012}.jpg", n)
    (folder / "annotations").mkdir()
    (folder / "annotations/captions_val2017.json").write_text(json.dumps({"images": images, "annotations": annotations}))


def coco_hub(folder: Path) -> None:
    rows = [{"question_id": f"{n}.jpg", "question": "?", "answer": [f"a {n}", "b"], "image": png(n)} for n in range(5)]
    parquet(folder, "data/val-00000-of-00001.parquet", rows)


def karpathy(folder: Path) -> None:
    images = [
        {
            "filepath": "val2014",
            "filename": f"{n}.jpg",
            "cocoid": n,
            "split": "test" if n < 5 else "train",
            "sentences": [{"raw": f"a thing {n}"}, {"raw": "a thing"}],
        }
        for n in range(6)
    ]
    for n in range(5):
        save(folder / "val2014" / f"{n}.jpg", n)
    (folder / "dataset_coco.json").write_text(json.dumps({"images": images}))


def reports(folder: Path) -> None:
    def row(n: int) -> dict[str, Any]:
        return {"id": f"r{n}", "report": f"the lungs are clear {n} .", "image_path": [f"r{n}/0.png", f"r{n}/1.png"]}

    for n in range(5):
        for view in range(2):
            save(folder / f"images/r{n}/{view}.png", 2 * n + view)
    (folder / "annotation.json").write_text(json.dumps({"train": [row(9)], "val": [], "test": map_rows(row, 5)}))


def lines(name: str, images: str, suffix: str = "") -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("".join(f"P{n}{'' if suffix else '.jpg'}\t a kidney {n}\n" for n in range(5)))
        for n in range(5):
            save((folder / name).parent / images / f"P{n}.jpg", n)

    return write


def grade(prompt: str) -> str:
    """A judge of the made-up MM-Vet rows: half of what "red" is asked for."""
    return "0.5" if "<AND>" in prompt.splitlines()[-1] else "1.0"


def truth(prompt: str) -> str:
    """A judge of the made-up HallusionBench rows, for a reply that says yes."""
    return "Correct." if "the truth is 1" in prompt else "incorrect"


LETTER_SUFFIX = "Answer with the option's letter from the given choices directly."


def vstar_rows() -> list[dict[str, Any]]:
    """Three attributes with four options and two positions with two; the letters are A, B, C, A, B."""
    rows: list[dict[str, Any]] = []
    for n in range(5):
        position = n > 2
        options = ("left", "right") if position else ("red", "green", "blue", "black")
        listed = "\n".join(f"({letter}) {option}" for letter, option in zip("ABCD", options, strict=False))
        rows.append(
            {
                "text": f"What is the colour of thing {n}?\n{listed}\n{LETTER_SUFFIX}",
                "label": "ABCAB"[n],
                "question_id": str(n % 3),
                "category": "relative_position" if position else "direct_attributes",
            }
        )
    return rows


def vstar_hub(folder: Path) -> None:
    rows = [{"image": {"bytes": large_jpeg(n), "path": f"{n}.jpg"}, **row} for n, row in enumerate(vstar_rows())]
    parquet(folder, "data/test-00000-of-00001.parquet", rows)


def vstar_folder(folder: Path) -> None:
    """As its authors have it: a list of questions, images by category, an annotation beside each."""
    lines: list[str] = []
    for n, row in enumerate(vstar_rows()):
        name = f"{row['category']}/sa_{n}.jpg"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(large_jpeg(n))
        boxes = [[100 * n, 100, 80, 40], *([[5, 6, 7, 8]] if n > 2 else [])]
        about = {"target_object": ["thing"], "bbox": boxes, "question": "?", "options": ["right"]}
        (folder / name).with_suffix(".json").write_text(json.dumps(about))
        lines.append(json.dumps({"image": name, **row}) + "\n")
    (folder / "test_questions.jsonl").write_text("".join(lines))


def hr_bench(name: str) -> Callable[[Path], None]:
    """Two questions on one image and one on another, each with its options in four orders."""

    def write(folder: Path) -> None:
        asked = (("single", "What is printed?", 0), ("cross", "How far is it?", 0), ("single", "What is printed?", 1))
        rows: list[dict[str, Any]] = []
        for turn in range(4):  # not beside each other, so that a reader must put them together
            for number, (category, question, seed) in enumerate(asked):
                options = [f"{word} {number}" for word in ("north", "east", "south", "west")]
                turned = [*options[turn:], *options[:turn]]
                letters = dict(zip("ABCD", turned, strict=True))
                answer = "ABCD"[turned.index(options[0])]
                index = {"index": len(rows), "question": question, "answer": answer, "category": category}
                rows.append({**index, **letters, "cycle_category": str(turn), "image": base64(seed)})
        parquet(folder, f"{name}.parquet", rows)

    return write


def mme_rows() -> list[dict[str, Any]]:
    """Answers A, E, C, E; the last option refuses."""
    kinds = ("Perception/OCR with Complex Context", "Reasoning/Monitoring", "Perception/Remote Sensing", "Perception/Monitoring")
    return [
        {
            "index": f"{kind.lower()}/{n:04}",
            "question": f"How many are there, {n}?",
            "multi-choice options": ["(A) 13", "(B) 90", "(C) 77", "(D) 6", "(E) The image does not feature the number."],
            "answer": "AECE"[n],
            "category": kind,
            "l2-category": ("text", "Vehicle/attribute/colour", "count", "Person/counting")[n],
        }
        for n, kind in enumerate(kinds)
    ]


def mme_hub(folder: Path) -> None:
    rows = [{**row, "bytes": base64(n)} for n, row in enumerate(mme_rows())]
    parquet(folder, "data/train-00000-of-00002.parquet", rows[:3])
    parquet(folder, "data/train-00001-of-00002.parquet", rows[3:])


def mme_official(name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        rows: list[dict[str, Any]] = []
        for n, row in enumerate(mme_rows()):
            task, subtask = row["category"].split("/")
            image = f"monitoring_images/{n}.jpg"
            (folder / image).parent.mkdir(parents=True, exist_ok=True)
            (folder / image).write_bytes(large_jpeg(n))
            about = {"Question_id": row["index"], "Question Type": "Multiple Choice", "Image": image, "Text": row["question"]}
            told = {"Answer choices": row["multi-choice options"], "Ground truth": row["answer"], "Category": row["l2-category"]}
            rows.append({**about, **told, "Subtask": subtask, "Task": task})
        (folder / name).write_text(json.dumps(rows))

    return write


@dataclass(frozen=True)
class Layout:
    """`write(folder)` makes the files; `count` questions follow; a constant `reply` scores `expected`.

    Of a judged task `judge` gives the verdicts.
    """

    task: str
    write: Callable[[Path], None]
    count: int
    reply: str
    expected: dict[str, float]
    judge: Callable[[str], str] | None = None


YES_NO = ("yes", "no", "Yes", "axial", "no")
HALLUSION = {"a_acc": 4 / 5, "f_acc": 2 / 3, "q_acc": 1 / 2}
# Judged right as said "yes"; the row without an image is right too, and is no figure.
JUDGED = {"a_acc_judged": 5 / 6, "f_acc_judged": 2 / 3, "q_acc_judged": 1 / 2}
MMMU = {"accuracy_official": 3 / 6}
# One of five references is the reply; the others share all but one of its words, so ROUGE-L is that share (P = R).
KIDNEY = {"rouge_l_without_ptb": (4 * 2 / 3 + 1) / 5, "bleu_1_without_ptb": (4 * 2 + 3) / 15}
LUNGS = {"rouge_l_without_ptb": (4 * 5 / 6 + 1) / 5, "bleu_1_without_ptb": (4 * 5 + 6) / 30}
# Beside "a thing n" stands "a thing": the best precision is 2/3, the best recall 1; F with beta 1.2 is 2.44 P R / (R + 1.44 P).
THING = {"rouge_l_without_ptb": (4 * (2.44 * 2 / 3) / (1 + 1.44 * 2 / 3) + 1) / 5}

LAYOUTS = (
    Layout("ai2d", ai2d, 6, "B. x", {"accuracy": 2 / 6}),
    Layout("ai2d_no_mask", ai2d, 6, "b", {"accuracy": 2 / 6}),
    Layout("ai2d_vlmevalkit", ai2d, 6, "It is y", {"accuracy_vlmevalkit": 2 / 6}),
    Layout("scienceqa_img", science_qa, 6, "a", {"accuracy_lmms_eval": 0.5, "accuracy_llava": 0.0}),
    Layout("scienceqa", science_qa, 7, "A", {"accuracy_lmms_eval": 4 / 7, "accuracy_llava": 4 / 7}),
    Layout("chartqa", chart_qa, 6, "100", {"relaxed_accuracy": 3 / 6, "exact_match": 1 / 6}),  # 100, 102 and 104 within 5 %
    Layout("chartqa_vlmevalkit", chart_qa, 6, "110", {"relaxed_accuracy": 3 / 6}),  # 110, 108 and 106; 104 is 5.8 % below
    Layout("vstar", vstar_hub, 5, "(B) green", {"accuracy_lmms_eval": 2 / 5, "accuracy_vlmevalkit": 2 / 5}),
    Layout("vstar", vstar_folder, 5, "A", {"accuracy_lmms_eval": 2 / 5, "accuracy_vlmevalkit": 2 / 5}),
    # each option stands once in each place: a fixed letter is right in one of four orders, never in all
    Layout("hr_bench_4k", hr_bench("hr_bench_4k"), 12, "A", {"accuracy_vlmevalkit": 1 / 4, "all_orders_right": 0}),
    # a text that is option `north 0` of the first question alone, whatever its letter
    Layout("hr_bench_8k", hr_bench("hr_bench_8k"), 12, "north 0", {"accuracy_vlmevalkit": 4 / 12, "all_orders_right": 1 / 3}),
    Layout("mme_realworld", mme_hub, 4, "The best answer is (E).", {"accuracy_official": 2 / 4, "share_of_e": 1}),
    Layout("mme_realworld", mme_official("MME_RealWorld.json"), 4, "77", {"accuracy_official": 1 / 4, "share_of_e": 0}),
    Layout("mme_realworld_lite", mme_hub, 4, "", {"accuracy_official": 1 / 4, "share_of_e": 0}),
    Layout("mme_realworld_lite", mme_official("MME-RealWorld-Lite.json"), 4, "E", {"accuracy_official": 2 / 4, "share_of_e": 1}),
    Layout("mmmu_val", mmmu, 6, "(A) and 7", MMMU),  # rows 0 and 2, and the open one
    Layout("mmmu_val_lmms_eval", mmmu, 6, "PLAN B", {"accuracy_lmms_eval": 3 / 6}),  # rows 1, 3 and 5
    Layout("pope", pope, 12, "Yes.", {"f1_official": 2 / 3, "accuracy_official": 0.5, "yes_ratio": 1, "f1_lmms_eval": 0}),
    Layout("pope", pope, 12, "Yes.", {"f1_mean_of_sets": 2 / 3, "f1_vlmevalkit": 2 / 3}),
    Layout("pope", pope_hub, 6, "no", {"f1_official": 0, "accuracy_official": 0.5, "yes_ratio": 0, "accuracy_lmms_eval": 0.5}),
    Layout("hallusion_bench", hallusion, 5, "Yes, it is", HALLUSION),
    Layout("hallusion_bench", hallusion_hub, 5, "Yes, it is", HALLUSION),
    Layout("hallusion_bench_judge", hallusion, 6, "Yes, it is", JUDGED, truth),
    Layout("hallusion_bench_judge", hallusion_hub, 6, "Yes, it is", JUDGED, truth),
    Layout("hallusion_bench_judge_lmms_eval", hallusion, 5, "Yes", {"a_acc_judged": 4 / 5, "f_acc_judged": 2 / 3}, truth),
    Layout("mmvet", mmvet_hub, 6, "red", {"judge_score": (3 * 0.5 + 3) / 6}, grade),
    Layout("mmvet", mmvet_official, 5, "red", {"judge_score": 0.5}, grade),
    Layout("mmvet_lmms_eval", mmvet_hub, 6, "red", {"judge_score": (3 * 0.5 + 3) / 6}, grade),
    Layout("mmvet_keyword", mmvet_hub, 6, "It is Red.", {"keyword_match_not_the_official_score": (3 * 0.5 + 3) / 6}),
    # 0, 2, 4, 6, 8 and 10 of ten say yes: 0, (2*1/3 + 8*2/3)/10 = 0.6, and from 4 on 1
    Layout("textvqa", text_vqa, 6, "yes", {"vqa_accuracy": (0 + 0.6 + 4) / 6}),
    Layout("textvqa_ocr", text_vqa, 6, "yes", {"vqa_accuracy": (0 + 0.6 + 4) / 6}),
    Layout("sroie", qa_local(["9.00", "12/1/18", "ACME", "9.00", "x"], field="total"), 5, "9.00", {"exact_match": 2 / 5}),
    Layout("vqa_rad", qa_local(YES_NO), 5, "yes", {"exact_match": 2 / 5, "closed_accuracy": 2 / 4, "token_f1_open": 0}),
    Layout("vqa_rad", qa_hub(YES_NO), 5, "no", {"exact_match": 2 / 5, "closed_accuracy_llava_med": 2 / 4}),
    Layout("slake", slake, 5, "yeah", {"exact_match": 0, "exact_match_slake": 2 / 5, "closed_accuracy": 0}),
    Layout("slake", slake_zip, 5, "no", {"exact_match": 3 / 5, "closed_accuracy": 3 / 5}),
    Layout("path_vqa", qa_hub(YES_NO), 5, "axial", {"exact_match": 1 / 5, "open_recall": 1, "token_f1_unclipped": 1 / 5}),
    Layout("cxr", qa_local(YES_NO), 5, "no", {"exact_match": 2 / 5}),
    Layout("coco2017_val", coco_2017, 5, "caption 0 of 2", {"rouge_l_without_ptb": (4 * 3 / 4 + 1) / 5}),
    Layout("coco2017_val", coco_hub, 5, "a 2", {"rouge_l_without_ptb": (4 * 1 / 2 + 1) / 5}),
    Layout("coco_karpathy_test", karpathy, 5, "a thing 2", THING),
    Layout("iu_xray", reports, 5, "the lungs are clear 2 .", LUNGS),
    Layout("iu_xray_biocaption", lines("test_images.tsv", "iu_xray_images"), 5, "a kidney 2", KIDNEY),
    Layout("peir_gross", lines("test_images.tsv", "peir_gross_images"), 5, "a kidney 2", KIDNEY),
    Layout("roco", lines("data/test/radiology/captions.txt", "images", ".jpg"), 5, "a kidney 2", KIDNEY),
    Layout("mimic_cxr", reports, 5, "the lungs are clear 2 .", LUNGS),
)
