"""One worker per job: a folder that only one can make, with the owner's name in it. Works on any file system with mkdir."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

OWNER = "owner.json"


@contextmanager
def lock(path: Path) -> Generator[bool]:
    """Yield whether the folder `path` was made by this process; it is removed afterwards.

    A lock whose owner ran on this machine and is no more is taken over. One of another machine is left alone: whether its
    owner lives cannot be seen from here, so a person has to remove the folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = _make(path) or (_abandoned(path) and _take_over(path))
    try:
        yield mine
    finally:
        if mine:
            shutil.rmtree(path, ignore_errors=True)


def _make(path: Path) -> bool:
    try:
        path.mkdir()
    except FileExistsError:
        return False
    (path / OWNER).write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}), encoding="utf-8")
    return True


def _abandoned(path: Path) -> bool:
    try:
        owner = json.loads((path / OWNER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # just being made, or just gone
    if owner["host"] != socket.gethostname():
        return False
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _take_over(path: Path) -> bool:
    """Of several who try, the one whose rename succeeds."""
    grave = path.with_name(f"{path.name}.{os.getpid()}.old")
    try:
        path.rename(grave)
    except OSError:
        return False
    shutil.rmtree(grave, ignore_errors=True)
    return _make(path)
