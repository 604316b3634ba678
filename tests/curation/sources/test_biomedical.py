"""MedICaT, ROCO, OpenPath, MIMIC-CXR, IU X-Ray, Peir Gross, Kaggle DR, DDR, VQA-RAD, SLAKE, Path-VQA."""

from pathlib import Path

import pytest

from dragonfly.curation.sources import SOURCES
from dragonfly.curation.sources.reports import findings
from dragonfly.data import BadRow, ImageRef, Message, Part, Sample

from .layouts import LAYOUTS, REPORT, png, write_lines


def samples(name: str, folder: Path) -> list[Sample]:
    LAYOUTS[name](folder)
    return [row for row in SOURCES[name].read(folder) if isinstance(row, Sample)]


def told(read: list[Sample], key: str) -> list[object]:
    return [sample.meta.get(key) for sample in read]


def groups(read: list[Sample]) -> list[str | None]:
    return [sample.images[0].group for sample in read]


def test_medicat_joins_the_figures_name_and_falls_back_to_the_other_caption(tmp_path: Path):
    read = samples("medicat", tmp_path)
    assert read[0].images == (ImageRef(str(tmp_path / "figures/aa_2-Figure1-1.png"), group="s2:aa"),)
    assert told(read, "caption") == ["Figure 1. CT of the chest.", "Figure 2. MRI.", "A scan."]
    assert told(read, "licence") == ["cc-by; non-commercial", "cc-by; non-commercial", "not stated; non-commercial"]
    assert told(read, "subset") == ["Medical images", "Medical images", None]


def test_roco_finds_images_by_either_name_and_takes_each_ones_licence(tmp_path: Path):
    read = samples("roco", tmp_path)
    assert [Path(str(s.images[0].path)).name for s in read] == [
        "PMC4083729_AMHSR-4-14-g002.jpg",
        "PMC2837471_a.jpg",
        "ROCO_00005.jpg",
    ]
    assert told(read, "caption") == ["Computed tomography of the chest.", "X-ray.", 'MRI of "the" knee.']
    assert told(read, "licence") == ["CC BY-NC-SA", "CC BY", "CC BY"]
    assert groups(read) == ["pmc:PMC4083729", "pmc:PMC2837471", "pmc:PMC2837471"]


def test_roco_with_another_list_of_licences_is_refused(tmp_path: Path):
    LAYOUTS["roco"](tmp_path)
    write_lines(tmp_path / "data/train/radiology/licences.txt", ["id,licence", "ROCO_00002,CC BY"])
    with pytest.raises(ValueError, match="is not ROCO's list with the columns ROCO_ID,PMC_ID,CC"):
        list(SOURCES["roco"].read(tmp_path))


def test_openpath_reads_quoted_captions_and_groups_by_post(tmp_path: Path):
    read = samples("openpath", tmp_path)
    assert told(read, "caption") == ["Skin, H&E.", "Nice case", "Liver"]
    assert told(read, "subset") == ["tweet", "reply", "pathlaion"]
    assert groups(read) == ["post:77", "post:77", None]


def test_mimic_takes_the_findings_of_each_view_and_tells_splits_apart(tmp_path: Path):
    read = samples("mimic-cxr", tmp_path)
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
    read = samples("iu-xray", tmp_path / "iu")
    assert groups(read) == ["iu-xray:CXR1", "iu-xray:CXR1", "iu-xray:CXR2"]
    assert told(read, "caption")[0] == 'Normal "chest". Lungs clear 0.'
    assert read[0].images[0].path == str(tmp_path / "iu/iu_xray_images/CXR1_1_IM-0001-3001.png")
    assert groups(samples("peir-gross", tmp_path / "peir")) == [None] * 3


def test_retinopathy_grades_are_numbers_grouped_by_patient(tmp_path: Path):
    read = samples("kaggle-dr", tmp_path / "kaggle")
    assert told(read, "label") == [0, 2, 4]
    assert groups(read) == ["kaggle-dr:10", "kaggle-dr:10", "kaggle-dr:13"]
    assert told(read, "label_set") == ["dr-grade"] * 3
    read = samples("ddr", tmp_path / "ddr")
    assert told(read, "label") == [0, 5, 3]
    assert told(read, "subset") == ["train", "ungradable", "valid"]
    assert groups(read) == ["ddr:007-0004", "ddr:007-0004", "ddr:007-0009"]


def test_a_grade_off_the_scale_is_named(tmp_path: Path):
    LAYOUTS["kaggle-dr"](tmp_path)
    write_lines(tmp_path / "trainLabels.csv", ["image,level", "10_left,5", "10_right,-1"])
    rows = list(SOURCES["kaggle-dr"].read(tmp_path))
    assert [row.detail for row in rows if isinstance(row, BadRow)] == ["'5'; accepted: 0 to 4", "'-1'; accepted: 0 to 4"]


@pytest.mark.parametrize("name", ["vqa-rad", "path-vqa"])
def test_training_questions_alone_are_read(name: str, tmp_path: Path):
    read = samples(name, tmp_path)
    assert [sample.messages for sample in read] == [
        (
            Message("user", (Part("image"), Part("text", f"Is it {n}?"))),
            Message("assistant", (Part("text", ("no", "yes")[n % 2]),)),
        )
        for n in range(3)
    ]
    assert [sample.images for sample in read] == [(ImageRef(bytes=png(n)),) for n in range(3)]


def test_slake_says_in_which_language_it_asks(tmp_path: Path):
    read = samples("slake", tmp_path)
    assert told(read, "subset") == ["en", "en", "zh"]
    assert told(read, "modality") == ["MRI"] * 3
    assert groups(read) == ["slake:xmlab1"] * 3
    assert [sample.messages[1].text for sample in read] == ["Yes", "Abdomen", "有"]
