"""Named specifications of synthetic data sets, as data. An image depends on (spec, split, seed, index) alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SPLITS = ("train", "dev", "test")
Language = Literal["plain", "natural", "varied"]

Grid = tuple[int, int]  # (rows, cols)
Size = tuple[int, int]  # (height, width)


@dataclass(frozen=True)
class SynthSpec:
    """One kind of data set.

    Args:
        name: what `--spec` takes.
        about: one line for people.
        cell: pixels of a cell at scale 1; facts stay inside cells, unless `sizes` are given.
        grids: (rows, cols) of cells, one drawn per image.
        sizes: (height, width) of images on which facts stand freely, one drawn per image; none binds facts to cells.
        jitter: range of the factors by which height and width are scaled independently.
        facts: least and most facts in an image; ignored when `crowded`.
        crowded: fill five of six cells instead of at most `most_per_region`.
        most_per_region: most cells with facts or title under one mid sub-image.
        detail: range of the glyphs' cap height in pixels, at scale 1.
        afar: greatest height of a capital in pixels once the whole page is shrunk to the size of one cell.
        values: kinds of value that fields have besides those of their family.
        turn: greatest rotation in degrees, either way, of the half of the pages that are rotated.
        blur: largest blur radius in pixels of the half of the pages that are blurred.
        light: greatest difference of brightness between the middle of a page and its edge, in grey levels.
        quality: range of the JPEG quality.
        close: cells of a page, a square number, that make a close-up image; of documents the sub-images
            of a row that make a strip; 0 keeps whole pages.
        text: write the facts as lines of text, without an image.
        caption: instead of questions, ask once what a page is and says.
        language: `plain` asks in the few wordings of `phrases.py`, `natural` in those of the grammar, `varied` in these and
            with other names for what is asked about.
        documents: draw pages as they look, with all that `documents/` knows, instead of cards.
        kinds: of documents, the kinds of page that are drawn; none are all.
        desk: of documents, the longer side in pixels of a desk with papers, one of them asked about; 0 draws single pages.
        covered: the share of a desk that papers cover, at most.
        typefaces: of documents: those of a list that the machine has, or the package's alone.
    """

    name: str
    about: str
    cell: int = 64
    grids: tuple[Grid, ...] = ((4, 6), (6, 4), (3, 8), (8, 3))
    sizes: tuple[Size, ...] = ()
    jitter: tuple[float, float] = (0.92, 1.12)
    facts: tuple[int, int] = (4, 10)
    crowded: bool = False
    most_per_region: int = 3
    detail: tuple[float, float] = (10.2, 15.0)
    afar: float = 3.95
    values: tuple[str, ...] = ()
    turn: float = 0.0
    blur: float = 0.0
    light: float = 12.0
    quality: tuple[int, int] = (80, 95)
    close: int = 0
    text: bool = False
    caption: bool = False
    language: Language = "plain"
    documents: bool = False
    kinds: tuple[str, ...] = ()
    desk: int = 0
    covered: float = 0.5
    typefaces: Literal["installed", "bundled"] = "bundled"


_ALL = (
    SynthSpec("nano", "fields, tables, charts, panels, shapes and specks of 10-16 px, bound to cells of 64 px"),
    SynthSpec("nano-crowded", "nano with most cells filled, to pre-train a tower", crowded=True),
    SynthSpec("nano-words", "nano with words for most values of fields, to learn letters", values=("word",) * 12),
    SynthSpec("nano-glyphs", "nano with any letters and digits for most values of fields, to copy", values=("glyphs",) * 6),
    SynthSpec(
        "nano-glyphs-crowded", "nano-glyphs with most cells filled, to pre-train a tower", values=("glyphs",) * 12, crowded=True
    ),
    *(
        SynthSpec(f"nano-close-{n}", f"{n} cells of a crowded page, from anywhere on it", crowded=True, close=n)
        for n in (1, 4, 9)
    ),
    SynthSpec(
        "fine",
        "pages of 512x768 and alike, free layouts from sparse to dense, 8-24 px, turned, blurred, unevenly lit",
        sizes=((512, 768), (768, 512), (640, 640), (384, 1024), (1024, 384)),
        facts=(4, 26),
        detail=(8.0, 24.0),
        values=("price", "time"),
        turn=2.5,
        blur=0.7,
        light=40.0,
        quality=(55, 92),
    ),
    SynthSpec(
        "documents",
        "receipts, invoices, forms, tables, charts, panels and labels as they look, scanned or photographed, 11-24 px",
        language="natural",
        documents=True,
        typefaces="installed",
    ),
    SynthSpec(
        "documents-crowded",
        "pages full of words, codes and amounts that say nothing, scanned, to pre-train a tower",
        language="natural",
        documents=True,
        crowded=True,
        typefaces="installed",
    ),
    SynthSpec(
        "documents-receipts",
        "receipts of documents alone",
        language="natural",
        documents=True,
        kinds=("receipt",),
        typefaces="installed",
    ),
    SynthSpec(
        "documents-receipts-strips",
        "strips of receipts alone, of four high sub-images in a row",
        language="natural",
        documents=True,
        close=4,
        kinds=("receipt",),
        typefaces="installed",
    ),
    SynthSpec(
        "documents-strips",
        "strips of documents, of four high sub-images in a row, around what a question is about",
        language="natural",
        documents=True,
        close=4,
        typefaces="installed",
    ),
    SynthSpec(
        "documents-strips-2",
        "strips of two high sub-images, likewise",
        language="natural",
        documents=True,
        close=2,
        typefaces="installed",
    ),
    *(
        SynthSpec(
            f"documents-{side // 1024}k",
            f"a desk of {side} pixels with papers on it, one of them asked about: the same at every size, among ever more paper",
            language="natural",
            documents=True,
            desk=side,
            typefaces="installed",
        )
        for side in (1024, 2048, 4096, 8192)
    ),
    SynthSpec("nano-captions", "pages of nano, each with what it is and all that it says, to pre-train a model", caption=True),
    SynthSpec("nano-text", "the records of nano as lines of text, without images", text=True),
)
SPECS: dict[str, SynthSpec] = {spec.name: spec for spec in _ALL}
