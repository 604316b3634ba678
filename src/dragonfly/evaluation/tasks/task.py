"""What a benchmark is, as data, and how its files are found."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import intervals
from ..metrics import LETTERS
from ..questions import Question, RowReader, read_rows
from ..scorers import Metric
from .rubrics import Rubric

Reader = Callable[[Path], Iterable[Question]]
"""The folder given with --data -> the questions, read as they are taken."""


class MissingDataError(ValueError):
    """The files that a task reads are not where they were looked for."""


SHORT_ANSWER = "{question}\nAnswer the question using a single word or phrase."


@dataclass(frozen=True)
class TaskSpec:
    """A benchmark.

    `read(data)` gives its questions in a fixed order, `train(data)` those of the train split, for the majority answer,
    where it lies beside them. `prompt` may hold {question} and {options} (one "A. text" a line). `breakdown` names the
    meta keys to break scores down by; empty means every key with few values. `check` raises ValueError where a program that
    the metrics need is missing. `hub` is the data set's name on the Hugging Face hub and `hub_files` what is read of it;
    `folder` is the name of its folder within --data, the task's own if empty. With a `rubric` a judge reads the replies, and
    metrics see its verdict in the reply's place. `parsing` and `notes` tell how a reply is read and what to know of it,
    `paper` what arXiv 2406.00977 says of the set, faults included.
    """

    name: str
    read: Reader
    metrics: tuple[Metric, ...]
    split: str
    source: str
    citation: str
    licence: str
    parsing: str
    paper: str
    prompt: str = SHORT_ANSWER
    max_new_tokens: int = 32
    breakdown: tuple[str, ...] = ()
    train: Reader | None = None
    check: Callable[[], None] = intervals.require
    hub: str = ""
    hub_files: tuple[str, ...] = ()
    folder: str = ""
    rubric: Rubric | None = None
    notes: str = ""


def render(template: str, question: Question) -> str:
    """The text that is asked. ValueError where the template asks for what no question has."""
    options = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, question.options, strict=False))
    try:
        return template.format(question=question.text, options=options).strip()
    except (KeyError, IndexError, ValueError):
        raise ValueError(f"prompt {template!r} is not a template; it may hold {{question}} and {{options}}") from None


def locate(data: Path, task: str, patterns: Sequence[str]) -> list[Path]:
    """The files of the first pattern that matches in `data` or in its folder named like the task.

    MissingDataError naming what was looked for.
    """
    if not data.is_dir():
        raise MissingDataError(f"no folder {data}; give the folder of task {task!r} with --data")
    for root in (data, data / task):
        for pattern in patterns:
            if found := sorted(path for path in root.glob(pattern) if path.is_file()):
                return found
    raise MissingDataError(f"task {task!r}: none of {', '.join(patterns)} is in {data} or {data / task}; see --data")


def files(task: str, *patterns: str, change: RowReader | None = None) -> Reader:
    """A reader of rows in the files of the first pattern that is there."""
    return lambda data: read_rows(locate(data, task, patterns), change)


def special(task: str, read: Callable[[Path], Iterable[Question]], *patterns: str) -> Reader:
    """A reader of a layout of its own: `read` gets the first file of the first pattern that is there."""
    return lambda data: read(locate(data, task, patterns)[0])


def either(task: str, official: Sequence[str], read: Callable[[list[Path]], Iterable[Question]], otherwise: Reader) -> Reader:
    """A reader of the data set's own files where they are, else of another layout."""

    def choose(data: Path) -> Iterable[Question]:
        if any(any(root.glob(pattern)) for root in (data, data / task) for pattern in official):
            return read(locate(data, task, official))
        return otherwise(data)

    return choose


def hub(split: str, folder: str = "data") -> tuple[str, ...]:
    """Where a Hugging Face data set keeps a split, seen from its root or from the folder itself."""
    return f"{folder}/{split}-*.parquet", f"{split}-*.parquet"
