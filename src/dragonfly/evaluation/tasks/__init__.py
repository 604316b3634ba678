"""Every benchmark, one entry each: what is asked, how a reply is read, which metrics count, where the data come from.

The first metric is the headline. Protocols are those of the harness named in the entry; where harnesses differ the
variant is part of a metric's or a task's name. A path makes a task of a person's own data.
"""

from collections.abc import Mapping
from pathlib import Path

from dragonfly.config import nearest
from dragonfly.data.readers import locate
from dragonfly.data.readers.files import SUFFIXES
from dragonfly.data.readers.huggingface import is_hub_name

from ..metrics import short
from ..question import from_manifest, from_rows, read_rows
from .general import GENERAL
from .hallucination import HALLUCINATION
from .high_resolution import HIGH_RESOLUTION
from .medical import MEDICAL
from .reports import REPORTS
from .task import Reader, Rows, TaskSpec, folder_of, read_questions, read_train, render

__all__ = ["OWN_DATA", "TASKS", "TaskSpec", "find_task", "folder_of", "read_questions", "read_train", "render"]

TASKS: dict[str, TaskSpec] = {spec.name: spec for spec in (*GENERAL, *HIGH_RESOLUTION, *HALLUCINATION, *MEDICAL, *REPORTS)}


def _rows(path: Path) -> Rows:
    if not path.is_file():
        raise ValueError(f"no such file: {path}; give a file of rows with question, answer and image")
    return read_rows([path])


OWN_DATA: dict[str, Reader] = {"manifest": from_manifest, "jsonl": _rows}
"""Kinds that may stand before a colon. `jsonl` is read like a published file: a missing image is a question answered wrong.
Without a colon, a path or OWNER/NAME of the hub is read as training reads it."""


def find_task(name: str, columns: Mapping[str, str] | None = None, image_root: str | None = None) -> TaskSpec:
    """The task of that name, or one's own data as a task: a path, a hub data set, `manifest:PATH` or `jsonl:PATH`.

    `columns` and `image_root` say how to read one's own rows (`data.read`). ValueError with the nearest name where there is none.
    """
    if name in TASKS:
        return TASKS[name]
    kind, colon, path = name.partition(":")
    if not (colon and kind in OWN_DATA):
        kind, path = "", name
    if not kind and not _is_data(name):
        raise ValueError(f"task: {nearest(name, (*TASKS, *(f'{kind}:PATH' for kind in OWN_DATA), 'PATH'))}")
    if not path:
        raise ValueError(f"task {name!r} names no file; write {kind}:PATH")
    return TaskSpec(
        name=name,
        read=lambda _: OWN_DATA[kind](Path(path)) if kind else from_rows(path, columns, image_root),
        metrics=(short.EXACT, short.CLOSED, short.F1, short.F1_OPEN),
        split="as given",
        source=path,
        citation="",
        licence="",
        parsing="",
        paper="",
        prompt="{question}",
        max_new_tokens=64,
    )


def _is_data(name: str) -> bool:
    """Whether a name can only be a person's own data; by its looks, for scores are read again without data."""
    path = Path(locate(name)[0])
    return path.exists() or path.suffix.lower() in SUFFIXES or path.is_absolute() or is_hub_name(str(path))
