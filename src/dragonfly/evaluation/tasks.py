"""Every benchmark, one entry each: what is asked, how a reply is read, which metrics count, where the data come from.

The first metric is the headline. Protocols are those of the harness named in the entry; where harnesses differ the
variant is part of a metric's or a task's name. `manifest:PATH` and `jsonl:PATH` make a task of a person's own data.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dragonfly.config import nearest

from . import scorers
from .metrics import LETTERS
from .questions import Question, from_manifest, read_rows
from .scorers import Metric

SHORT_ANSWER = "{question}\nAnswer the question using a single word or phrase."


@dataclass(frozen=True)
class TaskSpec:
    """A benchmark.

    `read(data)` gives its questions in a fixed order, `train(data)` those of the train split, for the majority answer,
    where it lies beside them. `prompt` may hold {question} and {options} (one "A. text" a line). `breakdown` names the
    meta keys to break scores down by; empty means every key with few values. `notes` tells what to know of the counts.
    """

    name: str
    read: Callable[[Path | None], list[Question]]
    metrics: tuple[Metric, ...]
    split: str
    source: str
    citation: str
    prompt: str = SHORT_ANSWER
    max_new_tokens: int = 32
    breakdown: tuple[str, ...] = ()
    train: Callable[[Path | None], list[Question]] | None = None
    notes: str = ""


def render(template: str, question: Question) -> str:
    """The text that is asked. ValueError where the template asks for what no question has."""
    options = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, question.options, strict=False))
    try:
        return template.format(question=question.text, options=options).strip()
    except (KeyError, IndexError, ValueError):
        raise ValueError(f"prompt {template!r} is not a template; it may hold {{question}} and {{options}}") from None


def find_task(name: str) -> TaskSpec:
    """The task of that name; ValueError with the nearest name where there is none."""
    kind, colon, path = name.partition(":")
    if colon and kind in OWN_DATA:
        if not path:
            raise ValueError(f"task {name!r} names no file; write {kind}:PATH")
        return _own(name, kind, Path(path))
    if name not in TASKS:
        raise ValueError(f"task: {nearest(name, (*TASKS, *(f'{kind}:PATH' for kind in OWN_DATA)))}")
    return TASKS[name]


OWN_DATA: dict[str, Callable[[Path], list[Question]]] = {
    "manifest": from_manifest,
    "jsonl": lambda path: read_rows([_existing(path)]),
}

QA_METRICS = (scorers.EXACT, scorers.CLOSED, scorers.F1, scorers.F1_OPEN)


def _own(name: str, kind: str, path: Path) -> TaskSpec:
    return TaskSpec(
        name=name,
        read=lambda _: OWN_DATA[kind](path),
        metrics=QA_METRICS,
        split="as given",
        source=str(path),
        citation="",
        prompt="{question}",
        max_new_tokens=64,
    )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"no such file: {path}; give a file of rows with question, answer and image")
    return path


def locate(data: Path | None, task: str, patterns: Sequence[str]) -> list[Path]:
    """The files of the first pattern that matches in `data` or in its folder named like the task.

    ValueError naming what was looked for.
    """
    if data is None:
        raise ValueError(f"task {task!r} reads its data from a folder; name it: --data DIR")
    if not data.is_dir():
        raise ValueError(f"no folder {data}; give the folder of task {task!r} with --data")
    for root in (data, data / task):
        for pattern in patterns:
            if found := sorted(path for path in root.glob(pattern) if path.is_file()):
                return found
    raise ValueError(f"task {task!r}: none of {', '.join(patterns)} is in {data} or {data / task}; see --data")


def _local(task: str, *patterns: str) -> Callable[[Path | None], list[Question]]:
    return lambda data: read_rows(locate(data, task, patterns))


_QA = ("qa.jsonl", "dev/qa.jsonl", "test/qa.jsonl")

_SPECS = (
    TaskSpec(
        name="vqa_rad",
        read=_local("vqa_rad", *_QA, "data/test-*.parquet", "test-*.parquet"),
        train=_local("vqa_rad", "train/qa*.jsonl", "../train/qa*.jsonl", "data/train-*.parquet", "train-*.parquet"),
        metrics=(
            scorers.EXACT,
            scorers.CLOSED,
            scorers.CLOSED_LLAVA_MED,
            scorers.F1,
            scorers.F1_OPEN,
            scorers.F1_UNCLIPPED,
            scorers.F1_UNCLIPPED_OPEN,
            scorers.OPEN_RECALL,
        ),
        split="test (451 questions: 272 closed, 179 open)",
        source="flaviagiammarino/vqa-rad, or a folder with qa.jsonl",
        citation="Lau et al. 2018, A dataset of clinically generated visual questions and answers about radiology images",
        breakdown=("answer_type", "organ", "question_type"),
        notes="The paper's 1,790 train and 451 test pairs do not add up to its 2,244.",
    ),
    TaskSpec(
        name="chartqa",
        read=_local("chartqa", *_QA, "data/test-*.parquet", "test-*.parquet"),
        metrics=(scorers.RELAXED, scorers.EXACT),
        split="test (1,250 human and 1,250 augmented questions)",
        source="lmms-lab/ChartQA, or a folder with qa.jsonl",
        citation="Masry et al. 2022, ChartQA: a benchmark for question answering about charts (arXiv 2203.10244)",
        prompt="{question}\nAnswer the question with a single word.",
        max_new_tokens=16,
        breakdown=("source", "type"),
        notes="Prompt as lmms-eval. Years count as numbers, so 2010 is within 5 % of 2018.",
    ),
    TaskSpec(
        name="sroie",
        read=_local("sroie", *_QA),
        metrics=(scorers.EXACT, scorers.F1),
        split="as given",
        source="a folder with qa.jsonl: company, date, total and address of receipts",
        citation="Huang et al. 2019, ICDAR 2019 competition on scanned receipt OCR and information extraction",
        breakdown=("field",),
        max_new_tokens=64,
        notes="Questions are made from the key file; not the competition's own protocol.",
    ),
    TaskSpec(
        name="cxr",
        read=_local("cxr", "qa_derived.jsonl", "dev/qa_derived.jsonl", *_QA),
        metrics=QA_METRICS,
        split="as given",
        source="a folder with qa_derived.jsonl: projection and finding of chest X-rays",
        citation="Cohen et al. 2020, COVID-19 image data collection (arXiv 2006.11988)",
        breakdown=("answer_type", "source"),
        notes="Questions are made from metadata; what a case record says is not always visible in the picture.",
    ),
)

TASKS: dict[str, TaskSpec] = {spec.name: spec for spec in _SPECS}
