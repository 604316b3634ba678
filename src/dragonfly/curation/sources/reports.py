"""Images with reports: MIMIC-CXR, whose findings section is the caption, and bioCaption's IU X-Ray and Peir Gross."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dragonfly.data import BadSample, ImageRef, Sample

from .access import Access
from .source import Outcome, Source, captioned, converted, find_files, table_rows, text

_HEADING = re.compile(r"^[ \t]*(?P<name>[A-Z][A-Z /&,()-]{2,}):", re.MULTILINE)


def findings(report: str) -> str:
    """The report's section under a heading that begins with FINDINGS, up to the next heading, on one line; "" without one.

    A heading is upper case at the start of a line and ends in a colon, as the reports write them; findings without a
    heading of their own (a report of one paragraph) are not found.
    """
    headings = _HEADING.finditer(report)
    start = next((heading.end() for heading in headings if heading["name"].startswith("FINDINGS")), len(report))
    end = next((heading.start() for heading in headings), len(report))
    return " ".join(report[start:end].split())


_MIMIC_SPLITS = ("mimic-cxr-2.0.0-split.csv.gz", "mimic-cxr-2.0.0-split.csv")


def _mimic(folder: Path) -> Iterator[Outcome]:
    return converted(find_files(folder, *_MIMIC_SPLITS)[:1], folder, lambda row, _: _mimic_sample(row, folder), rows=table_rows)


def _mimic_test(folder: Path) -> Iterator[Outcome]:
    """Images and patients of the test split; `leak` needs no report of them."""

    def rows(file: Path) -> Iterator[Any]:
        return (row for row in table_rows(file) if isinstance(row, BadSample) or row.get("split") == "test")

    def to_sample(row: dict[str, Any], _: Path) -> Sample:
        return captioned("", _mimic_image(row, folder)[0], "chest-xray", subset="test")

    return converted(find_files(folder, *_MIMIC_SPLITS)[:1], folder, to_sample, rows=rows)


def _mimic_image(row: dict[str, Any], folder: Path) -> tuple[ImageRef, str, str]:
    """(image, its study's path below `folder`, the study)."""
    patient, study = text(row, "subject_id"), text(row, "study_id")
    below = f"files/p{patient[:2]}/p{patient}/s{study}"
    return ImageRef(path=str(folder / below / f"{text(row, 'dicom_id')}.jpg"), group=f"mimic:p{patient}"), below, study


def _mimic_sample(row: dict[str, Any], folder: Path) -> Sample:
    image, below, study = _mimic_image(row, folder)
    report = folder / "mimic-cxr-reports" / f"{below}.txt"
    try:
        section = findings(report.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise BadSample("bad-report", f"{report}: {error}") from None
    except (OSError, ValueError) as error:
        raise BadSample("missing-report", f"{report}: {error}") from None
    split = text(row, "split")
    subset = split if split != "train" else "train" if section else "no-findings"
    return captioned(section, image, "chest-xray", subset=subset, study=f"s{study}")


MIMIC_CXR = Source(
    name="mimic-cxr",
    title="MIMIC-CXR-JPG with the reports of MIMIC-CXR",
    url="https://physionet.org/content/mimic-cxr-jpg/2.1.0/",
    licence="PhysioNet Credentialed Health Data License (not confirmed); access on application",
    access=Access(
        publisher="PhysioNet (Johnson and others)",
        terms="credentialed",
        apply="https://physionet.org/content/mimic-cxr-jpg/2.1.0/ and, for the reports, https://physionet.org/content/mimic-cxr/",
    ),
    files=(_MIMIC_SPLITS, ("files",), ("mimic-cxr-reports/files",)),
    layout=(
        "mimic-cxr-2.0.0-split.csv.gz (or .csv) with dicom_id, study_id, subject_id and split; images as "
        "files/p10/p10000032/s50414267/<dicom_id>.jpg; reports as mimic-cxr-reports/files/p10/p10000032/s50414267.txt. The "
        "caption is the findings section; subsets: train, no-findings (of the training split), validate, test. The group is "
        "the patient."
    ),
    rows=_mimic,
    held_out=_mimic_test,
    domain="biomedical",
    modality="chest-xray",
    form="caption",
    paper_rows=368_960,
    paper_place="appendix C.3: 368,960 training images, with or without findings",
    not_in_paper_rows=("validate", "test"),
    published_rows=377_110,
    published_place="appendix C.3 as quoted from the data set: all splits",
    images=368_960,
)


def _biocaption(split: str, images: str, style: str, group: Callable[[str], str | None]) -> Callable[[Path], Iterator[Outcome]]:
    def read(folder: Path) -> Iterator[Outcome]:
        def to_sample(row: dict[str, Any], _: Path) -> Sample:
            name = text(row, "image")
            return captioned(text(row, "caption"), ImageRef(path=str(folder / images / name), group=group(name)), style)

        def rows(file: Path) -> Iterator[Any]:
            return table_rows(file, delimiter="\t", fields=("image", "caption"))

        return converted(find_files(folder, f"{split}_images.tsv"), folder, to_sample, rows=rows)

    return read


_EXCHANGED = (
    "the paper exchanged the two. Its 6,698 + 745 are the 7,443 images that it counts for Peir Gross, 90 to 10 as bioCaption's "
    "script splits them; that script splits IU X-Ray 80 to 20, as 5,172 + 1,289 are"
)


def _iu_xray(split: str) -> Callable[[Path], Iterator[Outcome]]:
    return _biocaption(split, "iu_xray_images", "chest-xray-report", lambda name: f"iu-xray:{name.split('_')[0]}")


def _peir_gross(split: str) -> Callable[[Path], Iterator[Outcome]]:
    return _biocaption(split, "peir_gross_images", "gross-pathology", lambda _: None)


IU_XRAY = Source(
    name="iu-xray",
    title="IU X-Ray (bioCaption's training split)",
    url="https://github.com/nlpaueb/bioCaption",
    licence="not stated",
    access=Access(
        publisher="U.S. National Library of Medicine (Open-i); the split by bioCaption",
        terms="open",
        rest="bioCaption's script fetches it from Open-i",
    ),
    files=(("train_images.tsv",), ("iu_xray_images",)),
    layout=(
        "train_images.tsv (image's name, tab, impression and findings), images in iu_xray_images/, named "
        "CXR<report>_IM-...png; the group is the report. test_images.tsv, for the step leak, is alike."
    ),
    rows=_iu_xray("train"),
    held_out=_iu_xray("test"),
    domain="biomedical",
    modality="chest-xray",
    form="caption",
    paper_rows=5_172,
    paper_place=f"appendix C.12 and table 7, where it stands under Peir Gross: {_EXCHANGED}",
    images=5_172,
)

PEIR_GROSS = Source(
    name="peir-gross",
    title="Peir Gross (bioCaption's training split)",
    url="https://github.com/nlpaueb/bioCaption",
    licence="not stated",
    access=Access(
        publisher="Pathology Education Informational Resource (PEIR); the split by bioCaption",
        terms="open",
        rest="bioCaption's script fetches it from PEIR's pages",
    ),
    files=(("train_images.tsv",), ("peir_gross_images",)),
    layout="train_images.tsv (image's name, tab, caption), images in peir_gross_images/. No group. test_images.tsv is alike.",
    rows=_peir_gross("train"),
    held_out=_peir_gross("test"),
    domain="biomedical",
    modality="gross-pathology",
    form="caption",
    paper_rows=6_698,
    paper_place=f"appendix C.11 and table 7, where it stands under IU X-Ray: {_EXCHANGED}",
    images=6_698,
)
