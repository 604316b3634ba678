"""A manifest as one page to look through: samples with small images, how each is cut, and filters.

Promises that the page needs nothing else (no network, no folder beside it), that whatever stands in the data is shown as
text, and that the grid lines are the layout's own boxes. Chooses evenly among the rows of every source; changes nothing.
"""

import base64
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from PIL import Image

from dragonfly.data import ImageRef, Manifest, Sample
from dragonfly.data.parquet import import_pyarrow
from dragonfly.files import write_text
from dragonfly.imaging import load_image
from dragonfly.vision import EncoderSpec, make_layout
from dragonfly.vision.presets import get_preset

from .export import EVAL

SIDE = 240  # longest side of a small image, in pixels
LETTERS = 1200  # of one turn
IMAGES = 4  # of one sample

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class _Shown:
    """An image for the page: its HTML and its longer side in pixels (0 where it cannot be read)."""

    html: str
    side: int


def browse(directory: str | Path, output: str | Path | None = None, *, limit: int = 200, preset: str = "v2") -> Path:
    """Write the page about the set in `directory` (its folder or manifest.json) and give its path.

    `output` is by default browse.html in the folder; at most `limit` samples are shown; the grids are those of `preset`.
    """
    if limit < 1:
        raise ValueError(f"limit is {limit}; give at least 1")
    spec = get_preset(preset).spec
    manifest = Manifest.open(directory)
    folder = manifest.path.parent
    parts = [("train", manifest)] + ([("eval", Manifest.open(folder / EVAL))] if (folder / EVAL).is_dir() else [])
    target = Path(output) if output is not None else folder / "browse.html"
    rows = sum(len(part) for _, part in parts)
    chosen = list(_chosen(parts, limit))
    cards = [_card(place, split, sample, spec) for place, (split, sample) in enumerate(chosen)]
    sources = sorted({sample.source for _, sample in chosen})
    page = Template((files("dragonfly.curation") / "browse.html").read_text(encoding="utf-8")).substitute(
        title=escape(f"{folder.absolute().name}: {len(chosen)} of {rows:,} samples"),
        sources="".join(f"<option>{escape(source)}</option>" for source in sources),
        about=escape(f"Grid lines: mid and high sub-images of preset {preset}. Manifest {manifest.sha256[:16]}."),
        cards="\n".join(cards),
    )
    write_text(target, page)
    return target


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


def _card(place: int, split: str, sample: Sample, spec: EncoderSpec) -> str:
    shown = [_image(image, sample.evidence if not number else (), spec) for number, image in enumerate(sample.images[:IMAGES])]
    more = len(sample.images) - len(shown)
    turns = [_turn(message.role, message.text) for message in sample.messages]
    words = sum(len(message.text.split()) for message in sample.messages)
    facts = [
        f"{words} words",
        *([f"{more} more images"] if more else []),
        *(f"{key} {value}" for key, value in sample.meta.items()),
    ]
    data = {
        "place": place,
        "source": sample.source,
        "split": split,
        "words": words,
        "side": max((s.side for s in shown), default=0),
    }
    marks = " ".join(f'data-{key}="{escape(str(value))}"' for key, value in data.items())
    return "".join(
        [
            f"<article {marks}>",
            f"<h2>{escape(sample.source)} · {escape(sample.id)}</h2>",
            *(loaded.html for loaded in shown),
            *turns,
            f'<p class="about">{escape(_cut(" · ".join(facts), 400))}</p></article>',
        ]
    )


def _turn(role: str, text: str) -> str:
    return f'<p class="turn"><span class="role">{escape(role)}</span> {escape(_cut(text, LETTERS))}</p>'


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[:letters]} … ({len(text) - letters} letters more)"


def _image(image: ImageRef, evidence: Sequence[Sequence[Box]], spec: EncoderSpec) -> _Shown:
    """The small image with the boxes of its layout over it, or why it cannot be shown."""
    try:
        loaded = load_image(image.source)
    except ValueError as error:
        return _Shown(f'<p class="fault">{escape(str(error))}</p>', 0)
    height, width = loaded.size
    layout = make_layout((height, width), spec)
    boxes = [("high", box) for box in layout.level_boxes("high")] + [("mid", box) for box in layout.level_boxes("mid")]
    boxes += [("evidence", box) for turn in evidence for box in turn]
    lines = "".join(
        f'<rect class="{name}" x="{left:g}" y="{top:g}" width="{right - left:g}" height="{bottom - top:g}"/>'
        for name, (left, top, right, bottom) in boxes
    )
    small = _small(loaded.image)
    size = f'width="{small.width}" height="{small.height}"'
    svg = f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none">{lines}</svg>'
    title = f"{width} x {height} pixels"
    return _Shown(
        f'<span class="image_key" title="{title}"><img {size} alt="{title}" src="{_data(small)}">{svg}</span>', max(height, width)
    )


def _small(image: Image.Image) -> Image.Image:
    scale = min(1.0, SIDE / max(image.size))
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.BICUBIC)


def _data(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=72)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
