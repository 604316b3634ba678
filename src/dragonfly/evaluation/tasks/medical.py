"""Biomedical questions: VQA-RAD, SLAKE, Path-VQA and chest X-ray projections."""

from ..scorers import short
from . import layouts
from .general import LOCAL
from .spec import TaskSpec, files, hub

_MEDICAL = (
    short.EXACT,
    short.CLOSED,
    short.CLOSED_LLAVA_MED,
    short.F1,
    short.F1_OPEN,
    short.F1_UNCLIPPED,
    short.F1_UNCLIPPED_OPEN,
    short.OPEN_RECALL,
)

MEDICAL = (
    TaskSpec(
        name="vqa_rad",
        read=files("vqa_rad", *LOCAL, *hub("test")),
        train=files("vqa_rad", "train/qa*.jsonl", "../train/qa*.jsonl", *hub("train")),
        metrics=_MEDICAL,
        split="test (451 questions: 272 closed, 179 open)",
        source="flaviagiammarino/vqa-rad, or a folder with qa.jsonl",
        citation="Lau et al. 2018, A dataset of clinically generated visual questions and answers about radiology images",
        breakdown=("answer_type", "organ", "question_type"),
        notes="The paper's 1,790 train and 451 test pairs do not add up to its 2,244. The hub's rows do not say which "
        "questions are closed; those whose answer is yes or no count as closed there (251).",
    ),
    TaskSpec(
        name="slake",
        read=files("slake", "test.json", change=layouts.slake),
        train=files("slake", "train.json", change=layouts.slake),
        metrics=(*_MEDICAL, short.EXACT_SLAKE),
        split="test, English (1,061 questions: 416 closed, 645 open)",
        source="BoKelvin/SLAKE: test.json beside imgs/",
        citation="Liu et al. 2021, SLAKE (arXiv 2102.09542)",
        breakdown=("answer_type", "modality", "content_type"),
        notes="The paper's Table 7 gives 1,053 test questions, which is its validation count; C.9 gives 1,061.",
    ),
    TaskSpec(
        name="path_vqa",
        read=files("path_vqa", *hub("test")),
        train=files("path_vqa", *hub("train")),
        metrics=_MEDICAL,
        split="test (6,719 questions; harness count)",
        source="flaviagiammarino/path-vqa",
        citation="He et al. 2020, PathVQA (arXiv 2003.10286)",
        notes="The paper's Table 7: 19,654 train, 6,719 test.",
    ),
    TaskSpec(
        name="cxr",
        read=files("cxr", "qa_derived.jsonl", "dev/qa_derived.jsonl", *LOCAL, change=layouts.cxr),
        metrics=(short.EXACT, short.CLOSED, short.F1, short.F1_OPEN),
        split="as given",
        source="a folder with qa_derived.jsonl: projection and finding of chest X-rays",
        citation="Cohen et al. 2020, COVID-19 image data collection (arXiv 2006.11988)",
        breakdown=("answer_type", "source"),
        notes="Questions are made from metadata; what a case record says is not always visible in the picture.",
    ),
)
