# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""Folders of DICOM files and DICOMDIRs as series, in the order of their slices; and views of several images, taken apart.

Slices are ordered along the normal of their plane (PS3.3 C.7.6.2.1.1), where all say where they lie; else by instance number.
What a note or an error says of a series is how many images it has, their size and modality.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dragonfly.files import first_bytes, sha256
from dragonfly.imaging import nifti
from dragonfly.imaging.dicom import count_frames
from dragonfly.imaging.dicom_file import guarded, is_dicom, is_directory, read_header
from dragonfly.imaging.pixels import Pixels
from dragonfly.imaging.policy import INTENDED_USE, ImageError, ImagePolicy
from dragonfly.imaging.several import chosen, evenly, in_montage, tiled
from dragonfly.imaging.view import View, join_view, split_view

MAX_FILES = 20_000
VIEWS = ("series", "slice", "slices", "frame", "window", "montage")
_TAGS = [
    "SeriesInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "Modality",
    "Rows",
    "Columns",
]
_PARALLEL = 1e-3  # by how much the entries of two orientations may differ
_DIRECTORY = "DICOMDIR"  # what the standard calls an index of files (PS3.10 8.6)


@dataclass(frozen=True)
class Series:
    """Images that belong together: their files in order, what they are ordered by, and how they look in a list."""

    files: tuple[str, ...]
    order: str
    about: str


def is_series(place: str | Path) -> bool:
    """Whether a path is one that a series may lie at: a folder, or a DICOMDIR."""
    return os.path.isdir(place) or (Path(place).name.upper() == _DIRECTORY and os.path.isfile(place))  # noqa: PTH112, PTH113


def holds_dicom(folder: str | Path) -> bool:
    """Whether a folder's first file, hidden ones and DICOMDIR aside, is DICOM, at any depth."""
    first = next(iter(_files(Path(folder))), None)
    return first is not None and begins_as_dicom(first)


def series_of(place: str | Path) -> tuple[Series, ...]:
    """All series of a folder or DICOMDIR, in the order of their numbers. Raises ImageError where there is none."""
    path = Path(place)
    files = _listed(path) if path.is_file() else list(_files(path))
    if len(files) > MAX_FILES:
        raise ImageError(f"holds more than {MAX_FILES:,} files; name a folder of one study")
    states: list[tuple[str, int, int]] = []
    for file in files:
        status = file.stat()
        if stat.S_ISREG(status.st_mode):
            states.append((str(file), status.st_mtime_ns, status.st_size))
    found = _series(tuple(states))
    if not found:
        raise ImageError("is a folder; name an image in it")
    return found


def read_series(
    place: str | Path, view: View, policy: ImagePolicy, one: Callable[[str, View], tuple[Pixels, str | None]]
) -> tuple[Pixels, str | None]:
    """An image of a series and its hash: a slice, the middle one where none is named, or a montage. `one` loads a file.

    Raises ImageError.
    """
    view.check("a folder of DICOM", VIEWS)
    series = _chosen(place, view)
    total = len(series.files)
    numbers, rest = chosen("slice", view.slice, view.slices, total), View(frame=view.frame, window=view.window)
    if view.montage:
        numbers = in_montage(view.montage, numbers, total, "slice")
        parts = [one(series.files[number - 1], rest) for number in numbers]
        image = tiled(view.montage, [pixels.image for pixels, _ in parts], policy)
        label = f"slices {', '.join(map(str, numbers))} of {total}"
        notes = list(dict.fromkeys([*(note for pixels, _ in parts for note in pixels.notes if note != INTENDED_USE)]))
        spacings = {pixels.spacing for pixels, _ in parts}
        digest = sha256(f"{view.montage} {' '.join(str(digest) for _, digest in parts)}".encode())
        notes = [*notes, f"{label}, {series.order}", INTENDED_USE]
        return replace(
            parts[0][0], image=image, notes=notes, spacing=spacings.pop() if len(spacings) == 1 else None, label=label
        ), digest
    if len(numbers) > 1 or view.slices:
        raise ImageError(f"has a view of {len(numbers)} slices where one image is wanted; give one slice, or add montage=2x4")
    number = numbers[0] if numbers else evenly(1, total)[0]
    pixels, digest = one(series.files[number - 1], rest)
    label = f"slice {number} of {total}"
    if total == 1:
        return pixels, digest
    how = "" if numbers else "; the middle one: #slice=1 after the name is the first, #slices=8 eight of them"
    joined = f"{label}, {pixels.label}" if pixels.label else label
    return replace(pixels, notes=[f"{label}, {series.order}{how}", *pixels.notes], label=joined), digest


def each_image(source: str | Path) -> list[tuple[str, str]]:
    """What a path with a view stands for: (path and view of one image, its label) each. One image is its own, with no label.

    Labels count ("slice 12 of 120", "frame 3 of 8") and say nothing of a header. Raises ValueError, one line that names `source`.
    """
    try:
        place, view = split_view(source)
        if not view.is_several:
            return [(str(source), "")]
        what = "slice" if view.slices or (not view.slice.isdigit() and view.slice) else "frame"
        if is_series(place) and not (view.frame or view.frames):
            kind, total = "slice", len(_chosen(place, view).files)
        elif os.path.isfile(place) and (total := _several_of(place, view, what)):  # noqa: PTH113
            kind = f"{view.plane or 'axial'} slice" if what == "slice" else "frame"
        else:
            return [(str(source), "")]  # loading it says what is wrong
        one, spread = (view.slice, view.slices) if what == "slice" else (view.frame, view.frames)
        numbers = chosen(what, one, spread, total)
    except ImageError as error:
        raise ValueError(f"{source} {error}") from None
    return [
        (join_view(str(place), replace(view, **{f"{what}s": "", what: str(number)})), f"{kind} {number} of {total}")
        for number in numbers
    ]


def frame_of(source: str | Path) -> tuple[str, int]:
    """The DICOM file and the frame, from 1, that a path with a view shows. Raises ValueError where there is none."""
    try:
        place, view = split_view(source)
        if view.montage:
            raise ImageError("shows several frames in one image; name one of them")
        path = str(place)
        if is_series(place):
            files = _chosen(place, view).files
            numbers = chosen("slice", view.slice, view.slices, len(files)) or evenly(1, len(files))
            path = files[numbers[0] - 1]
        if not begins_as_dicom(Path(path)):
            raise ImageError("is no DICOM file")
    except ImageError as error:
        raise ValueError(f"{source} {error}") from None
    return path, int(view.frame or 1)


def burned_in(source: str | bytes) -> str:
    """Whether text is burned into a DICOM image, by its BurnedInAnnotation: `yes`, `no` or `unknown`; '' for any other image."""
    try:
        data = source if isinstance(source, bytes) else Path(frame_of(source)[0]).read_bytes()
    except (ValueError, OSError):
        return ""
    if not is_dicom(data):
        return ""
    header = read_header(io.BytesIO(data), ["BurnedInAnnotation"])
    with guarded():
        return {"YES": "yes", "NO": "no"}.get(str(header.get("BurnedInAnnotation", "")).strip().upper(), "unknown")


def _several_of(path: str | Path, view: View, what: str) -> int:
    """How many frames a DICOM file has, or slices of a plane, or frames, a NIfTI volume; 0 for slices of what has none."""
    with Path(path).open("rb") as file:
        start = file.read(nifti.ENOUGH)
        if nifti.is_nifti(start):
            return nifti.extent(start, view)[what == "frame"]
        if what == "slice":
            return 0
        if not is_dicom(start):
            raise ImageError("is no file of several frames; leave the frames out")
        file.seek(0)
        return count_frames(read_header(file, ["NumberOfFrames"]))


def _chosen(place: str | Path, view: View) -> Series:
    found = series_of(place)
    if view.series:
        number = int(view.series)
        if not 1 <= number <= len(found):
            raise ImageError(f"holds {len(found)} series, counted from 1, and no series {number}")
        return found[number - 1]
    if len(found) > 1:
        shown = "; ".join(f"{number}: {one.about}" for number, one in enumerate(found[:12], start=1))
        more = f"; and {len(found) - 12} more" if len(found) > 12 else ""
        raise ImageError(f"holds {len(found)} series ({shown}{more}); choose one: #series=1 after the name, or name a file")
    return next(iter(found))


def _files(folder: Path) -> Sequence[Path]:
    """Its files at any depth, by name; hidden ones and indexes left out. One more than the limit at most."""
    found: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(root, name) for name in sorted(names) if not name.startswith(".") and name.upper() != _DIRECTORY]
        if len(found) > MAX_FILES:
            break
    return found[: MAX_FILES + 1]


def _listed(index: Path) -> list[Path]:
    """The images that a DICOMDIR lists and that are there, all of them beside it. Raises ImageError."""
    with index.open("rb") as file:
        header = read_header(file)
    with guarded("a damaged DICOMDIR"):
        if not is_directory(header):
            raise ImageError("is named as an index of DICOM files and is none; give it another name")
        named = [item.get("ReferencedFileID") for item in header.get("DirectoryRecordSequence") or []]
        parts = [[one] if isinstance(one, str) else [str(piece) for piece in one] for one in named if one]
        inside = [names for names in parts if all(re.fullmatch(r"[\w.-]+", name) and name.strip(".") for name in names)]
        return [path for names in inside if (path := index.parent.joinpath(*names)).is_file()]


def begins_as_dicom(path: Path) -> bool:
    """Whether a file is DICOM, whatever it is called. False for what cannot be read."""
    return is_dicom(first_bytes(path, 4096))


@lru_cache(maxsize=8)
def _series(states: tuple[tuple[str, int, int], ...]) -> tuple[Series, ...]:
    """The series of files of these (path, time, size): headers are read again where one has changed."""
    groups: dict[str, list[tuple[str, Any]]] = {}
    for name, _, _ in states:
        path = Path(name)
        if not begins_as_dicom(path):
            continue
        try:
            with path.open("rb") as file:
                header = read_header(file, _TAGS)
            with guarded():
                is_image = bool(header.get("Rows"))
        except ImageError:
            continue  # a damaged file among good ones: who names it hears why
        if is_image:
            groups.setdefault(str(header.get("SeriesInstanceUID", "")), []).append((name, header))
    ordered = sorted(groups.items(), key=lambda item: (_number(item[1][0][1], "SeriesNumber"), item[0]))
    return tuple(_ordered(members) for _, members in ordered)


def _ordered(members: list[tuple[str, Any]]) -> Series:
    first = members[0][1]
    kind = str(first.get("Modality", "")).strip()
    count = f"{len(members)} {kind + ' ' if re.fullmatch('[A-Z]{2,8}', kind) else ''}image{'s' * (len(members) != 1)}"
    about = f"{count} of {first.get('Rows')} x {first.get('Columns')}"
    places = _along_normal([header for _, header in members])
    if places is not None:
        files = [name for _, name in sorted(zip(places, (name for name, _ in members), strict=True))]
        return Series(tuple(files), "ordered by position", about)
    numbers = [_number(header, "InstanceNumber") for _, header in members]
    by_number = len(set(numbers)) == len(numbers)
    files = [
        name for _, name in sorted(zip(numbers if by_number else [0] * len(members), (name for name, _ in members), strict=True))
    ]
    return Series(tuple(files), "ordered by instance number" if by_number else "ordered by file name", about)


def _along_normal(headers: list[Any]) -> list[float] | None:
    """Millimetres of each slice along their common normal; None unless all say it and lie parallel and apart."""
    try:
        with guarded():
            turns = np.array([[float(one) for one in header.ImageOrientationPatient] for header in headers])
            places = np.array([[float(one) for one in header.ImagePositionPatient] for header in headers])
    except ImageError:
        return None
    if turns.shape[1:] != (6,) or places.shape[1:] != (3,) or np.abs(turns - turns[0]).max() > _PARALLEL:
        return None
    along = places @ np.cross(turns[0, :3], turns[0, 3:])
    if not np.isfinite(along).all() or len(np.unique(np.round(along, 3))) < len(along):
        return None
    return along.tolist()


def _number(header: Any, name: str) -> int:
    try:
        with guarded():
            return int(header.get(name) or 0)
    except ImageError:
        return 0
