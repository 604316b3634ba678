"""One spelling per modality, from rows and from what a data set is."""

from collections import Counter

import pytest

from dragonfly.evaluation.predictions import record_of
from dragonfly.evaluation.question import Question
from dragonfly.evaluation.scoring import canonical_modality, score_task, with_modality
from dragonfly.evaluation.tasks import find_task


def ask(*modalities: object) -> list[Question]:
    return [Question(str(n), "q", ("a",), meta={} if word is None else {"modality": word}) for n, word in enumerate(modalities)]


def test_a_cell_without_a_value_is_told_as_such_and_images_are_counted_beside_their_groups() -> None:
    rows = [("a.png", "left"), ("b.png", ""), ("c.png", " ")]
    questions = [
        Question(image, "q?", ("yes",), images=(image,), group="patient" if image < "c" else "other", meta={"side": side})
        for image, side in rows
    ]
    records = [{**record_of(question, "q?", "no image"), "reply": "yes"} for question in questions]
    scored = score_task(find_task("vqa_rad"), {"model": records}, None, by=("side",))
    assert {value: one["exact_match"]["n"] for value, one in scored["breakdown"]["side"].items()} == {"left": 1, "not stated": 2}
    assert (scored["images"], scored["groups"]) == (3, 2)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("X-Ray;xray;CXR;Chest X-ray;radiograph;DX", "X-ray"),
        ("CT;ct scan;Computed Tomography", "CT"),
        ("MRI;MR", "MRI"),
        ("Histology;histopathology;H&E", "histopathology"),
        ("Gross;gross pathology", "gross"),
        ("Ultrasound", "Ultrasound"),
        ("  ", "not stated"),
    ],
)
def test_spellings(words: str, name: str) -> None:
    assert {canonical_modality(word) for word in words.split(";")} == {name}


def test_rows_say_it_else_the_task_else_nobody() -> None:
    def counted(task: str, questions: list[Question]) -> dict[str, int]:
        return dict(Counter(question.meta.get("modality", "absent") for question in with_modality(task, questions)))

    assert counted("slake", ask("X-Ray", "CT", "ct", None)) == {"X-ray": 1, "CT": 2, "not stated": 1}
    assert counted("cxr", ask(None, None)) == {"X-ray": 2}
    assert counted("iu_xray_biocaption", ask(None)) == {"X-ray": 1}
    assert counted("vqa_rad", ask(None, None, None)) == {"not stated": 3}
    assert counted("chartqa", ask(None, None)) == {"absent": 2}
    assert counted("jsonl:mine", ask("MR", None)) == {"MRI": 1, "not stated": 1}


def test_the_questions_themselves_are_not_changed() -> None:
    questions = ask("xray")
    assert with_modality("slake", questions)[0].meta == {"modality": "X-ray"}
    assert questions[0].meta == {"modality": "xray"}
