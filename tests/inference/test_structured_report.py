"""Structured Reports: what they say, read back by pydicom and highdicom."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import highdicom
import numpy as np
import pydicom
import pytest
import torch
from pydicom.uid import ComprehensiveSRStorage

import dragonfly
from dragonfly.imaging import INTENDED_USE
from dragonfly.inference.answer import Answer, SubImageScore
from dragonfly.inference.engine import Engine
from dragonfly.inference.structured_report import sources_of, structured_report, weights_digest
from tests.imaging.scans import PLANTED, hounsfield, scan, series, written

BOX = (10.0, 20.0, 50.0, 60.5)


def report(*paths: object) -> Any:
    """Written and read again: of an answer for which one sub-image of each image was kept and one was not."""
    scores = (SubImageScore(0, BOX, 1.0, True, 0), SubImageScore(1, (0.0, 0.0, 5.0, 5.0), 0.5, False, 0))
    answer = Answer("no fracture \u9aa8", (1,), 0.5, 3, (), (scores,) * len(paths), {})
    buffer = io.BytesIO()
    made = structured_report(answer, "Is there a fracture?", sources_of([str(path) for path in paths]), engine())
    made.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return pydicom.dcmread(buffer)


def engine() -> Engine:
    model = torch.nn.Linear(3, 2)
    torch.nn.init.ones_(model.weight)
    torch.nn.init.zeros_(model.bias)
    return cast(Engine, SimpleNamespace(name="models/chest", model=model))


def items(content: Any, kind: str) -> list[Any]:
    """All content items of a value type, at any depth."""
    found = [one for one in content.get("ContentSequence", []) if one.ValueType == kind]
    return found + [deep for one in content.get("ContentSequence", []) for deep in items(one, kind)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "scan.dcm"
    file.write_bytes(written(hounsfield(np.zeros((80, 60)))))
    return file


def test_question_answer_observer_and_regions(path: Path) -> None:
    made = report(path)
    assert made.SOPClassUID == ComprehensiveSRStorage and made.Modality == "SR"
    assert (made.ContentTemplateSequence[0].TemplateIdentifier, made.VerificationFlag) == ("1500", "UNVERIFIED")
    texts = {one.ConceptNameCodeSequence[0].CodeMeaning: str(one.TextValue) for one in items(made, "TEXT")}
    assert (texts["Question"], texts["Answer"]) == ("Is there a fracture?", "no fracture \u9aa8")
    assert texts["Intended use"] == INTENDED_USE
    assert (
        texts["Device Observer Name"] == "chest" and texts["Device Observer Model Name"] == f"dragonfly {dragonfly.__version__}"
    )
    assert texts["Device Observer Serial Number"] == weights_digest(engine().model)
    (region,) = items(made, "SCOORD")
    left, top, right, bottom = BOX
    assert region.GraphicType == "POLYLINE"
    assert list(region.GraphicData) == [left, top, right, top, right, bottom, left, bottom, left, top]
    assert region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.4"


def test_patient_and_study_are_those_of_the_image_and_no_more(path: Path) -> None:
    made = report(path)
    assert [made.PatientName, made.PatientID, made.PatientBirthDate, made.AccessionNumber] == list(PLANTED[:4])
    assert made.StudyInstanceUID == "1.2.3" and made.SeriesInstanceUID != "1.2.3.1"
    assert "InstitutionName" not in made or made.InstitutionName != PLANTED[5]


def test_another_reader_finds_the_regions(path: Path) -> None:
    read = highdicom.sr.ComprehensiveSR.from_dataset(report(path))
    (group,) = cast(Any, read.content).get_planar_roi_measurement_groups()
    assert group.roi.graphic_type.value == "POLYLINE" and group.roi.value[0].tolist() == [BOX[0], BOX[1]]


def test_frames_and_slices_are_referred_to(tmp_path: Path) -> None:
    cine = tmp_path / "cine.dcm"
    cine.write_bytes(written(scan(np.zeros((4, 80, 60), np.uint8), "US", NumberOfFrames=4)))
    (region,) = items(report(f"{cine}#frame=3"), "SCOORD")
    assert region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedFrameNumber == 3
    folder = series(tmp_path / "series", 3)
    made = report(f"{folder}#slice=1", f"{folder}#slice=3")
    referred = [one.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID for one in items(made, "SCOORD")]
    assert referred == ["1.2.3.4.0", "1.2.3.4.2"]


def test_what_it_is_not_for(path: Path, tmp_path: Path) -> None:
    png = tmp_path / "a.png"
    png.write_bytes(b"\x89PNG")
    for given in (str(png), f"{tmp_path}#montage=1x1", "missing.dcm"):
        with pytest.raises(ValueError, match=r", and a Structured Report is about DICOM images; leave --sr out$"):
            sources_of([given])
    with pytest.raises(ValueError, match="no image is given"):
        sources_of([])
    other = tmp_path / "other.dcm"
    other.write_bytes(written(hounsfield(np.zeros((80, 60)), StudyInstanceUID="1.2.99")))
    with pytest.raises(ValueError, match="is about one study, and the images are of several"):
        report(path, other)
