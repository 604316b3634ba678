"""MIMIC-CXR, IU X-Ray and Peir Gross."""

from pathlib import Path

import pytest

from dragonfly.curation.sources.reports import findings

from .layouts import REPORT
from .reading import groups, layout_samples, told


def test_mimic_takes_the_findings_of_each_view_and_tells_splits_apart(tmp_path: Path):
    read = layout_samples("mimic-cxr", tmp_path)
    section = "The lungs are clear. There is no effusion."
    assert told(read, "caption") == [section, section, "", section]
    assert told(read, "subset") == ["train", "train", "no-findings", "test"]
    assert told(read, "study") == ["s50414267", "s50414267", "s53189527", "s50414268"]
    assert groups(read) == ["mimic:p10000032"] * 3 + ["mimic:p11000033"]
    assert read[0].images[0].path == str(tmp_path / "files/p10/p10000032/s50414267/d1.jpg")


@pytest.mark.parametrize(
    ("report", "section"),
    [
        (REPORT, "The lungs are clear. There is no effusion."),
        ("FINDINGS:  Clear: no mass.\nHeart: normal.\n", "Clear: no mass. Heart: normal."),
        ("FINDINGS AND IMPRESSION: All is well.", "All is well."),
        (" FINDINGS: \n\n IMPRESSION: Nothing.", ""),
        ("IMPRESSION: See the FINDINGS: none.", ""),
        ("No heading at all.", ""),
    ],
)
def test_findings_are_what_stands_between_their_heading_and_the_next(report: str, section: str):
    assert findings(report) == section


def test_iu_xray_groups_by_report_and_peir_gross_does_not(tmp_path: Path):
    read = layout_samples("iu-xray", tmp_path / "iu")
    assert groups(read) == ["iu-xray:CXR1", "iu-xray:CXR1", "iu-xray:CXR2"]
    assert told(read, "caption")[0] == 'Normal "chest". Lungs clear 0.'
    assert read[0].images[0].path == str(tmp_path / "iu/iu_xray_images/CXR1_1_IM-0001-3001.png")
    assert groups(layout_samples("peir-gross", tmp_path / "peir")) == [None] * 3
