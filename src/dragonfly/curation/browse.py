"""A manifest as one page to look through: samples with small images, the grid that each is cut into, and filters.

The page needs nothing else (no network, no folder beside it). Whatever stands in the data is shown as text: jinja2 escapes it
(`browse.html.jinja`). The grid lines are the layout's own boxes. The samples are spread evenly over the rows of every source.
"""

import base64
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from dragonfly.data import ImageRef, Manifest, Sample
from dragonfly.data.parquet import import_pyarrow
from dragonfly.files import write_text
from dragonfly.imaging import load_image
from dragonfly.vision import EncoderSpec
from dragonfly.vision.layout import Box
from dragonfly.vision.presets import get_preset
from dragonfly.vision.trimming import image_layout

from .export import EVAL

SIDE = 240  # longest side of a small image, in pixels
LETTERS = 1200  # of one turn
IMAGES = 4  # of one sample


@dataclass(frozen=True)
class _ShownImage:
    """An image on the page: its size in pixels, its thumbnail as base64 JPEG, its (kind, box) lines; or the fault that it has."""

    fault: str = ""
    width: int = 0
    height: int = 0
    thumbnail: str = ""
    thumbnail_width: int = 0
    thumbnail_height: int = 0
    boxes: Sequence[tuple[str, Box]] = ()


@dataclass(frozen=True)
class _Card:
    """One sample on the page. `side` is the longest side of its images in pixels, 0 without any; `facts` shows its meta."""

    source: str
    id: str
    split: str
    words: int
    side: int
    images: Sequence[_ShownImage]
    turns: Sequence[tuple[str, str]]
    facts: str


def browse(directory: str | Path, output: str | Path | None = None, *, limit: int = 200, preset: str = "v2") -> Path:
    """Write the page about the set in `directory` (its folder or manifest.json) and return its path.

    `output` is by default browse.html in the folder; at most `limit` samples are shown; the grids are those of `preset`.
    ValueError for a limit below 1, an unknown preset, or a folder without manifest.
    """
    if limit < 1:
        raise ValueError(f"limit is {limit}; give at least 1")
    spec = get_preset(preset).spec
    manifest = Manifest.open(directory)
    folder = manifest.path.parent
    parts = [("train", manifest)] + ([("eval", Manifest.open(folder / EVAL))] if (folder / EVAL).is_dir() else [])
    target = Path(output) if output is not None else folder / "browse.html"
    cards = [_card(split, sample, spec) for split, sample in _chosen(parts, limit)]
    page = _render(
        title=f"{folder.absolute().name}: {len(cards)} of {sum(len(part) for _, part in parts):,} samples",
        sources=sorted({card.source for card in cards}),
        about=f"Grid lines: mid and high sub-images of preset {preset}. Manifest {manifest.sha256[:16]}.",
        cards=cards,
    )
    write_text(target, page)
    return target


def _render(**values: Any) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    layout: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True}
    loader = PackageLoader("dragonfly", "curation")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, **layout)
    environment.filters["number"] = lambda value: f"{value:g}"
    return environment.get_template("browse.html.jinja").render(**values)


def _chosen(parts: Sequence[tuple[str, Manifest]], limit: int) -> Iterator[tuple[str, Sample]]:
    """Rows evenly spread over every source of each part: one of each, and the rest by their sizes, in stored order."""
    strata: dict[tuple[int, str], list[int]] = {}
    for number, (_, manifest) in enumerate(parts):
        for row, source in enumerate(_sources(manifest)):
            strata.setdefault((number, source), []).append(row)
    total = sum(map(len, strata.values()))
    picked: set[tuple[int, int]] = set()
    for (number, _), rows in list(strata.items())[:limit]:
        count = min(len(rows), 1 + max(0, limit - len(strata)) * len(rows) // total)
        picked.update((number, rows[len(rows) * place // count]) for place in range(count))
    for number, row in sorted(picked):
        yield parts[number][0], parts[number][1][row]


def _sources(manifest: Manifest) -> Iterator[str]:
    """The source of every row, without its other columns."""
    shards = json.loads(manifest.path.read_text(encoding="utf-8"))["shards"]
    for shard in shards:
        table = import_pyarrow().parquet.read_table(manifest.path.parent / shard["path"], columns=["source"], use_threads=False)
        yield from table["source"].to_pylist()


def _card(split: str, sample: Sample, spec: EncoderSpec) -> _Card:
    images = [_shown(image, () if number else sample.evidence, spec) for number, image in enumerate(sample.images[:IMAGES])]
    more = len(sample.images) - len(images)
    words = sum(len(message.text.split()) for message in sample.messages)
    facts = [
        f"{words} words",
        *([f"{more} more images"] if more else []),
        *(f"{key} {value}" for key, value in sample.meta.items()),
    ]
    return _Card(
        source=sample.source,
        id=sample.id,
        split=split,
        words=words,
        side=max((max(image.width, image.height) for image in images), default=0),
        images=images,
        turns=[(message.role, _cut(message.text, LETTERS)) for message in sample.messages],
        facts=_cut(" · ".join(facts), 400),
    )


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[:letters]} … ({len(text) - letters} letters more)"


def _shown(image: ImageRef, evidence: Sequence[Sequence[Box]], spec: EncoderSpec) -> _ShownImage:
    """The image with the boxes of its layout and its evidence, in source pixels; or its fault."""
    try:
        loaded = load_image(image.source)
    except ValueError as error:
        return _ShownImage(fault=str(error))
    height, width = loaded.size
    layout = image_layout(loaded.image, spec)
    boxes = [("high", box) for box in layout.level_boxes("high")] + [("mid", box) for box in layout.level_boxes("mid")]
    boxes += [("evidence", box) for turn in evidence for box in turn]
    small = _small(loaded.image)
    return _ShownImage(
        width=width,
        height=height,
        thumbnail=_jpeg(small),
        thumbnail_width=small.width,
        thumbnail_height=small.height,
        boxes=boxes,
    )


def _small(image: Image.Image) -> Image.Image:
    scale = min(1.0, SIDE / max(image.size))
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BICUBIC)


def _jpeg(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=72)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
