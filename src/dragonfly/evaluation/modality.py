"""What kind of picture a biomedical question is about, in one spelling for all data sets.

The word is read from the row's meta value `modality`, else known of the whole data set; where neither says, it is NOT_STATED.
Nothing is guessed from an image or a question.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from .questions import Question

XRAY, CT, MRI, HISTOPATHOLOGY, GROSS = "X-ray", "CT", "MRI", "histopathology", "gross"
NOT_STATED = "not stated"

SPELLINGS = {
    XRAY: "xray x-ray cxr xr cr dx radiograph plain-film chest-x-ray chest-xray chest-radiograph",
    CT: "ct computed-tomography ct-scan",
    MRI: "mri mr magnetic-resonance-imaging magnetic-resonance",
    HISTOPATHOLOGY: "histopathology histology microscopy sm h-e",
    GROSS: "gross gross-pathology macroscopy",
}
_WORDS = {word: name for name, words in SPELLINGS.items() for word in words.split()}

OF_TASK = {  # by the first part of a task's name, so that variants of a task need no entry of their own
    "cxr": XRAY,
    "iu_xray": XRAY,
    "mimic_cxr": XRAY,
    "peir_gross": GROSS,
    "vqa_rad": NOT_STATED,
    "slake": NOT_STATED,
    "path_vqa": NOT_STATED,
    "roco": NOT_STATED,
}


def canonical(word: str) -> str:
    """`Chest X-Ray`, `CXR` -> `X-ray`; a word that is none of the five stays as it is."""
    return _WORDS.get(re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-"), word.strip() or NOT_STATED)


def with_modality(task: str, questions: Sequence[Question]) -> list[Question]:
    """The questions with `modality` in their meta, unless neither a row nor the task is known to have one."""
    usual = next((name for start, name in OF_TASK.items() if task == start or task.startswith(f"{start}_")), None)
    if usual is None and not any(_stated(question) for question in questions):
        return list(questions)
    return [replace(one, meta={**one.meta, "modality": canonical(_stated(one) or usual or NOT_STATED)}) for one in questions]


def _stated(question: Question) -> str:
    value = question.meta.get("modality")
    return value.strip() if isinstance(value, str) else ""
