"""Data sets in LLaVA's JSON: ShareGPT4V, ALLaVA, LLaVA-Pretrain. One list per file, one conversation per row."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from dragonfly.data import BadSample, Sample
from dragonfly.data.readers.rows import turn_row

from .rows import converted, found
from .source import Row, Source


def conversation(row: dict[str, Any], root: Path, **meta: Any) -> Sample:
    """A row {id, image, conversations: [{from, value}]} about an image below `root`; the row's own id goes to meta."""
    turns = row.get("conversations")
    if isinstance(turns, list) and not all(isinstance(turn, dict) and isinstance(turn.get("value"), str) for turn in turns):
        raise BadSample("bad-conversations", "a turn's value is not text")  # some published rows hold lists
    if not isinstance(row.get("image"), str):
        raise BadSample("missing-field", "no image's path in image")
    sample = turn_row({"image": row["image"], "conversations": turns}, root)
    known = {} if row.get("id") is None else {"native_id": str(row["id"])}
    return replace(sample, meta={**known, **meta})


def _sharegpt4v(folder: Path) -> Iterator[Row]:
    subsets = {"sharegpt4v_instruct_gpt4-vision_cap100k": "gpt4v", "share-captioner_coco_lcs_sam_1246k_1107": "captioner"}
    files = found(folder, *(f"{stem}.json" for stem in subsets))
    return converted(files, folder, lambda row, file: conversation(row, folder, subset=subsets[file.stem]))


def _allava(folder: Path) -> Iterator[Row]:
    files = found(folder, "allava_laion/ALLaVA-*-LAION-4V.json", "allava_vflan/ALLaVA-*-VFLAN-4V.json")
    return converted(files, folder, lambda row, file: conversation(row, folder, subset=_allava_subset(file)))


def _allava_subset(file: Path) -> str:
    """`ALLaVA-Caption-LAION-4V` -> `laion-caption`."""
    _, kind, origin, _ = file.stem.split("-")
    return f"{origin}-{kind}".lower()


def _llava_pretrain(folder: Path) -> Iterator[Row]:
    root = folder / "images" if (folder / "images").is_dir() else folder
    return converted(found(folder, "blip_laion_cc_sbu_558k.json"), folder, lambda row, _: conversation(row, root))


SHAREGPT4V = Source(
    name="sharegpt4v",
    title="ShareGPT4V",
    url="https://huggingface.co/datasets/Lin-Chen/ShareGPT4V",
    licence="CC BY-NC 4.0",
    layout=(
        "sharegpt4v_instruct_gpt4-vision_cap100k.json (subset gpt4v) and share-captioner_coco_lcs_sam_1246k_1107.json "
        "(subset captioner), either or both: lists of {id, image, conversations: [{from, value}]}; image is relative to the "
        "folder (coco/..., sam/..., llava/...), the images come from their own publishers. The mix665k file, mostly "
        "LLaVA-1.5's own data, is not read. File names confirmed, field names not confirmed (those of LLaVA)."
    ),
    rows=_sharegpt4v,
    domain="general",
    modality="photo",
    form="conversation",
    published_rows=1_346_000,
    published_place="the two files' names: 100K + 1246K",
)

ALLAVA = Source(
    name="allava",
    title="ALLaVA-4V",
    url="https://huggingface.co/datasets/FreedomIntelligence/ALLaVA-4V",
    licence="CC BY-NC 4.0",
    layout=(
        "allava_laion/ALLaVA-{Caption,Instruct}-LAION-4V.json and allava_vflan/ALLaVA-{Caption,Instruct}-VFLAN-4V.json "
        "(subsets laion-caption, laion-instruct, vflan-caption, vflan-instruct): lists of {id, image, conversations: "
        "[{from, value}]} and, for LAION, original_caption and url; image is relative to the folder. The text-only file is "
        "not read."
    ),
    rows=_allava,
    domain="general",
    modality="photo",
    form="conversation",
    published_rows=1_325_219,
    published_place="data set's card: 468,670 + 468,670 + 194,976 + 192,903 (first release: 1,416,793)",
    images=663_646,
)

LLAVA_PRETRAIN = Source(
    name="llava-pretrain",
    title="LLaVA-Pretrain (LCS-558K)",
    url="https://huggingface.co/datasets/liuhaotian/LLaVA-Pretrain",
    licence="other: the terms of CC-3M and of BLIP's captions",
    layout=(
        "blip_laion_cc_sbu_558k.json: a list of {id, image, conversations: [{from, value}]}, one instruction and one caption "
        "per image; image is relative to images/, which images.zip unpacks to. Field names not confirmed (those of LLaVA)."
    ),
    rows=_llava_pretrain,
    domain="general",
    modality="photo",
    form="conversation",
    paper_rows=558_000,
    paper_place="section 4.1: 558K image-text pairs",
    published_rows=558_000,
    published_place="the file's name: 558k",
)
