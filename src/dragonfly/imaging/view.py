"""What of a file is shown: `scan.pdf#2`, `scan.dcm#window=lung`, `brain.nii.gz#plane=axial&slice=60`, `slide.svs#region=x,y,w,h`.

A view is written after the file's name, so that a command line, a row of data and a message all write it one way; rows may name
its parts as fields instead. The whole string is tried as a path first. One `View` is one image; what stands for several images
(`slices=8`) is taken apart before (`series.py`). Knows no format: which parts a format reads, its own reader says (`check`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from dragonfly.imaging.policy import ImageError

_PAGE = re.compile(r"[0-9]{1,6}")
_PARTS = re.compile(r"[a-z]+=[^&#]*(?:&[a-z]+=[^&#]*)*")
_COUNT = re.compile(r"[0-9]{1,6}")
_RANGE = re.compile(r"[0-9]{1,6}-[0-9]{1,6}|all")


@dataclass(frozen=True)
class View:
    """The parts of a view; '' is what the format shows by itself. Everything is counted from 1.

    Args:
        page: of a PDF.
        frame: of a file of several frames: a number, a range `3-8`, or `all`.
        slice: of a volume or series: the same.
        frames, slices: how many, evenly spread over all there are.
        series: of a folder of DICOM files that holds several: its number.
        plane: of a volume: axial, coronal or sagittal.
        window: grey levels: a preset's name, `centre,width`, the number of a stored window, or three joined by `+` for RGB.
        region: of a slide, `left,top,width,height` in pixels of its finest level.
        magnification: of a slide, as of an objective (20 is 20 x).
        montage: `rows x columns` as `3x4`: several frames or slices in one image.
    """

    page: str = ""
    frame: str = ""
    frames: str = ""
    slice: str = ""
    slices: str = ""
    series: str = ""
    plane: str = ""
    window: str = ""
    region: str = ""
    magnification: str = ""
    montage: str = ""

    @property
    def text(self) -> str:
        """As it is written after `#`, in one order of the parts: equal views have equal texts. '' for a file's own view."""
        if self.page and self == View(page=self.page):
            return self.page
        return "&".join(f"{name}={value}" for name, value in self.parts.items())

    @property
    def parts(self) -> dict[str, str]:
        """The parts that are given."""
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name))}

    @property
    def is_several(self) -> bool:
        """Whether it stands for more than one image."""
        ranges = any(_RANGE.fullmatch(value) for value in (self.frame, self.slice))
        return not self.montage and (ranges or bool(self.frames or self.slices))

    @classmethod
    def of(cls, parts: Mapping[str, Any]) -> View:
        """From named parts, as a row of data has them. Raises ImageError for a name or a form that is not known."""
        given = {name: str(value).strip().lower() for name, value in parts.items() if value not in (None, "")}
        if unknown := [name for name in given if name not in VIEW_PARTS]:
            raise ImageError(f"has a view with '{unknown[0]}', which is not known; accepted: {', '.join(VIEW_PARTS)}")
        for name, value in given.items():
            _check_form(name, value)
        return cls(**given)

    @classmethod
    def parse(cls, text: str) -> View:
        """From what stands after `#`. Raises ImageError."""
        if _PAGE.fullmatch(text):
            return cls(page=text.lstrip("0") or "0")
        pairs = [(name, unquote(value)) for name, _, value in (one.partition("=") for one in text.split("&") if one)]
        if twice := [name for name, _ in pairs if [one for one, _ in pairs].count(name) > 1]:
            raise ImageError(f"has a view that says '{twice[0]}' twice; say it once")
        if empty := [name for name, value in pairs if not value]:
            raise ImageError(f"has a view with an empty '{empty[0]}'; give it a value or leave it out")
        return cls.of(dict(pairs))

    def check(self, kind: str, readable: Collection[str]) -> None:
        """Raise ImageError unless a format reads all of the parts: nothing that a user asks for is left out silently."""
        for name, value in self.parts.items():
            if name not in readable:
                wanted = f"#{value}" if name == "page" else f"#{name}={value}"
                accepted = f"; accepted: {', '.join(readable)}" if readable else ""
                raise ImageError(f"is {kind}, which has no {name}; leave {wanted} out{accepted}")


VIEW_PARTS = tuple(one.name for one in fields(View))


def split_view(source: str | Path) -> tuple[str | Path, View]:
    """A file and the view of it; the whole string is the file where one of that name exists. Raises ImageError."""
    text = str(source)
    place, mark, words = text.rpartition("#")
    if not mark or not place or not (_PAGE.fullmatch(words) or _PARTS.fullmatch(words)) or text.startswith("data:"):
        return source, View()
    if os.path.exists(source):  # noqa: PTH110 - Path.exists raises on some names
        return source, View()
    return (place if isinstance(source, str) else Path(place)), View.parse(words)


def join_view(source: str, view: View) -> str:
    """The one string that names a file and a view of it; a view that the file's name has already is not lost."""
    if not view.parts:
        return source
    before = split_view(source)
    return f"{before[0]}#{View.of({**before[1].parts, **view.parts}).text}"


def _check_form(name: str, value: str) -> None:
    """What can be said of a part without its file."""
    forms = {
        "page": (_COUNT, "a number from 1"),
        "frames": (_COUNT, "a number from 1"),
        "slices": (_COUNT, "a number from 1"),
        "series": (_COUNT, "a number from 1"),
        "frame": (re.compile(f"{_COUNT.pattern}|{_RANGE.pattern}"), "a number from 1, a range as 3-8, or all"),
        "slice": (re.compile(f"{_COUNT.pattern}|{_RANGE.pattern}"), "a number from 1, a range as 3-8, or all"),
        "plane": (re.compile("axial|coronal|sagittal"), "axial, coronal or sagittal"),
        "region": (re.compile(r"[0-9]+,[0-9]+,[1-9][0-9]*,[1-9][0-9]*"), "left,top,width,height in whole pixels"),
        "magnification": (re.compile(r"[0-9]+(\.[0-9]+)?"), "a number as 20"),
        "montage": (re.compile(r"[1-9][0-9]?x[1-9][0-9]?"), "rows x columns as 3x4"),
        "window": (re.compile(r"[a-z0-9.,+_-]+"), "a preset's name, centre,width, or the number of a stored window"),
    }
    form, accepted = forms[name]
    if not form.fullmatch(value):
        raise ImageError(f"has a view with {name}='{value:.40}'; accepted: {accepted}")
