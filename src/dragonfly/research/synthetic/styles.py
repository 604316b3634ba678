"""Page styles. Each belongs to one family and one split; training pages also mix the parts of training styles.

No style occurs in two splits, and `dev` and `test` each have a paper and a frame that no training style has.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from .fonts import NAMES as FACES


@dataclass(frozen=True)
class Style:
    """The look of a page: arrangement of keys and values, fonts, paper and frame."""

    arrangement: str
    faces: tuple[str, ...]
    paper: str = "plain"
    frame: str = "none"

    @property
    def name(self) -> str:
        return f"{self.arrangement}/{self.paper}/{self.frame}/{'+'.join(self.faces)}"


_SANS, _MIX, _BOOK = ("sans", "condensed"), ("condensed", "mono", "serif"), ("serif", "roman", "roman-bold")

STYLES: dict[str, dict[str, tuple[Style, ...]]] = {
    "receipt": {
        "train": (
            Style("leader", ("mono", "condensed")),
            Style("below", _SANS, "ruled"),
            Style("ledger", _BOOK, "cream", "underline"),
            Style("beside", ("mono", "roman")),
            Style("boxed", _MIX, "tinted"),
        ),
        "dev": (Style("leader", _BOOK, "dotted", "underline"),),
        "test": (Style("ledger", _MIX, "squared", "none"),),
    },
    "label": {
        "train": (
            Style("centred", _SANS, "tinted", "box"),
            Style("strip", _MIX, "plain"),
            Style("above", _BOOK, "kraft"),
            Style("tag", ("sans", "sans-bold"), "cream"),
        ),
        "dev": (Style("strip", _BOOK, "dotted"),),
        "test": (Style("centred", _MIX, "kraft", "corner"),),
    },
    "form": {
        "train": (
            Style("boxed", _SANS, "plain"),
            Style("below", _MIX, "tinted", "underline"),
            Style("below", _BOOK, "plain", "box"),
            Style("beside", ("condensed", "roman"), "ruled", "underline"),
        ),
        "dev": (Style("boxed", _BOOK, "dotted"),),
        "test": (Style("below", _SANS, "squared", "corner"),),
    },
    "page": {
        "train": (
            Style("beside", _BOOK, "cream"),
            Style("below", _MIX, "ruled"),
            Style("centred", _BOOK, "stained"),
            Style("ledger", ("mono", "sans"), "stained"),
        ),
        "dev": (Style("below", _BOOK, "dotted"),),
        "test": (Style("above", _MIX, "stained"),),
    },
    "table": {
        "train": (
            Style("ledger", _SANS, "plain", "box"),
            Style("beside", _MIX, "tinted", "underline"),
            Style("below", _BOOK, "ruled", "bar"),
            Style("centred", ("mono", "sans-bold"), "plain", "bar"),
        ),
        "dev": (Style("ledger", _BOOK, "plain", "pill"),),
        "test": (Style("below", _MIX, "plain", "corner"),),
    },
    "chart": {
        "train": (
            Style("bar", _SANS, "plain"),
            Style("bar", _BOOK, "ruled"),
            Style("pie", _MIX, "plain"),
            Style("point", _SANS, "tinted"),
            Style("sideways", _MIX, "cream"),
        ),
        "dev": (Style("pie", _BOOK, "dotted"),),
        "test": (Style("bar", _MIX, "squared"),),
    },
    "panel": {
        "train": (
            Style("centred", ("sans", "sans-bold"), "night", "box"),
            Style("boxed", _SANS, "night"),
            Style("dial", _MIX, "steel"),
            Style("dial", ("condensed", "sans-bold"), "night"),
            Style("below", ("mono", "condensed"), "steel", "box"),
        ),
        "dev": (Style("below", _SANS, "night", "pill"),),
        "test": (Style("boxed", _MIX, "steel", "corner"),),
    },
    "shapes": {
        "train": (
            Style("right", ("sans", "sans-bold")),
            Style("under", _MIX, "tinted"),
            Style("right", _BOOK, "cream"),
            Style("over", ("sans", "roman-bold"), "ruled"),
        ),
        "dev": (Style("over", _BOOK, "dotted"),),
        "test": (Style("under", _SANS, "squared"),),
    },
    "specks": {
        "train": (Style("loose", ("sans",), "dish"), Style("tight", ("sans",), "dish"), Style("loose", ("sans",), "plain")),
        "dev": (Style("loose", ("sans",), "dotted"),),
        "test": (Style("tight", ("sans",), "squared"),),
    },
}

MIXED = 0.6
"""Share of training pages in a mixed style. A tower trained on the listed styles alone reads new styles far worse."""

_FIELDS = ("receipt", "label", "form", "page", "table")  # families whose arrangements fit each other
_TRAINED = [style for styles in STYLES.values() for style in styles["train"]]
_PAPERS = (*sorted({style.paper for style in _TRAINED}), "hatched", "columned", "speckled")
_FRAMES = (*sorted({style.frame for style in _TRAINED}), "rails", "dashed")


def draw_style(rng: random.Random, family: str, split: str) -> Style:
    """Draw a style of this split. In `train` the parts of most styles are drawn independently, but never as a held-out style."""
    if split != "train" or rng.random() >= MIXED:
        return rng.choice(STYLES[family][split])
    held_out = {style for other in ("dev", "test") for style in STYLES[family][other]}
    like = _FIELDS if family in _FIELDS else (family,)
    arrangements = sorted({style.arrangement for name in like for style in STYLES[name]["train"]})
    while True:
        faces = tuple(rng.sample(FACES, rng.choice((1, 2, 3))))
        style = Style(rng.choice(arrangements), faces, rng.choice(_PAPERS), rng.choice((*_FRAMES, "none")))
        if style not in held_out:
            return style
