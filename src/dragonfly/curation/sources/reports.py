"""Images with reports: MIMIC-CXR, whose findings section is the caption, and bioCaption's IU X-Ray and Peir Gross."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dragonfly.data import BadSample, ImageRef, Sample

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


def _mimic(folder: Path) -> Iterator[Outcome]:
    splits = find_files(folder, "mimic-cxr-2.0.0-split.csv.gz", "mimic-cxr-2.0.0-split.csv")[:1]
    return converted(splits, folder, lambda row, _: _mimic_sample(row, folder), rows=table_rows)


def _mimic_sample(row: dict[str, Any], folder: Path) -> Sample:
    patient, study = text(row, "subject_id"), text(row, "study_id")
    below = f"files/p{patient[:2]}/p{patient}/s{study}"
    image = ImageRef(path=str(folder / below / f"{text(row, 'dicom_id')}.jpg"), group=f"mimic:p{patient}")
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
    layout=(
        "mimic-cxr-2.0.0-split.csv.gz (or .csv) with dicom_id, study_id, subject_id and split; images as "
        "files/p10/p10000032/s50414267/<dicom_id>.jpg; reports as mimic-cxr-reports/files/p10/p10000032/s50414267.txt. The "
        "caption is the findings section; subsets: train, no-findings (of the training split), validate, test. The group is "
        "the patient."
    ),
    rows=_mimic,
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


def _biocaption(images: str, style: str, group: Callable[[str], str | None]) -> Callable[[Path], Iterator[Outcome]]:
    def read(folder: Path) -> Iterator[Outcome]:
        def to_sample(row: dict[str, Any], _: Path) -> Sample:
            name = text(row, "image")
            return captioned(text(row, "caption"), ImageRef(path=str(folder / images / name), group=group(name)), style)

        def rows(file: Path) -> Iterator[Any]:
            return table_rows(file, delimiter="\t", fields=("image", "caption"))

        return converted(find_files(folder, "train_images.tsv"), folder, to_sample, rows=rows)

    return read


IU_XRAY = Source(
    name="iu-xray",
    title="IU X-Ray (bioCaption's training split)",
    url="https://github.com/nlpaueb/bioCaption",
    licence="not stated",
    layout=(
        "train_images.tsv (image's name, tab, impression and findings), images in iu_xray_images/, named "
        "CXR<report>_IM-...png; the group is the report."
    ),
    rows=_biocaption("iu_xray_images", "chest-xray-report", lambda name: f"iu-xray:{name.split('_')[0]}"),
    domain="biomedical",
    modality="chest-xray",
    form="caption",
    paper_rows=6_698,
    paper_place="appendix C.11 and table 7",
    images=6_698,
)

PEIR_GROSS = Source(
    name="peir-gross",
    title="Peir Gross (bioCaption's training split)",
    url="https://github.com/nlpaueb/bioCaption",
    licence="not stated",
    layout="train_images.tsv (image's name, tab, caption), images in peir_gross_images/. No group.",
    rows=_biocaption("peir_gross_images", "gross-pathology", lambda _: None),
    domain="biomedical",
    modality="gross-pathology",
    form="caption",
    paper_rows=5_172,
    paper_place="appendix C.12 and table 7",
    images=5_172,
)
