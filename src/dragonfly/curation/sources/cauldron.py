"""The Cauldron: 50 data sets in one form, a folder of Parquet files each."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dragonfly.data import BadSample, Message, Part, Sample
from dragonfly.data.readers.images import image_refs

from .rows import converted, found
from .source import Row, Source

SUBSETS = (
    *("ai2d", "aokvqa", "chart2text", "chartqa", "clevr", "clevr_math", "cocoqa", "datikz", "diagram_image_to_text", "docvqa"),
    *("dvqa", "figureqa", "finqa", "geomverse", "hateful_memes", "hitab", "iam", "iconqa", "infographic_vqa", "intergps"),
    *("localized_narratives", "mapqa", "mimic_cgd", "multihiertt", "nlvr2", "ocrvqa", "okvqa", "plotqa", "raven"),
    *("rendered_text", "robut_sqa", "robut_wikisql", "robut_wtq", "scienceqa", "screen2words", "spot_the_diff", "st_vqa"),
    *("tabmwp", "tallyqa", "tat_qa", "textcaps", "textvqa", "tqa", "vistext", "visual7w", "visualmrc", "vqarad", "vqav2"),
    *("vsr", "websight"),
)

EXCLUDED = {
    "clevr_math": "mathematics: sums over the objects of rendered scenes",
    "geomverse": "mathematics: generated geometry problems with long derivations",
    "intergps": "mathematics: geometry problems",
    "datikz": "code: TikZ source for a figure",
    "websight": "code: HTML source for a screenshot",
}
"""Our reading of the five that the paper removes: it says "math or coding" (appendix A) and names none."""


def _rows(folder: Path) -> Iterator[Row]:
    known = [subset for subset in SUBSETS if (folder / subset).is_dir()]
    if not known:
        raise ValueError(f"{folder} holds no folder of a Cauldron sub-set, such as {SUBSETS[0]}; give the folder above them")
    files = [file for subset in known for file in found(folder / subset, "*.parquet", "train/*.parquet")]
    return converted(files, folder, lambda row, file: _sample(row, file.relative_to(folder).parts[0]))


def _sample(row: dict[str, Any], subset: str) -> Sample:
    images = image_refs(row.get("images"), None)
    told = row.get("texts")
    if not images or not isinstance(told, list) or not told:
        raise BadSample("missing-field", "expected images in images and turns in texts")
    messages: list[Message] = []
    for turn in told:
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
    layout=(
        "a folder per sub-set (50; the sub-set's name) with train-*.parquet, or train/*.parquet as the hub converts it: "
        "images (a list of {bytes, path}), texts (a list of {user, assistant, source}); a row is one conversation."
    ),
    rows=_rows,
    domain="general",
    modality="mixed",
    form="conversation",
    published_rows=1_880_992,
    published_place="rows of its 50 sub-sets on the hub",
)
