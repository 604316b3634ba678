"""Where a task's files are: a local folder, our manifest in it, or a data set of the Hugging Face hub.

A data set of the hub is copied to the hub's own cache, only the files that the task reads, and then read like any
folder: one reader serves both. Promises one line that says what is missing.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from dragonfly.data.manifest import NAME as MANIFEST

from ..questions import Question, from_manifest
from .task import MissingDataError, TaskSpec

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


def read_questions(task: TaskSpec, folder: Path) -> Iterable[Question]:
    """The task's questions: of the manifest in `folder` (or in its folder named like the task), else of its published files."""
    manifest = _manifest(task, folder)
    return task.read(folder) if manifest is None else from_manifest(manifest)


def read_train(task: TaskSpec, folder: Path) -> list[Question] | None:
    """The questions of the train split where it lies beside the others; a manifest has none."""
    if task.train is None or _manifest(task, folder) is not None:
        return None
    try:
        return list(task.train(folder))
    except MissingDataError:  # it need not be there; the report says what the majority answer was counted in
        return None


def _manifest(task: TaskSpec, folder: Path) -> Path | None:
    return next((root for root in (folder / (task.folder or task.name), folder) if (root / MANIFEST).is_file()), None)
