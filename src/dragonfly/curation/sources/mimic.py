"""MIMIC-CXR: chest radiographs with free-text reports; the findings section is what a model learns to write."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dragonfly.data import BadSample, ImageRef, Sample

from .rows import captioned, converted, found, table_rows, text
from .source import Row, Source

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


def _rows(folder: Path) -> Iterator[Row]:
    splits = found(folder, "mimic-cxr-2.0.0-split.csv.gz", "mimic-cxr-2.0.0-split.csv")[:1]
    return converted(splits, folder, lambda row, _: _sample(row, folder), rows=table_rows)


def _sample(row: dict[str, Any], folder: Path) -> Sample:
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
    rows=_rows,
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
