"""The typefaces that documents are set in: those of the package, and those of a list that the machine has.

None but the package's own is shipped: what a generated image shows of the others is ink. A page depends on the typefaces found:
the same bytes need the same ones installed.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ..fonts import FOLDER

WANTED = 40
"""Typefaces below which a data set is poorer than intended; the command says so."""

PACKAGES = (
    "fonts-liberation fonts-freefont-ttf fonts-croscore fonts-urw-base35 fonts-ocr-a fonts-ocr-b fonts-lato fonts-open-sans"
)

# By style, file names without their ending. Each exists in a Debian package; other systems have some of them.
_MONO = (
    *("DejaVuSansMono", "DejaVuSansMono-Bold", "LiberationMono-Regular", "LiberationMono-Bold", "FreeMonoBold", "Hack-Regular"),
    *("Hack-Bold", "Inconsolata", "OCRA", "OCRACondensed", "OCRB", "Courier Prime", "Courier Prime Bold", "Courier Prime Code"),
    *("NimbusMonoPS-Bold", "NotoSansMono-Regular", "NotoSansMono-Bold", "Anonymous Pro", "Anonymous Pro B", "Cousine-Regular"),
    *(
        "Cousine-Bold",
        "JetBrainsMono-Regular",
        "JetBrainsMono-Bold",
        "B612Mono-Regular",
        "3270-Regular",
        "3270SemiCondensed-Regular",
    ),
    *("TerminusTTF-4.46.0", "FreeMono", "Courier Prime Sans", "JetBrainsMono-Medium"),
)
_SANS = (
    *(
        "DejaVuSans",
        "DejaVuSans-Bold",
        "DejaVuSansCondensed",
        "DejaVuSansCondensed-Bold",
        "LiberationSans-Regular",
        "Arimo-Regular",
    ),
    *(
        "LiberationSans-Bold",
        "LiberationSansNarrow-Regular",
        "LiberationSansNarrow-Bold",
        "FreeSans",
        "FreeSansBold",
        "Arimo-Bold",
    ),
    *("Lato-Regular", "Lato-Medium", "Lato-Bold", "OpenSans-Regular", "OpenSans-Semibold", "OpenSans-Bold", "OpenSans-CondBold"),
    *(
        "Roboto-Regular",
        "Roboto-Bold",
        "RobotoCondensed-Regular",
        "RobotoCondensed-Bold",
        "NimbusSans-Regular",
        "NimbusSans-Bold",
    ),
    *("NimbusSansNarrow-Regular", "NimbusSansNarrow-Bold", "URWGothic-Book", "URWGothic-Demi", "B612-Regular", "B612-Bold"),
)
_SERIF = (
    *("DejaVuSerif", "DejaVuSerifCondensed", "LiberationSerif-Regular", "LiberationSerif-Bold", "FreeSerif", "FreeSerifBold"),
    *(
        "Tinos-Regular",
        "Tinos-Bold",
        "P052-Roman",
        "P052-Bold",
        "C059-Roman",
        "C059-Bold",
        "NimbusRoman-Regular",
        "URWBookman-Light",
    ),
)
_BUNDLED = {"mono": ("mono",), "sans": ("sans", "sans-bold", "condensed"), "serif": ("serif", "roman", "roman-bold")}


def _folders() -> list[Path]:
    home = Path.home()
    return [
        *(Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".fonts", home / ".local/share/fonts"),
        *(Path("/Library/Fonts"), Path("/System/Library/Fonts"), Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts"),
    ]


@cache
def typefaces(source: str) -> dict[str, tuple[Path, ...]]:
    """The font files by style (mono, sans, serif): of the package if `source` is `bundled`, else also those of the machine."""
    found: dict[str, Path] = {}
    if source != "bundled":
        for folder in _folders():
            if folder.is_dir():
                found.update({path.stem: path for path in folder.rglob("*") if path.suffix.lower() in (".ttf", ".otf")})
    styles = {"mono": _MONO, "sans": _SANS, "serif": _SERIF}
    return {
        style: (*(FOLDER / f"{name}.ttf" for name in _BUNDLED[style]), *(found[name] for name in names if name in found))
        for style, names in styles.items()
    }


def typefaces_note(source: str) -> str:
    """How many typefaces were found; where they are few, what to install."""
    count = sum(map(len, typefaces(source).values()))
    few = f"; at least {WANTED} are better: on Debian install {PACKAGES}" if count < WANTED else ""
    return f"{count} typefaces{few}"


@dataclass(frozen=True)
class Glyph:
    """A character's ink, the place of its left top corner from the pen on the baseline, and how far the pen moves."""

    mask: Image.Image
    left: int
    top: int
    advance: float


@dataclass(frozen=True)
class Typeface:
    """A font at one size, as one printer prints it.

    Args:
        path: font file.
        cap: height of a capital in pixels.
        stretch: factor on widths.
        spacing: pixels added between characters.
        coarse: cap height in dots of a printer with few of them; 0 prints smoothly.
    """

    path: Path
    cap: float
    stretch: float = 1.0
    spacing: float = 0.0
    coarse: int = 0

    @cached_property
    def _glyphs(self) -> dict[str, Glyph]:
        return {}

    @cached_property
    def _font(self) -> ImageFont.FreeTypeFont:
        return _open(self.path, round(4 * (self.coarse or self.cap) / _cap_share(self.path)))

    def glyph(self, char: str) -> Glyph:
        if char not in self._glyphs:
            self._glyphs[char] = self._drawn(char)
        return self._glyphs[char]

    def _drawn(self, char: str) -> Glyph:
        left, top, right, bottom = (int(value) for value in self._font.getbbox(char, anchor="ls"))
        mask = Image.new("1" if self.coarse else "L", (max(1, right - left), max(1, bottom - top)))
        ImageDraw.Draw(mask).text((-left, -top), char, fill=255, font=self._font, anchor="ls")
        mask = mask.convert("L")
        tall = self.cap / self.coarse if self.coarse else 1.0
        wide = tall * self.stretch
        if tall != 1.0 or wide != 1.0:
            size = max(1, round(mask.width * wide)), max(1, round(mask.height * tall))
            mask = mask.resize(size, Image.Resampling.BILINEAR)
        ink = mask.getbbox() or (0, 0, 1, 1)
        advance = self._font.getlength(char) * wide + self.spacing
        return Glyph(mask.crop(ink), round(left * wide) + ink[0], round(top * tall) + ink[1], advance)

    def width(self, text: str) -> float:
        """Advance width of a text in pixels."""
        return sum(self.glyph(char).advance for char in text)

    def sized(self, factor: float) -> Typeface:
        """The same printer's letters, larger or smaller."""
        coarse = self.coarse and max(6, round(self.coarse * factor))
        return face(self.path, self.cap * factor, self.stretch, self.spacing * factor, coarse)

    def tall(self, factor: float = 1.8) -> Typeface:
        """The same printer's letters, higher and as wide: how receipt printers emphasise."""
        return face(self.path, self.cap * factor, self.stretch / factor, self.spacing, self.coarse)

    @property
    def line(self) -> float:
        """Distance of baselines in pixels, set solid."""
        return self.cap * 1.62


@lru_cache(maxsize=1500)
def _faces(path: Path, halves: int, stretch: float, spacing: float, coarse: int) -> Typeface:
    return Typeface(path, halves / 2, stretch, spacing, coarse)


def face(path: Path, cap: float, stretch: float = 1.0, spacing: float = 0.0, coarse: int = 0) -> Typeface:
    """A typeface, shared with all that ask for the same: sizes are rounded, to half a pixel."""
    return _faces(path, round(cap * 2), round(stretch * 10) / 10, round(spacing * 2) / 2, coarse)


def draw_typeface(rng: random.Random, source: str, styles: tuple[str, ...], cap: float, rough: float = 0.0) -> Typeface:
    """Draw a font of one of the styles; a share `rough` of them is stretched, spaced or printed in coarse dots."""
    path = rng.choice(typefaces(source)[rng.choice(styles)])
    if rng.random() >= rough:
        return face(path, cap)
    coarse = rng.randint(7, 12) if rng.random() < 0.3 and cap > 11 else 0
    return face(path, cap, rng.uniform(0.8, 1.2), rng.choice((0.0, 0.0, 0.5, 1.0)), coarse)


@lru_cache(maxsize=1024)
def _open(path: Path, quarters: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, max(6.0, quarters / 4), layout_engine=ImageFont.Layout.BASIC)


@cache
def _cap_share(path: Path) -> float:
    """Height of a capital as a share of the font size."""
    return -ImageFont.truetype(path, 200, layout_engine=ImageFont.Layout.BASIC).getbbox("H", anchor="ls")[1] / 200
