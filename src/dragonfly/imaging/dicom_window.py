"""Grey levels of DICOM: stored values become modality values, and these 0 to 255, as PS3.3 C.11.1, C.11.2 and C.7.6.3 say.

Arithmetic is in float64 and rounded once, at the end. Knows numbers and tables, no file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dragonfly.imaging.policy import ImageError

Values = NDArray[np.float64]
WHITE = 255.0


@dataclass(frozen=True)
class Window:
    """A window and its function: `LINEAR`, `LINEAR_EXACT` or `SIGMOID` (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""

    centre: float
    width: float
    function: str = "LINEAR"

    def __post_init__(self) -> None:
        least = 1 if self.function == "LINEAR" else 0
        if not (np.isfinite(self.centre) and np.isfinite(self.width)) or self.width < least or self.width <= 0:
            raise ImageError(
                f"has a window of width {self.width:g}, which is {'less than 1' if least else 'not above 0'}; "
                "give another: #window=centre,width"
            )
        if self.function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
            raise ImageError("has a window of an unknown function; give another: #window=centre,width")

    def __call__(self, values: Values) -> Values:
        """Grey 0 to 255, not rounded."""
        centre, width = self.centre, self.width
        if self.function == "SIGMOID":
            with np.errstate(over="ignore"):
                return np.asarray(WHITE / (1 + np.exp(-4 * (values - centre) / width)))
        if self.function == "LINEAR_EXACT":
            grey = ((values - centre) / width + 0.5) * WHITE
            return np.where(values <= centre - width / 2, 0.0, np.where(values > centre + width / 2, WHITE, grey))
        low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
        grey = ((values - (centre - 0.5)) / max(width - 1, 1) + 0.5) * WHITE  # width 1 has nothing between its two ends
        return np.where(values <= low, 0.0, np.where(values > high, WHITE, grey))

    @property
    def text(self) -> str:
        """As it is written in a view; a function other than LINEAR is named behind it."""
        return f"{self.centre:g},{self.width:g}" + ("" if self.function == "LINEAR" else f" ({self.function})")


PRESETS = {
    "lung": Window(-600, 1500),
    "mediastinum": Window(50, 350),
    "bone": Window(400, 1800),
    "brain": Window(40, 80),
    "liver": Window(30, 150),
    "subdural": Window(75, 215),
}
"""For Hounsfield units, from Radiopaedia, "Windowing (CT)" (rID 52108): what it gives as "chest, lungs"; "chest, mediastinum";
"spine, bone"; "brain"; "abdomen, liver"; "subdural", there centre 50 to 100 and width 130 to 300, of which the middles."""


@dataclass(frozen=True)
class Table:
    """A lookup table (PS3.3 C.11.1.1, C.11.2.1.1): `first` is the input of its first entry; beyond an end that end is taken."""

    first: int
    bits: int
    entries: Values

    def __call__(self, values: Values) -> Values:
        place = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        return np.asarray(self.entries[place.astype(np.int64)])

    def grey(self, values: Values) -> Values:
        """The entries as grey: the largest number of so many bits is white."""
        return self(values) / (2**self.bits - 1) * WHITE


Grey = Callable[[Values], Values]
"""From modality values to grey 0 to 255."""


def full_range(low: float, high: float) -> Grey:
    """`low` is black and `high` white; nothing is between them where they are equal."""
    return lambda values: (np.clip(values, low, high) - low) / ((high - low) or 1.0) * WHITE


def asked(text: str, stored: list[tuple[str, Grey]], is_hounsfield: bool) -> list[tuple[str, Grey]]:
    """What `window=TEXT` means, one or three, each with the words of a note. Raises ImageError.

    Args:
        text: a preset's name, `centre,width`, the number of a stored window or table, or three of these joined by `+`.
        stored: the file's own, in their order.
        is_hounsfield: whether values are Hounsfield units, which presets are made for.
    """
    names = _joined(text)
    if len(names) not in (1, 3):
        raise ImageError(f"has a view with {len(names)} windows ('{text:.60}'); accepted: one, or three joined by + as RGB")
    return [_one(name, stored, is_hounsfield) for name in names]


def _joined(text: str) -> list[str]:
    """The windows between `+`, which may also be the sign of a number."""
    names: list[str] = []
    for piece in text.split("+"):
        if names and (not names[-1] or names[-1].endswith(",")):
            names[-1] += piece
        else:
            names.append(piece)
    return names


def _one(name: str, stored: list[tuple[str, Grey]], is_hounsfield: bool) -> tuple[str, Grey]:
    if name in PRESETS:
        if not is_hounsfield:
            raise ImageError(f"has no Hounsfield units, which window '{name}' is for; give centre,width, or leave it out")
        return f"window {name} ({PRESETS[name].text})", PRESETS[name]
    if name.isdigit():
        if not 1 <= int(name) <= len(stored):
            have = f"{len(stored)} stored window{'s' * (len(stored) != 1)}" if stored else "no stored window"
            raise ImageError(f"has {have}, counted from 1, and no window {int(name)}; give centre,width")
        return stored[int(name) - 1]
    try:
        centre, width = map(float, name.split(","))
    except ValueError:
        raise ImageError(
            f"has a view with window='{name:.40}'; accepted: {', '.join(PRESETS)}, centre,width, or the number of a stored window"
        ) from None
    window = Window(centre, width)
    return f"window {window.text}", window
