"""Checkpoints that count: a folder `checkpoint-STEP` with a `complete.json`, written last, of every file's size.

Promises that a half-written folder is never resumed from, and that an older one goes only when a newer one is complete.
Knows nothing of what is saved.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

from dragonfly.files import write_json

logger = logging.getLogger(__name__)

COMPLETE = "complete.json"


def complete(folder: Path) -> None:
    """Declare a checkpoint whole: note every file's size. To be called when all processes have written."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != COMPLETE)
    sizes = {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}
    write_json(folder / COMPLETE, {"step": step_of(folder), "files": sizes})


def is_complete(folder: Path) -> bool:
    """Whether a checkpoint has its `complete.json` and every file has the size noted there."""
    try:
        sizes: dict[str, int] = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))["files"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False


def checkpoints(output: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first; the others are passed over with a warning."""
    good: list[Path] = []
    for folder in _folders(output):
        if is_complete(folder):
            good.append(folder)
        else:
            logger.warning("checkpoint %s is not complete and is passed over", folder)
    return good


def rotate(output: Path, keep: int) -> None:
    """Remove all but the newest `keep` complete checkpoints."""
    for folder in checkpoints(output)[:-keep]:
        (folder / COMPLETE).unlink()  # first, so that a removal that is interrupted leaves nothing that counts
        shutil.rmtree(folder)


def clear_incomplete(output: Path) -> None:
    """Remove half-written checkpoints, so that none of their files is taken for a new one's."""
    for folder in _folders(output):
        if not is_complete(folder):
            shutil.rmtree(folder)


def step_of(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


def _folders(output: Path) -> list[Path]:
    folders = [folder for folder in output.glob("checkpoint-*") if folder.name.rpartition("-")[2].isdigit()]
    return sorted(folders, key=step_of)
