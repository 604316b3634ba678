"""Medical questions and graded fundus photographs."""

from pathlib import Path

import pytest

from dragonfly.curation.sources import SOURCES
from dragonfly.data import BadRow, ImageRef, Message, Part

from .layouts import LAYOUTS, noise, write_lines, write_parquet
from .reading import groups, layout_samples, samples, told


def test_retinopathy_grades_are_numbers_grouped_by_patient(tmp_path: Path):
    read = layout_samples("kaggle-dr", tmp_path / "kaggle")
    assert told(read, "label") == [0, 2, 4]
    assert groups(read) == ["kaggle-dr:10", "kaggle-dr:10", "kaggle-dr:13"]
    assert told(read, "label_set") == ["dr-grade"] * 3
    read = layout_samples("ddr", tmp_path / "ddr")
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
    read = layout_samples(name, tmp_path)
    assert [sample.messages for sample in read] == [
        (
            Message("user", (Part("image"), Part("text", f"Is it {n}?"))),
            Message("assistant", (Part("text", ("no", "yes")[n % 2]),)),
        )
        for n in range(3)
    ]
    seed = {"vqa-rad": 300, "path-vqa": 400}[name]
    assert [sample.images for sample in read] == [(ImageRef(bytes=noise(seed + n)),) for n in range(3)]
    assert told(read, "modality") == ["not stated"] * 3


def test_a_modality_is_what_a_row_states_or_another_row_about_the_same_image(tmp_path: Path):
    asked = [
        (1, "Is this a CT of the head?", "Yes"),
        (1, "Is there a mass?", "no"),
        (2, "Is this a CT?", "no"),
        (3, "Is this an MRI?", "yes"),
        (3, "What kind of image is this?", "x-ray"),
        (4, "What does the gross image show?", "liver"),
    ]
    rows = [{"image": {"bytes": noise(n), "path": None}, "question": q, "answer": a} for n, q, a in asked]
    write_parquet(tmp_path / "data/train-0.parquet", rows)
    read = samples("path-vqa", tmp_path)
    assert told(read, "modality") == ["CT", "CT", "not stated", "not stated", "not stated", "gross"]


def test_slake_says_in_which_language_it_asks(tmp_path: Path):
    read = layout_samples("slake", tmp_path)
    assert told(read, "subset") == ["en", "en", "zh"]
    assert told(read, "modality") == ["MRI"] * 3
    assert groups(read) == ["slake:xmlab1"] * 3
    assert [sample.messages[1].text for sample in read] == ["Yes", "Abdomen", "有"]
