"""Folders that are a data set: splits, images sorted into folders by class, and the order in which files are read.

A folder of class folders becomes one question, `CLASS_QUESTION`, whose answer is the folder's name; where an image is sorted says
no more than that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dragonfly.imaging import IMAGE_SUFFIXES

from .files import SUFFIXES

CLASS_QUESTION = "Which class does this image belong to?"
"""What is asked about an image of a class folder; the class names are its options."""

_SPLITS = {"train": "train", "training": "train", "test": "test", "dev": "validation", "val": "validation", "valid": "validation"}
_SPLITS["validation"] = "validation"
_FIRST_WORD = re.compile(r"[a-z]+")


def split_of(path: Path) -> str | None:
    """The split that a file's or folder's name begins with (`test-00000-of-00001.parquet`, `dev.csv`), in one spelling."""
    word = _FIRST_WORD.match(path.stem.lower())
    return None if word is None else _SPLITS.get(word[0])


def members(folder: Path, split: str | None) -> tuple[list[Path], Path | None]:
    """(data files, None), or ([], the folder of class folders), of the split that is asked for.

    Where files or folders are named after splits, those of `split` are taken; None takes the only one. ValueError where there is
    none, or nothing to read.
    """
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    if metadata := [file for file in files if file.stem.lower() == "metadata"]:
        return metadata[:1], None  # beside the images that it names, as `imagefolder` has it
    if files:
        return _of_split(folder, files, split), None
    folders = [one for one in sorted(folder.iterdir()) if one.is_dir() and not one.name.startswith(".")]
    if folders and all(one.name.lower() in _SPLITS for one in folders):
        return members(_of_split(folder, folders, split)[0], None)
    if any(_holds_images(one) for one in folders):
        return [], folder
    raise ValueError(
        f"no data files in {folder}; accepted: {', '.join(SUFFIXES)}, one folder per class with its images, what save_to_disk "
        "wrote, or a manifest"
    )


def class_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """A row for every image of every class folder, in the order of their names."""
    classes = [one for one in sorted(folder.iterdir()) if one.is_dir() and not one.name.startswith(".") and _holds_images(one)]
    options = [one.name for one in classes]
    for one in classes:
        for image in sorted(_images(one)):
            name = image.relative_to(folder).as_posix()
            yield {"id": name, "image": name, "question": CLASS_QUESTION, "answer": one.name, "options": options}


def _of_split(folder: Path, found: list[Path], split: str | None) -> list[Path]:
    names = {one: split_of(one) for one in found}
    known = sorted({name for name in names.values() if name})
    if len(known) < 2 and None in names.values():
        return found  # one name that happens to begin like a split
    if split is None and len(known) == 1:
        return found
    if split is None:
        raise ValueError(f"{folder} has the splits {', '.join(known)}; name one: {folder}:{known[0]}")
    wanted = _SPLITS.get(split.lower(), split)
    chosen = [one for one, name in names.items() if name == wanted]
    if not chosen:
        raise ValueError(
            f"{folder} has no split {split!r}; name one that it has: {', '.join(f'{folder}:{one}' for one in known)}"
        )
    return chosen


def _images(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.name.lower().endswith(IMAGE_SUFFIXES) and file.is_file())


def _holds_images(folder: Path) -> bool:
    return next(_images(folder), None) is not None
