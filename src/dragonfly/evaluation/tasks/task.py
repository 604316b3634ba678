"""What a benchmark is, as data, and where its files are: in a folder, as our manifest in it, or on the Hugging Face hub.

Of a data set on the hub, the files that the task reads are copied to the hub's own cache and then read like any folder.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dragonfly.data import BadRow
from dragonfly.data.manifest import NAME as MANIFEST

from ..metrics import Metric
from ..metrics.choices import LETTERS
from ..question import Question, RowReader, from_manifest, read_rows
from ..statistics import require_scipy
from .rubrics import Rubric

Rows = Iterable[Question | BadRow]
"""What the rows of a data set are: questions, or why one is none."""

Reader = Callable[[Path], Rows]
"""The folder given with --data -> its rows, read as they are taken."""


class MissingDataError(ValueError):
    """The files that a task reads are not where they were looked for."""


SHORT_ANSWER = "{question}\nAnswer the question using a single word or phrase."


@dataclass(frozen=True)
class TaskSpec:
    """A benchmark.

    `read(data)` gives its questions in a fixed order; `train(data)`, where there is a train split beside them, those from which
    the majority answer is counted. `prompt` may hold {question} and {options} (one "A. text" a line). `max_new_tokens` bounds a
    reply. `breakdown` names the meta keys to break scores down by; empty means every key with few values. `check` raises
    ValueError where a program that the metrics need is missing. `hub` is the data set's name on the Hugging Face hub, `hub_files`
    the files that are read of it, `folder` the name of its folder within --data (the task's own name if empty). With a `rubric` a
    judge grades the replies, and metrics get its verdict in the reply's place. For docs/tasks.md: `parsing` is how a reply is
    read, `notes` what differs from other harnesses, `paper` what arXiv 2406.00977 says of the set, its errors included.
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
    check: Callable[[], None] = require_scipy
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
    """The files of the first pattern that matches in `data` or in its folder named like the task; else MissingDataError."""
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


def special(task: str, read: Callable[[Path], Rows], *patterns: str) -> Reader:
    """A reader of a layout of its own: `read` gets the first file of the first pattern that is there."""
    return lambda data: read(locate(data, task, patterns)[0])


def either(task: str, official: Sequence[str], read: Callable[[list[Path]], Rows], otherwise: Reader) -> Reader:
    """A reader of the data set's own files where they are, else of another layout."""

    def choose(data: Path) -> Rows:
        if any(any(root.glob(pattern)) for root in (data, data / task) for pattern in official):
            return read(locate(data, task, official))
        return otherwise(data)

    return choose


def hub(split: str, folder: str = "data") -> tuple[str, ...]:
    """Where a Hugging Face data set keeps a split, seen from its root or from the folder itself."""
    return f"{folder}/{split}-*.parquet", f"{split}-*.parquet"


_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


def folder_of(task: TaskSpec, data: str | None) -> Path:
    """The folder to read: `data` where it is one, else the copy of the hub's data set `data`, or of the task's own.

    `owner/name@revision` names one version of a data set. ValueError where there is neither.
    """
    if data is not None and (Path(data).is_dir() or not _HUB_NAME.fullmatch(data)):
        return Path(data)
    if data is None and not task.hub:
        raise ValueError(f"task {task.name!r} reads {task.source}; name the folder that holds it: --data DIR")
    return _download(task, data or task.hub)


def _download(task: TaskSpec, name: str) -> Path:
    from huggingface_hub import snapshot_download

    owner_name, _, revision = name.partition("@")
    try:
        found = snapshot_download(
            owner_name, repo_type="dataset", revision=revision or None, allow_patterns=list(task.hub_files) or None
        )
    except (OSError, ValueError, RuntimeError) as error:  # offline, unknown, gated: the hub's own classes
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"task {task.name!r} reads {task.source}; there is no folder {name}, and the Hugging Face hub does not give a data "
            f"set of that name ({reason:.120}); name the folder that holds it: --data DIR"
        ) from None
    return Path(found)


def read_questions(task: TaskSpec, folder: Path) -> Rows:
    """The task's questions: of the manifest in `folder` (or in its folder named like the task), else of its published files."""
    manifest = _manifest(task, folder)
    return task.read(folder) if manifest is None else from_manifest(manifest)


def read_train(task: TaskSpec, folder: Path) -> list[Question] | None:
    """The questions of the train split where it lies beside the others; a manifest has none."""
    if task.train is None or _manifest(task, folder) is not None:
        return None
    try:
        return [question for question in task.train(folder) if isinstance(question, Question)]
    except MissingDataError:  # optional; the report names the split in which the majority answer was counted
        return None


def _manifest(task: TaskSpec, folder: Path) -> Path | None:
    return next((root for root in (folder / (task.folder or task.name), folder) if (root / MANIFEST).is_file()), None)
