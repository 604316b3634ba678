"""LLaVA-Med: GPT-4 conversations and alignment pairs on figures of PubMed Central articles."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from dragonfly.data import Sample

from .llava import conversation
from .rows import converted, found
from .source import Row, Source

_URL = "https://github.com/microsoft/LLaVA-Med"
_LICENCE = "CC BY-NC 4.0, research use only"
_FIELDS = (
    "a list of {id, image, conversations: [{from, value}]} (conversations is spelt conversatons in some releases, both are "
    "read); the image is images/<article>_F<number>.jpg, or the row's id with .jpg where it names no image; the group is "
    "the article. The script of the data set puts all below data/."
)


def _rows(*files: str) -> Callable[[Path], Iterator[Row]]:
    def read(folder: Path) -> Iterator[Row]:
        names = {"llava_med_instruct_60k_inline_mention": "60k-im", "llava_med_instruct_60k": "60k"}
        return converted(found(folder, *files), folder, lambda row, file: _sample(row, folder, names.get(file.stem)))

    return read


def _sample(row: dict[str, Any], folder: Path, subset: str | None) -> Sample:
    image = row.get("image") or f"{row.get('id')}.jpg"
    turns = row.get("conversations", row.get("conversatons"))
    told = {"id": row.get("id"), "image": image, "conversations": turns}
    sample = conversation(told, folder / "images", **({"subset": subset} if subset else {}))
    group = f"pmid:{str(image).split('_')[0]}"
    return replace(sample, images=tuple(replace(ref, group=group) for ref in sample.images))


LLAVA_MED_ALIGNMENT = Source(
    name="llava-med-alignment",
    title="LLaVA-Med, alignment",
    url=_URL,
    licence=_LICENCE,
    layout=f"alignment/llava_med_alignment_500k.json: {_FIELDS}",
    rows=_rows("alignment/llava_med_alignment_500k.json"),
    domain="biomedical",
    modality="mixed",
    form="conversation",
    paper_rows=500_000,
    paper_place="appendix C.1: 500,000 image-caption pairs",
    published_rows=500_000,
    published_place="the file's name: 500k",
)

LLAVA_MED_60K = Source(
    name="llava-med-60k",
    title="LLaVA-Med, 60K",
    url=_URL,
    licence=_LICENCE,
    layout=f"instruct/llava_med_instruct_60k.json: {_FIELDS}",
    rows=_rows("instruct/llava_med_instruct_60k.json"),
    domain="biomedical",
    modality="mixed",
    form="conversation",
    paper_rows=60_000,
    paper_place="appendix C.1: 60,000 pairs, a similar-sized version without inline mentions",
    published_rows=60_000,
    published_place="the file's name: 60k",
)

LLAVA_MED_60K_IM = Source(
    name="llava-med-60k-im",
    title="LLaVA-Med, 60K-IM",
    url=_URL,
    licence=_LICENCE,
    layout=f"instruct/llava_med_instruct_60k_inline_mention.json: {_FIELDS}",
    rows=_rows("instruct/llava_med_instruct_60k_inline_mention.json"),
    domain="biomedical",
    modality="mixed",
    form="conversation",
    paper_rows=60_000,
    paper_place="appendix C.1: 60,000 pairs with inline mentions",
    published_rows=60_000,
    published_place="the file's name: 60k",
)

LLAVA_MED_INSTRUCT = Source(
    name="llava-med-instruct",
    title="LLaVA-Med-Instruct (60K-IM and 60K)",
    url=_URL,
    licence=_LICENCE,
    layout=(
        "instruct/llava_med_instruct_60k_inline_mention.json (subset 60k-im) and instruct/llava_med_instruct_60k.json (subset "
        f"60k), either or both, as one data set: {_FIELDS}"
    ),
    rows=_rows("instruct/llava_med_instruct_60k_inline_mention.json", "instruct/llava_med_instruct_60k.json"),
    domain="biomedical",
    modality="mixed",
    form="conversation",
    published_rows=120_000,
    published_place="the two files' names: 60k + 60k",
)
