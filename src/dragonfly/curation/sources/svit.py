"""SVIT: several GPT-4 conversations per Visual Genome image, in SVIT's own format."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from dragonfly.data import BadSample, Sample
from dragonfly.data.readers.rows import released_row

from .rows import Piece, converted, found
from .source import Row, Source

_PARTS = ("conversation", "complex_reasoning", "detail_description", "referring_qa")


def _rows(folder: Path) -> Iterator[Row]:
    images = _images(found(folder, "raw/annotations/vg/image_data.json")[0])

    def to_sample(piece: dict[str, Any], file: Path) -> Sample:
        path = images.get(piece["image_id"])
        if path is None:
            raise BadSample("unknown-image", f"image_id {piece['image_id']} is not in image_data.json")
        sample = released_row({"image_url": path, "conversations": piece["content"]}, folder / "raw")
        return replace(sample, meta={"subset": file.stem, "native_id": piece["image_id"]})

    return converted(found(folder, *(f"data/{part}.json" for part in _PARTS)), folder, to_sample, pieces=_conversations)


def _images(index: Path) -> dict[str, str]:
    """image_id -> path below raw/, which is the end of Visual Genome's url from `VG_100K` on."""
    try:
        listed = json.loads(index.read_bytes())
        return {str(row["image_id"]): row["url"][row["url"].index("VG_100K") :] for row in listed}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{index} is not Visual Genome's list of images ({error!r}); fetch it again") from None


def _conversations(row: dict[str, Any]) -> Iterator[Piece]:
    told = row.get("conversations")
    if not isinstance(told, list) or "image_id" not in row:
        raise BadSample("bad-conversations", "expected image_id and a list of conversations")
    for conversation in told:
        content = conversation.get("content") if isinstance(conversation, dict) else None
        if isinstance(content, list):
            yield {"image_id": str(row["image_id"]), "content": content}
        else:
            yield BadSample("bad-conversations", "a conversation without a list of turns in content")


SVIT = Source(
    name="svit",
    title="SVIT",
    url="https://huggingface.co/datasets/BAAI/SVIT",
    licence="CC BY 4.0 (as others quote it; not confirmed)",
    layout=(
        "data/{conversation,complex_reasoning,detail_description,referring_qa}.json (the subsets): lists of {image_id, "
        "conversations: [{content: [{from: user | gpt, value}]}]}, each conversation becomes a sample; the image is found "
        "by image_id in raw/annotations/vg/image_data.json, whose url ends in VG_100K/... or VG_100K_2/..., below raw/."
    ),
    rows=_rows,
    domain="general",
    modality="photo",
    form="conversation",
    published_rows=4_200_000,
    published_place="data set's page: 1.6M + 1.6M + 1.0M + 106K questions (a conversation holds about 5)",
    images=108_077,
)
