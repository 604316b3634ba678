"""A data set as one page to look through: a card per image with its questions, the grid that it is cut into, and filters.

Reads whatever training reads (`data.read`). The page needs nothing else (no network, no folder beside it). Whatever stands in the
data is shown as text: jinja2 escapes it (`browse.html.jinja`). The grid lines are the layout's own boxes. The rows shown are
spread evenly over those of every source.
"""

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from PIL import Image

from dragonfly.data import BadRow, ImageRef, Manifest, Sample, read
from dragonfly.data.manifest import NAME
from dragonfly.data.parquet import import_pyarrow
from dragonfly.data.readers import locate
from dragonfly.files import check_suffix, sha256, write_text
from dragonfly.imaging import load_image
from dragonfly.vision import EncoderSpec
from dragonfly.vision.layout import Box
from dragonfly.vision.presets import get_preset
from dragonfly.vision.trimming import image_layout
from dragonfly.visualization.html_page import render

from .export import EVAL

SIDE = 480  # longest side of an image on the page, in pixels
LETTERS = 1200  # of one turn
IMAGES = 4  # of one sample
BAD = 20  # unusable rows that are named

Part = tuple[str, Sequence[Sample]]
"""A split's name, and its samples."""


@dataclass(frozen=True)
class _ShownImage:
    """An image on the page: its size in pixels, its thumbnail as base64 JPEG, its (kind, box) lines; or the fault that it has."""

    fault: str = ""
    width: int = 0
    height: int = 0
    thumbnail: str = ""
    boxes: Sequence[tuple[str, Box]] = ()


@dataclass(frozen=True)
class _Card:
    """The samples on the same images. `side`: their longest side in pixels, 0 without any; `facts`: ids and meta."""

    source: str
    split: str
    words: int
    side: int
    images: Sequence[_ShownImage]
    turns: Sequence[tuple[str, str]]
    facts: Sequence[str]


def browse(
    source: str | Path,
    output: str | Path | None = None,
    *,
    limit: int = 200,
    preset: str = "v2",
    columns: Mapping[str, str] | None = None,
    image_root: str | None = None,
) -> Path:
    """Write the page about a data set and return its path.

    `source`, `columns` and `image_root` are those of `data.read`. `output` is by default browse.html in a manifest's folder, else
    NAME-browse.html where you are; at most `limit` rows are shown; the grids are those of `preset`. ValueError for a limit
    below 1, an unknown preset, a source that cannot be read, or an output that is not named .html.
    """
    if limit < 1:
        raise ValueError(f"limit is {limit}; give at least 1")
    if output is not None:
        check_suffix(output, (".html", ".htm"))
    spec = get_preset(preset).spec
    place = Path(locate(source)[0]).absolute()
    name, bad = place.stem if place.suffix else place.name, []
    if place.name == NAME or (place / NAME).is_file():
        manifest = Manifest.open(place)
        folder = manifest.path.parent
        splits = {"train": manifest} | ({"eval": Manifest.open(folder / EVAL)} if (folder / EVAL).is_dir() else {})
        parts = [(split, cast(Sequence[Sample], samples)) for split, samples in splits.items()]
        name, target, about = folder.name, folder / "browse.html", f"manifest {manifest.sha256[:16]}"
    else:
        rows = list(read(source, columns=columns, image_root=image_root))
        bad = [str(row) for row in rows if isinstance(row, BadRow)]
        parts = [("", [row for row in rows if isinstance(row, Sample)])]
        target, about = Path(f"{name}-browse.html"), str(source)
    chosen = list(_chosen(parts, limit))
    cards = [_card(split, samples, spec) for split, samples in _by_image(chosen)]
    target = Path(output) if output is not None else target
    page = render(
        "dragonfly",
        "curation",
        "browse.html.jinja",
        filters={"number": lambda value: f"{value:g}"},
        title=f"{name}: {len(chosen):,} of {sum(len(part) for _, part in parts):,} rows, {len(cards):,} cards",
        sources=sorted({card.source for card in cards}),
        splits=sorted({card.split for card in cards} - {""}),
        about=f"Lines: the mid and high sub-images of preset {preset}, and evidence. {about}",
        bad=[*bad[:BAD], *([f"and {len(bad) - BAD} more"] if len(bad) > BAD else [])],
        bad_count=len(bad),
        cards=cards,
    )
    write_text(target, page)
    return target


def _chosen(parts: Sequence[Part], limit: int) -> Iterator[tuple[str, Sample]]:
    """Rows evenly spread over every source of each part: one of each, and the rest by their sizes, in stored order."""
    strata: dict[tuple[int, str], list[int]] = {}
    for number, (_, samples) in enumerate(parts):
        for row, source in enumerate(_sources(samples)):
            strata.setdefault((number, source), []).append(row)
    total = sum(map(len, strata.values()))
    picked: set[tuple[int, int]] = set()
    for (number, _), rows in list(strata.items())[:limit]:
        count = min(len(rows), 1 + max(0, limit - len(strata)) * len(rows) // total)
        picked.update((number, rows[len(rows) * place // count]) for place in range(count))
    for number, row in sorted(picked):
        yield parts[number][0], parts[number][1][row]


def _sources(samples: Sequence[Sample] | Manifest) -> Iterator[str]:
    """The source of every row; of a manifest without reading its other columns."""
    if not isinstance(samples, Manifest):
        yield from (sample.source for sample in samples)
        return
    shards = json.loads(samples.path.read_text(encoding="utf-8"))["shards"]
    for shard in shards:
        table = import_pyarrow().parquet.read_table(samples.path.parent / shard["path"], columns=["source"], use_threads=False)
        yield from table["source"].to_pylist()


def _by_image(chosen: Sequence[tuple[str, Sample]]) -> Iterator[tuple[str, list[Sample]]]:
    """The samples of a split and source on the same images, together where the first stood; without images alone."""
    together: dict[Any, list[Sample]] = {}
    for number, (split, sample) in enumerate(chosen):
        images = tuple(image.path or sha256(image.bytes or b"") for image in sample.images)
        together.setdefault((split, sample.source, images) if images else (split, number), []).append(sample)
    for key, samples in together.items():
        yield key[0], samples


def _card(split: str, samples: Sequence[Sample], spec: EncoderSpec) -> _Card:
    first = samples[0]
    evidence = [boxes for sample in samples for boxes in sample.evidence]
    images = [_shown(image, () if number else evidence, spec) for number, image in enumerate(first.images[:IMAGES])]
    more = len(first.images) - len(images)
    facts = [*([f"{more} more images"] if more else []), *map(_facts, samples)]
    return _Card(
        source=first.source,
        split=split,
        words=sum(len(message.text.split()) for sample in samples for message in sample.messages),
        side=max((max(image.width, image.height) for image in images), default=0),
        images=images,
        turns=[(message.role, _cut(message.text.strip("\n"), LETTERS)) for sample in samples for message in sample.messages],
        facts=facts,
    )


def _facts(sample: Sample) -> str:
    group = next((image.group for image in sample.images if image.group), None)
    known = {"group": group, **sample.meta} if group else sample.meta
    return _cut(" \u00b7 ".join([f"id {sample.id}", *(f"{key} {value}" for key, value in known.items())]), 400)


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[:letters]} \u2026 ({len(text) - letters} letters more)"


def _shown(image: ImageRef, evidence: Sequence[Sequence[Box]], spec: EncoderSpec) -> _ShownImage:
    """The image with the boxes of its layout and its evidence, in source pixels; or its fault."""
    try:
        loaded = load_image(image.source, view=image.seen)
    except ValueError as error:
        return _ShownImage(fault=str(error))
    height, width = loaded.size
    layout = image_layout(loaded.image, spec)
    boxes = [("high", box) for box in layout.level_boxes("high")] + [("mid", box) for box in layout.level_boxes("mid")]
    boxes += [("evidence", box) for turn in evidence for box in turn]
    return _ShownImage(width=width, height=height, thumbnail=_jpeg(_small(loaded.image)), boxes=boxes)


def _small(image: Image.Image) -> Image.Image:
    scale = min(1.0, SIDE / max(image.size))
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BICUBIC)


def _jpeg(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=72)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
