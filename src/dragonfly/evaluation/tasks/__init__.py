"""Every benchmark, one entry each: what is asked, how a reply is read, which metrics count, where the data come from.

The first metric is the headline. Protocols are those of the harness named in the entry; where harnesses differ the
variant is part of a metric's or a task's name. `manifest:PATH` and `jsonl:PATH` make a task of a person's own data.
"""

from pathlib import Path

from dragonfly.config import nearest

from ..metrics import short
from ..question import from_manifest, read_rows
from .general import GENERAL
from .hallucination import HALLUCINATION
from .medical import MEDICAL
from .reports import REPORTS
from .task import Reader, Rows, TaskSpec, folder_of, read_questions, read_train, render

__all__ = ["OWN_DATA", "TASKS", "TaskSpec", "find_task", "folder_of", "read_questions", "read_train", "render"]

TASKS: dict[str, TaskSpec] = {spec.name: spec for spec in (*GENERAL, *HALLUCINATION, *MEDICAL, *REPORTS)}


def _rows(path: Path) -> Rows:
    if not path.is_file():
        raise ValueError(f"no such file: {path}; give a file of rows with question, answer and image")
    return read_rows([path])


OWN_DATA: dict[str, Reader] = {"manifest": from_manifest, "jsonl": _rows}


def find_task(name: str) -> TaskSpec:
    """The task of that name; ValueError with the nearest name where there is none."""
    kind, colon, path = name.partition(":")
    if colon and kind in OWN_DATA:
        if not path:
            raise ValueError(f"task {name!r} names no file; write {kind}:PATH")
        return TaskSpec(
            name=name,
            read=lambda _: OWN_DATA[kind](Path(path)),
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
    if name not in TASKS:
        raise ValueError(f"task: {nearest(name, (*TASKS, *(f'{kind}:PATH' for kind in OWN_DATA)))}")
    return TASKS[name]
