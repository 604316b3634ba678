"""Conversations in formats of their own: SVIT and The Cauldron with images, OpenHermes 2.5 and MathInstruct without.

Text without images keeps the language model's own skills during instruction tuning.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from dragonfly.data import BadSample, Message, Part, Sample
from dragonfly.data.readers.images import image_refs
from dragonfly.data.readers.rows import released_row, turn_row

from .access import Access
from .source import Outcome, Piece, Source, asked, converted, find_files, text

_SVIT_FILES = ("conversation", "complex_reasoning", "detail_description", "referring_qa")


def _svit(folder: Path) -> Iterator[Outcome]:
    images = _svit_images(find_files(folder, "raw/annotations/vg/image_data.json")[0])

    def to_sample(piece: dict[str, Any], file: Path) -> Sample:
        path = images.get(piece["image_id"])
        if path is None:
            raise BadSample("unknown-image", f"image_id {piece['image_id']} is not in image_data.json")
        sample = released_row({"image_url": path, "conversations": piece["content"]}, folder / "raw")
        return replace(sample, meta={"subset": file.stem, "native_id": piece["image_id"]})

    return converted(
        find_files(folder, *(f"data/{part}.json" for part in _SVIT_FILES)), folder, to_sample, pieces=_svit_conversations
    )


def _svit_images(index: Path) -> dict[str, str]:
    """image_id -> path below raw/, which is the end of Visual Genome's url from `VG_100K` on."""
    try:
        listed = json.loads(index.read_bytes())
        return {str(row["image_id"]): row["url"][row["url"].index("VG_100K") :] for row in listed}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{index} is not Visual Genome's list of images ({error!r}); fetch it again") from None


def _svit_conversations(row: dict[str, Any]) -> Iterator[Piece]:
    conversations = row.get("conversations")
    if not isinstance(conversations, list) or "image_id" not in row:
        raise BadSample("bad-conversations", "expected image_id and a list of conversations")
    for conversation in conversations:
        content = conversation.get("content") if isinstance(conversation, dict) else None
        if isinstance(content, list):
            yield {"image_id": str(row["image_id"]), "content": content}
        else:
            yield BadSample("bad-conversations", "a conversation without a list of turns in content")


SVIT = Source(
    name="svit",
    title="SVIT",
    url="https://huggingface.co/datasets/BAAI/SVIT",
    licence="CC BY 4.0 (the hub's tag)",
    access=Access(
        publisher="Beijing Academy of Artificial Intelligence (BAAI)",
        terms="gated",
        hub="BAAI/SVIT",
        apply="https://huggingface.co/datasets/BAAI/SVIT, where its terms are accepted",
        rest="the archives in data/ are unpacked beside themselves",
    ),
    files=(
        ("raw/annotations/vg/image_data.json",),
        tuple(f"data/{part}.json" for part in _SVIT_FILES),
        ("raw/VG_100K", "raw/VG_100K_2"),
    ),
    layout=(
        "data/{conversation,complex_reasoning,detail_description,referring_qa}.json (the subsets): lists of {image_id, "
        "conversations: [{content: [{from: user | gpt, value}]}]}, each conversation becomes a sample; the image is found "
        "by image_id in raw/annotations/vg/image_data.json, whose url ends in VG_100K/... or VG_100K_2/..., below raw/."
    ),
    rows=_svit,
    domain="general",
    modality="photo",
    form="conversation",
    published_rows=3_026_000,
    published_place=(
        "at most, by the data set's page: 4.2M questions, 1.6M of them in conversations of 5; the other 2.7M are rows of their "
        "own if they stand alone (not confirmed)"
    ),
    questions=4_200_000,
    images=108_077,
)


CAULDRON_SUBSETS = (
    *("ai2d", "aokvqa", "chart2text", "chartqa", "clevr", "clevr_math", "cocoqa", "datikz", "diagram_image_to_text", "docvqa"),
    *("dvqa", "figureqa", "finqa", "geomverse", "hateful_memes", "hitab", "iam", "iconqa", "infographic_vqa", "intergps"),
    *("localized_narratives", "mapqa", "mimic_cgd", "multihiertt", "nlvr2", "ocrvqa", "okvqa", "plotqa", "raven"),
    *("rendered_text", "robut_sqa", "robut_wikisql", "robut_wtq", "scienceqa", "screen2words", "spot_the_diff", "st_vqa"),
    *("tabmwp", "tallyqa", "tat_qa", "textcaps", "textvqa", "tqa", "vistext", "visual7w", "visualmrc", "vqarad", "vqav2"),
    *("vsr", "websight"),
)

CAULDRON_EXCLUDED = {
    "clevr_math": "mathematics: sums over the objects of rendered scenes",
    "geomverse": "mathematics: generated geometry problems with long derivations",
    "intergps": "mathematics: geometry problems",
    "datikz": "code: TikZ source for a figure",
    "websight": "code: HTML source for a screenshot",
}
"""Our reading of the five that the paper removes: it says "math or coding" (appendix A) and names none."""


def _cauldron(folder: Path) -> Iterator[Outcome]:
    known = [subset for subset in CAULDRON_SUBSETS if (folder / subset).is_dir()]
    if not known:
        raise ValueError(
            f"{folder} holds no folder of a Cauldron sub-set, such as {CAULDRON_SUBSETS[0]}; give the folder above them"
        )
    files = [file for subset in known for file in find_files(folder / subset, "*.parquet", "train/*.parquet")]
    return converted(files, folder, lambda row, file: _cauldron_sample(row, file.relative_to(folder).parts[0]))


def _cauldron_sample(row: dict[str, Any], subset: str) -> Sample:
    images = image_refs(row.get("images"), None)
    turns = row.get("texts")
    if not images or not isinstance(turns, list) or not turns:
        raise BadSample("missing-field", "expected images in images and turns in texts")
    messages: list[Message] = []
    for turn in turns:
        if not isinstance(turn, dict) or not all(isinstance(turn.get(side), str) for side in ("user", "assistant")):
            raise BadSample("bad-conversations", "a turn without text in user or assistant")
        shown = () if messages else tuple(Part("image") for _ in images)
        messages.append(Message("user", (*shown, Part("text", turn["user"]))))
        messages.append(Message("assistant", (Part("text", turn["assistant"]),)))
    return Sample("", "", images, tuple(messages), meta={"subset": subset})


CAULDRON = Source(
    name="cauldron",
    title="The Cauldron",
    url="https://huggingface.co/datasets/HuggingFaceM4/the_cauldron",
    licence="not stated for the whole; each sub-set keeps its own",
    access=Access(
        publisher="Hugging Face M4",
        terms="open",
        hub="HuggingFaceM4/the_cauldron",
        patterns=tuple(f"{subset}/train-*.parquet" for subset in CAULDRON_SUBSETS),
    ),
    files=(("*/train-*.parquet", "*/train/*.parquet"),),
    layout=(
        "a folder per sub-set (50; the sub-set's name) with train-*.parquet, or train/*.parquet as the hub converts it: "
        "images (a list of {bytes, path}), texts (a list of {user, assistant, source}); a row is one conversation."
    ),
    rows=_cauldron,
    domain="general",
    modality="mixed",
    form="conversation",
    published_rows=1_880_992,
    published_place="rows of its 50 sub-sets on the hub",
)


def _openhermes(folder: Path) -> Iterator[Outcome]:
    def to_sample(row: dict[str, Any], _: Path) -> Sample:
        sample = turn_row({"conversations": row.get("conversations")}, None)
        return replace(sample, meta={"subset": row["source"]} if isinstance(row.get("source"), str) else {})

    return converted(find_files(folder, "openhermes2_5.json"), folder, to_sample)


def _mathinstruct(folder: Path) -> Iterator[Outcome]:
    def to_sample(row: dict[str, Any], _: Path) -> Sample:
        return asked(text(row, "instruction"), text(row, "output"), (), subset=str(row.get("source")))

    return converted(find_files(folder, "MathInstruct.json"), folder, to_sample)


OPENHERMES = Source(
    name="openhermes",
    title="OpenHermes 2.5",
    url="https://huggingface.co/datasets/teknium/OpenHermes-2.5",
    licence="not stated",
    access=Access(
        publisher="Teknium", terms="open", size="1.94 GB", hub="teknium/OpenHermes-2.5", patterns=("openhermes2_5.json",)
    ),
    files=(("openhermes2_5.json",),),
    layout=(
        "openhermes2_5.json: a list of {conversations: [{from: system | human | gpt, value}], source, ...}; source becomes the "
        "subset. The file (1.9 GB) is read into memory whole."
    ),
    rows=_openhermes,
    domain="general",
    modality="text",
    form="conversation",
    published_rows=1_001_551,
    published_place="rows on the hub",
)

MATHINSTRUCT = Source(
    name="mathinstruct",
    title="MathInstruct",
    url="https://huggingface.co/datasets/TIGER-Lab/MathInstruct",
    licence="MIT",
    access=Access(
        publisher="TIGER-Lab", terms="open", size="212 MB", hub="TIGER-Lab/MathInstruct", patterns=("MathInstruct.json",)
    ),
    files=(("MathInstruct.json",),),
    layout="MathInstruct.json: a list of {instruction, output, source}; source becomes the subset.",
    rows=_mathinstruct,
    domain="general",
    modality="text",
    form="qa",
    published_rows=262_000,
    published_place="rows on the hub, rounded",
)
