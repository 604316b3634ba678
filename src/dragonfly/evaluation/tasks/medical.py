"""Biomedical questions: VQA-RAD, SLAKE, Path-VQA and chest X-ray projections."""

from ..metrics import short
from . import layouts
from .general import LOCAL
from .task import TaskSpec, files, hub

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

_PARSING = (
    "Normalised by the VQA rules. Closed: the right one of yes and no and not the other, or the right choice and no other; "
    "LLaVA-Med's rule (the answer occurs in a reply that holds the letters of yes or no) stands beside it. Open and all: token "
    "F1, clipped as SQuAD's and not clipped as LLaVA-Med's, and the recall of LLaVA-Med's tables."
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
        licence="CC0 1.0 (not verified)",
        parsing=_PARSING,
        paper="Table 7 and C.8: 1,790 train, 451 test; C.8 counts 2,244 pairs in all, and 1,790 + 451 = 2,241.",
        hub="flaviagiammarino/vqa-rad",
        hub_files=(*hub("test"), *hub("train")),
        breakdown=("answer_type", "organ", "question_type"),
        notes="The hub's rows do not say which questions are closed; those whose answer is yes or no count as closed there "
        "(251).",
    ),
    TaskSpec(
        name="slake",
        read=files("slake", "test.json", change=layouts.slake),
        train=files("slake", "train.json", change=layouts.slake),
        metrics=(*_MEDICAL, short.EXACT_SLAKE),
        split="test, English (1,061 questions: 416 closed, 645 open)",
        source="BoKelvin/SLAKE: test.json beside imgs/ or imgs.zip",
        citation="Liu et al. 2021, SLAKE (arXiv 2102.09542)",
        licence="CC BY 4.0",
        parsing=_PARSING,
        paper="Table 7: 4,919 train, 1,053 test. 1,053 is the validation count: C.9 gives 1,053 validation and 1,061 test.",
        hub="BoKelvin/SLAKE",
        hub_files=("test.json", "train.json", "imgs.zip", "imgs/*"),
        breakdown=("answer_type", "modality", "content_type"),
    ),
    TaskSpec(
        name="path_vqa",
        read=files("path_vqa", *hub("test")),
        train=files("path_vqa", *hub("train")),
        metrics=_MEDICAL,
        split="test (6,719 questions; harness count)",
        source="flaviagiammarino/path-vqa",
        citation="He et al. 2020, PathVQA (arXiv 2003.10286)",
        licence="MIT (not verified)",
        parsing=_PARSING,
        paper="Table 7 and C.10: 19,654 train, 6,719 test.",
        hub="flaviagiammarino/path-vqa",
        hub_files=(*hub("test"), *hub("train")),
    ),
    TaskSpec(
        name="cxr",
        read=files("cxr", "qa_derived.jsonl", "dev/qa_derived.jsonl", *LOCAL, change=layouts.cxr),
        metrics=(short.EXACT, short.CLOSED, short.F1, short.F1_OPEN),
        split="as given",
        source="a folder with qa_derived.jsonl: projection and finding of chest X-rays",
        citation="Cohen et al. 2020, COVID-19 image data collection (arXiv 2006.11988)",
        licence="per image: CC BY, CC BY-SA or CC BY-NC-SA",
        parsing=_PARSING,
        paper="Not in the paper.",
        breakdown=("answer_type", "source"),
        notes="Questions are made from metadata; what a case record says is not always visible in the image.",
    ),
)
