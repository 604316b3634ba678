"""The package's fonts, laid out without kerning so that every machine draws the same pixels, and cached by height."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from PIL import ImageFont

FOLDER = Path(__file__).with_name("fonts")
NAMES = ("sans", "sans-bold", "condensed", "serif", "mono", "roman", "roman-bold")


@dataclass(frozen=True, eq=False)
class Face:
    """A font whose capitals are about `cap` pixels high."""

    name: str
    cap: float

    @cached_property
    def font(self) -> ImageFont.FreeTypeFont:
        return _open(self.name, self.cap / _cap_share(self.name))

    @cached_property
    def _glyphs(self) -> dict[str, tuple[float, tuple[float, float, float, float]]]:
        return {}

    def glyph(self, char: str) -> tuple[float, tuple[float, float, float, float]]:
        """A character's advance and its ink box (left, top, right, bottom) from the pen on the baseline."""
        if char not in self._glyphs:
            self._glyphs[char] = self.font.getlength(char), self.font.getbbox(char, anchor="ls")
        return self._glyphs[char]

    def width(self, text: str) -> float:
        """Advance width of a text in pixels."""
        return sum(self.glyph(char)[0] for char in text)


def face(name: str, cap: float) -> Face:
    """The face with capitals of `cap` pixels, rounded to a quarter of a pixel so that faces are shared."""
    return _face(name, round(cap * 4))


@lru_cache(maxsize=1024)
def _face(name: str, quarters: int) -> Face:
    return Face(name, quarters / 4)


@lru_cache(maxsize=512)
def _open(name: str, size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FOLDER / f"{name}.ttf", size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=len(NAMES))
def _cap_share(name: str) -> float:
    """Height of a capital as a share of the font size."""
    return -_open(name, 200).getbbox("H", anchor="ls")[1] / 200
