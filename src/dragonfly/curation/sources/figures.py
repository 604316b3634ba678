"""Captioned figures: articles (MedICaT, ROCO), arXiv papers (ArXivCap), and pathology images of posts (OpenPath)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dragonfly.data import BadSample, ImageRef, Sample
from dragonfly.data.modality import of_caption
from dragonfly.data.readers.images import image_ref

from .access import Access
from .source import Outcome, Piece, Source, captioned, converted, find_files, table_rows, text


def _medicat(folder: Path) -> Iterator[Outcome]:
    def to_sample(row: dict[str, Any], _: Path) -> Sample:
        article, figure = text(row, "pdf_hash"), text(row, "fig_uri")
        image = ImageRef(path=str(folder / "figures" / f"{article}_{figure}"), group=f"s2:{article}")
        licence = _below(row, "oa_info", "oa", "license") or "not stated"
        meta = {"subset": str(row["predicted_type"])} if row.get("predicted_type") else {}
        return captioned(text(row, "s2_caption", "s2orc_caption"), image, "figure", licence=f"{licence}; non-commercial", **meta)

    return converted(find_files(folder, "*.jsonl"), folder, to_sample)


def _below(row: dict[str, Any], *keys: str) -> Any:
    """The value below these keys, None where one of them is not there."""
    value: Any = row
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _roco(split: str) -> Callable[[Path], Iterator[Outcome]]:
    def read(folder: Path) -> Iterator[Outcome]:
        root = folder / f"data/{split}/radiology"
        listed = _licences(find_files(root, "licences.txt")[0])

        def to_sample(row: dict[str, Any], _: Path) -> Sample:
            known = listed.get(row["id"])
            if known is None:
                raise BadSample("unknown-image", f"{row['id']!r} is not in licences.txt")
            image = ImageRef(path=str(_roco_image(root / "images", known)), group=f"pmc:{known['PMC_ID'].split('_')[0]}")
            caption = text(row, "caption")
            meta = {"licence": known["CC"], "native_id": row["id"], "modality": of_caption(caption)}
            return captioned(caption, image, "radiology", **meta)

        def rows(file: Path) -> Iterator[Any]:
            return table_rows(file, delimiter="\t", fields=("id", "caption"))

        return converted(find_files(root, "captions.txt"), folder, to_sample, rows=rows)

    return read


def _licences(path: Path) -> dict[str, dict[str, str]]:
    """ROCO_ID -> its line. A damaged line is left out here, and its caption is named as an unknown image."""
    rows = [row for row in table_rows(path) if not isinstance(row, BadSample)]
    if not rows or not {"ROCO_ID", "PMC_ID", "CC"} <= rows[0].keys():
        raise ValueError(f"{path} is not ROCO's list with the columns ROCO_ID,PMC_ID,CC; fetch it again")
    return {row["ROCO_ID"]: row for row in rows}


def _roco_image(images: Path, known: dict[str, str]) -> Path:
    """Named by the article's own file, as the data set's script does, or by ROCO's id, as mirrors do."""
    by_id = images / f"{known['ROCO_ID']}.jpg"
    return by_id if by_id.is_file() else images / known["PMC_ID"]


MEDICAT = Source(
    name="medicat",
    title="MedICaT",
    url="https://github.com/allenai/medicat",
    licence="each article's own (in its row); the data set for non-commercial use",
    access=Access(
        publisher="Allen Institute for AI",
        terms="gated",
        size="104 GB (104 Gb, as its page writes it)",
        apply="https://github.com/allenai/medicat, by the form that it links",
    ),
    files=(("*.jsonl",), ("figures",)),
    layout=(
        "*.jsonl with {pdf_hash, fig_uri, s2_caption, s2orc_caption, predicted_type, oa_info: {oa: {license}}, ...}; the image "
        "is figures/<pdf_hash>_<fig_uri>, the group is the article, predicted_type the subset."
    ),
    rows=_medicat,
    domain="biomedical",
    modality="mixed",
    form="caption",
    paper_rows=217_000,
    paper_place="appendix C.2: 217,000 images",
    published_rows=217_060,
    published_place="data set's page",
    images=217_060,
)

ROCO = Source(
    name="roco",
    title="ROCO (radiology, training split)",
    url="https://github.com/razorx89/roco-dataset",
    licence="each image's own (licences.txt, in its row)",
    access=Access(
        publisher="Pelka and others (razorx89 on GitHub)",
        terms="open",
        rest="the lists are on its page, with the script that fetches the images from PubMed Central",
    ),
    files=(("data/train/radiology/captions.txt",), ("data/train/radiology/licences.txt",), ("data/train/radiology/images",)),
    layout=(
        "data/train/radiology/captions.txt (id, tab, caption), licences.txt (ROCO_ID,PMC_ID,CC) and images/, where an image "
        "bears its PMC_ID or its ROCO_ID with .jpg; the group is the article, the modality the one that the caption names. "
        "The out-of-class images and the other splits are not read, except data/test/radiology by the step leak."
    ),
    rows=_roco("train"),
    held_out=_roco("test"),
    domain="biomedical",
    modality="radiology",
    form="caption",
    paper_rows=70_308,
    paper_place="appendix C.7: 70,308 training images",
    images=70_308,
)


def _arxivcap(folder: Path) -> Iterator[Outcome]:
    return converted(find_files(folder, "*.parquet", "data/**/*.parquet"), folder, _arxiv_sample, pieces=_arxiv_figures)


def _arxiv_figures(row: dict[str, Any]) -> Iterator[Piece]:
    """One piece per image: the figure's caption, then the sub-figure's own."""
    if not isinstance(row.get("caption_images"), list):
        raise BadSample("missing-field", "expected a list in caption_images")
    for figure in row["caption_images"]:
        if not isinstance(figure, dict) or not figure.get("cil_pairs"):
            yield BadSample("missing-field", "a figure without images in cil_pairs")
            continue
        for pair in figure["cil_pairs"]:
            known = pair if isinstance(pair, dict) else {}
            captions = [figure.get("caption"), known.get("sub_caption")]
            yield {"captions": captions, "image": known.get("image"), "paper": row.get("arxiv_id")}


def _arxiv_sample(piece: dict[str, Any], _: Path) -> Sample:
    caption = " ".join(words.strip() for words in piece["captions"] if isinstance(words, str) and words.strip())
    if not caption:
        raise BadSample("no-caption", "neither caption nor sub_caption holds text")
    group = f"arxiv:{piece['paper']}" if piece["paper"] else None
    return captioned(caption, image_ref(piece["image"], None, group), "figure")


ARXIVCAP = Source(
    name="arxivcap",
    title="ArXivCap",
    url="https://huggingface.co/datasets/MMInstruction/ArxivCap",
    licence="CC BY 4.0",
    access=Access(
        publisher="Multi-modal Multilingual Instruction (MMInstruction)",
        terms="open",
        hub="MMInstruction/ArxivCap",
        patterns=("data/*.parquet",),
    ),
    files=(("*.parquet", "data/**/*.parquet"),),
    layout=(
        "data/*.parquet, one paper per row: caption_images, a list of {caption, cil_pairs: [{sub_caption, image}]}, each pair "
        "becomes a sample; the group is the paper, from arxiv_id (not confirmed)."
    ),
    rows=_arxivcap,
    domain="general",
    modality="figure",
    form="caption",
    published_rows=6_400_000,
    published_place="arXiv 2403.00231: 6.4M images of 572K papers",
    images=6_400_000,
)


def _openpath(folder: Path) -> Iterator[Outcome]:
    def to_sample(row: dict[str, Any], _: Path) -> Sample:
        group = f"post:{row['post']}" if row.get("post") else None
        meta = {"subset": row["part"]} if row.get("part") else {}
        return captioned(text(row, "caption"), ImageRef(path=str(folder / text(row, "image")), group=group), "pathology", **meta)

    return converted(find_files(folder, "openpath.csv"), folder, to_sample, rows=table_rows)


OPENPATH = Source(
    name="openpath",
    title="OpenPath",
    url="https://github.com/PathologyFoundation/plip",
    licence="not stated; the posts' own terms",
    access=Access(
        publisher="Pathology Foundation (PLIP)",
        terms="not checked",
        rest="the publisher gives ids of posts; images and words have to be fetched from the posts",
    ),
    files=(("openpath.csv",),),
    layout=(
        "openpath.csv with the columns image (relative to the folder) and caption and, if there, part (tweet, reply or "
        "pathlaion: the subset) and post (the group). The publishers give post ids, not images and words; this layout is "
        "ours, for what those ids were resolved to (not confirmed against any release)."
    ),
    rows=_openpath,
    domain="biomedical",
    modality="pathology",
    form="caption",
    paper_rows=208_414,
    paper_place="appendix C.4: 116,504 + 59,869 + 32,041 pairs",
    published_rows=208_414,
    published_place="data set's page",
)
