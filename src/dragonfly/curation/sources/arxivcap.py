"""ArXivCap: figures and captions of arXiv papers, one paper per Parquet row."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dragonfly.data import BadSample, Sample
from dragonfly.data.readers.images import image_ref

from .rows import Piece, captioned, converted, found
from .source import Row, Source


def _rows(folder: Path) -> Iterator[Row]:
    return converted(found(folder, "*.parquet", "data/**/*.parquet"), folder, _sample, pieces=_figures)


def _figures(row: dict[str, Any]) -> Iterator[Piece]:
    """One piece per image: the figure's caption, then the sub-figure's own."""
    if not isinstance(row.get("caption_images"), list):
        raise BadSample("missing-field", "expected a list in caption_images")
    for figure in row["caption_images"]:
        if not isinstance(figure, dict) or not figure.get("cil_pairs"):
            yield BadSample("missing-field", "a figure without images in cil_pairs")
            continue
        for pair in figure["cil_pairs"]:
            known = pair if isinstance(pair, dict) else {}
            told = [figure.get("caption"), known.get("sub_caption")]
            yield {"caption": told, "image": known.get("image"), "paper": row.get("arxiv_id")}


def _sample(piece: dict[str, Any], _: Path) -> Sample:
    caption = " ".join(words.strip() for words in piece["caption"] if isinstance(words, str) and words.strip())
    if not caption:
        raise BadSample("no-caption", "neither caption nor sub_caption holds text")
    group = f"arxiv:{piece['paper']}" if piece["paper"] else None
    return captioned(caption, image_ref(piece["image"], None, group), "figure")


ARXIVCAP = Source(
    name="arxivcap",
    title="ArXivCap",
    url="https://huggingface.co/datasets/MMInstruction/ArxivCap",
    licence="CC BY 4.0",
    layout=(
        "data/*.parquet, one paper per row: caption_images, a list of {caption, cil_pairs: [{sub_caption, image}]}, each pair "
        "becomes a sample; the group is the paper, from arxiv_id (not confirmed)."
    ),
    rows=_rows,
    domain="general",
    modality="figure",
    form="caption",
    published_rows=6_400_000,
    published_place="arXiv 2403.00231: 6.4M images of 572K papers",
    images=6_400_000,
)
