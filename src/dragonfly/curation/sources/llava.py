"""Data sets in LLaVA's JSON, a list of conversations per file: ShareGPT4V, ALLaVA, LLaVA-Pretrain, and LLaVA-Med's four."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from dragonfly.data import BadSample, Sample
from dragonfly.data.readers.rows import turn_row

from .access import Access
from .source import Outcome, Source, converted, find_files


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


_SHAREGPT4V = {"sharegpt4v_instruct_gpt4-vision_cap100k": "gpt4v", "share-captioner_coco_lcs_sam_1246k_1107": "captioner"}
_SHAREGPT4V_FILES = tuple(f"{stem}.json" for stem in _SHAREGPT4V)


def _sharegpt4v(folder: Path) -> Iterator[Outcome]:
    files = find_files(folder, *_SHAREGPT4V_FILES)
    return converted(files, folder, lambda row, file: conversation(row, folder, subset=_SHAREGPT4V[file.stem]))


_ALLAVA_FILES = ("allava_laion/ALLaVA-*-LAION-4V.json", "allava_vflan/ALLaVA-*-VFLAN-4V.json")


def _allava(folder: Path) -> Iterator[Outcome]:
    files = find_files(folder, *_ALLAVA_FILES)
    return converted(files, folder, lambda row, file: conversation(row, folder, subset=_allava_subset(file)))


def _allava_subset(file: Path) -> str:
    """`ALLaVA-Caption-LAION-4V` -> `laion-caption`."""
    _, kind, origin, _ = file.stem.split("-")
    return f"{origin}-{kind}".lower()


def _llava_pretrain(folder: Path) -> Iterator[Outcome]:
    root = folder / "images" if (folder / "images").is_dir() else folder
    return converted(find_files(folder, "blip_laion_cc_sbu_558k.json"), folder, lambda row, _: conversation(row, root))


SHAREGPT4V = Source(
    name="sharegpt4v",
    title="ShareGPT4V",
    url="https://huggingface.co/datasets/Lin-Chen/ShareGPT4V",
    licence="CC BY-NC 4.0",
    access=Access(
        publisher="Lin Chen and others",
        terms="open",
        size="1.62 GB of conversations (134 MB + 1.49 GB); images: not checked",
        hub="Lin-Chen/ShareGPT4V",
        patterns=_SHAREGPT4V_FILES,
        rest="the images come from their own publishers (COCO, SAM, and LLaVA-Pretrain's), as coco/, sam/ and llava/",
    ),
    files=(_SHAREGPT4V_FILES, ("coco", "sam", "llava")),
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
    licence="CC BY-NC 4.0 (the hub's tag said Apache 2.0)",
    access=Access(
        publisher="FreedomIntelligence",
        terms="open",
        size="94 GB (1.8 GB of conversations, 92.3 GB of images of LAION); images of Vision-FLAN: not checked",
        hub="FreedomIntelligence/ALLaVA-4V",
        patterns=(*_ALLAVA_FILES, "allava_laion/image_chunks/images_*.zip"),
        unpack=(("allava_laion/image_chunks/images_*.zip", "allava_laion/images"),),
        rest="the images of Vision-FLAN come from its own publisher, as allava_vflan/images/",
    ),
    files=(_ALLAVA_FILES, ("allava_laion/images", "allava_vflan/images")),
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
    access=Access(
        publisher="Haotian Liu (LLaVA)",
        terms="open",
        size="27.6 GB (181 MB of conversations, 27.4 GB of images)",
        hub="liuhaotian/LLaVA-Pretrain",
        patterns=("blip_laion_cc_sbu_558k.json", "images.zip"),
        unpack=(("images.zip", "images"),),
    ),
    files=(("blip_laion_cc_sbu_558k.json",), ("images", "[0-9]*/*.jpg")),
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


_MED_URL = "https://github.com/microsoft/LLaVA-Med"
_MED_LICENCE = "CC BY-NC 4.0, research use only"
_MED_ACCESS = Access(
    publisher="Microsoft Research",
    terms="open",
    rest="links to the conversations, and the script that fetches the images from PubMed Central, are on its page",
)
_MED_FIELDS = (
    "a list of {id, image, conversations: [{from, value}]} (conversations is spelt conversatons in some releases, both are "
    "read); the image is images/<article>_F<number>.jpg, or the row's id with .jpg where it names no image; the group is "
    "the article. The script of the data set puts all below data/."
)


def _llava_med(*files: str) -> Callable[[Path], Iterator[Outcome]]:
    def read(folder: Path) -> Iterator[Outcome]:
        names = {"llava_med_instruct_60k_inline_mention": "60k-im", "llava_med_instruct_60k": "60k"}
        return converted(
            find_files(folder, *files), folder, lambda row, file: _llava_med_sample(row, folder, names.get(file.stem))
        )

    return read


def _llava_med_sample(row: dict[str, Any], folder: Path, subset: str | None) -> Sample:
    image = row.get("image") or f"{row.get('id')}.jpg"
    turns = row.get("conversations", row.get("conversatons"))
    fields = {"id": row.get("id"), "image": image, "conversations": turns}
    sample = conversation(fields, folder / "images", **({"subset": subset} if subset else {}))
    group = f"pmid:{str(image).split('_')[0]}"
    return replace(sample, images=tuple(replace(ref, group=group) for ref in sample.images))


LLAVA_MED_ALIGNMENT = Source(
    name="llava-med-alignment",
    title="LLaVA-Med, alignment",
    url=_MED_URL,
    licence=_MED_LICENCE,
    access=_MED_ACCESS,
    files=(("alignment/llava_med_alignment_500k.json",), ("images",)),
    layout=f"alignment/llava_med_alignment_500k.json: {_MED_FIELDS}",
    rows=_llava_med("alignment/llava_med_alignment_500k.json"),
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
    url=_MED_URL,
    licence=_MED_LICENCE,
    access=_MED_ACCESS,
    files=(("instruct/llava_med_instruct_60k.json",), ("images",)),
    layout=f"instruct/llava_med_instruct_60k.json: {_MED_FIELDS}",
    rows=_llava_med("instruct/llava_med_instruct_60k.json"),
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
    url=_MED_URL,
    licence=_MED_LICENCE,
    access=_MED_ACCESS,
    files=(("instruct/llava_med_instruct_60k_inline_mention.json",), ("images",)),
    layout=f"instruct/llava_med_instruct_60k_inline_mention.json: {_MED_FIELDS}",
    rows=_llava_med("instruct/llava_med_instruct_60k_inline_mention.json"),
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
    url=_MED_URL,
    licence=_MED_LICENCE,
    access=_MED_ACCESS,
    files=(("instruct/llava_med_instruct_60k_inline_mention.json", "instruct/llava_med_instruct_60k.json"), ("images",)),
    layout=(
        "instruct/llava_med_instruct_60k_inline_mention.json (subset 60k-im) and instruct/llava_med_instruct_60k.json (subset "
        f"60k), either or both, as one data set: {_MED_FIELDS}"
    ),
    rows=_llava_med("instruct/llava_med_instruct_60k_inline_mention.json", "instruct/llava_med_instruct_60k.json"),
    domain="biomedical",
    modality="mixed",
    form="conversation",
    published_rows=120_000,
    published_place="the two files' names: 60k + 60k",
)
