# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportMissingTypeStubs=false
"""An answer about DICOM images as a Structured Report that goes back into the archive (PS3.16 TID 1500, by highdicom).

It holds question and answer as text, each sub-image that was looked at closely as a region in image coordinates of the frame it
was cut from, and the model's name, version and hash as the observer. The identifiers of patient and study are copied, because the
standard files a report by them: the one place where something of a header leaves a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import dragonfly
from dragonfly.imaging import DEFAULT_POLICY, INTENDED_USE
from dragonfly.imaging.dicom_file import guarded, read_dataset
from dragonfly.imaging.policy import ImageError
from dragonfly.imaging.series import frame_of
from dragonfly.inference.answer import Answer
from dragonfly.inference.engine import Engine
from dragonfly.installation import install_advice

_REQUIRED = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime", "AccessionNumber")
_PROCEDURE = ("363679005", "SCT", "Imaging")  # of whatever kind: the header's own words are not copied
_SCHEME = "99DRAGONFLY"
_QUESTION, _ANSWER, _LIMITS = ("question", "Question"), ("answer", "Answer"), ("intended-use", "Intended use")


def sources_of(paths: Sequence[str]) -> list[tuple[str, int]]:
    """The DICOM file and frame of each image, checked before a model is loaded. Raises ValueError for any other image."""
    if not paths:
        raise ValueError("a Structured Report is about DICOM images, and no image is given")
    try:
        import highdicom  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError:
        raise ValueError(f"a Structured Report needs highdicom, which is not installed: {install_advice('medical')}") from None
    try:
        return [frame_of(path) for path in paths]
    except ValueError as error:
        raise ValueError(f"{error}, and a Structured Report is about DICOM images; leave --sr out") from None


def weights_digest(model: Any) -> str:
    """SHA-256 of a model's weights as they are loaded: names, kinds and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def structured_report(answer: Answer, question: str, sources: Sequence[tuple[str, int]], engine: Engine) -> Any:
    """The report as a data set of pydicom's.

    Args:
        answer: to `question`, about the images of `sources`, in their order.
        sources: from `sources_of`.
        engine: that answered.

    Raises:
        ValueError: for a file that cannot be read, or images of several studies.
    """
    images = [_header(path) for path, _ in sources]
    if len({str(image.get("StudyInstanceUID")) for image in images}) > 1:
        raise ValueError("a Structured Report is about one study, and the images are of several; ask about each by itself")
    try:
        with guarded("DICOM that no Structured Report can be made of"):
            return _report(answer, question, [frame for _, frame in sources], images, engine)
    except ImageError as error:
        raise ValueError(f"{sources[0][0]} {error}") from None


def _report(answer: Answer, question: str, frames: Sequence[int], images: list[Any], engine: Engine) -> Any:
    import highdicom
    from highdicom.sr import CodedConcept, ComprehensiveSR, MeasurementReport, ObservationContext, ObserverContext
    from pydicom.sr.codedict import codes

    digest = weights_digest(engine.model)
    uid = f"2.25.{int(digest[:32], 16)}"
    observer = ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=highdicom.sr.DeviceObserverIdentifyingAttributes(
            uid=uid,
            name=Path(engine.name).name[:64],
            manufacturer_name="Dragonfly",
            model_name=f"dragonfly {dragonfly.__version__}",
            serial_number=digest,
        ),
    )
    whole = _group(images, frames)
    for code, text in ((_QUESTION, question), (_ANSWER, answer.text or "(no words)"), (_LIMITS, INTENDED_USE)):
        whole[0].ContentSequence.append(_text(code, text))
    regions = [
        _region(image, frame, number, index, item.box)
        for number, (image, frame, selection) in enumerate(zip(images, frames, answer.selections, strict=True), start=1)
        for index, item in enumerate((one for one in selection if one.kept), start=1)
    ]
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=CodedConcept(*_PROCEDURE),
        imaging_measurements=[whole, *regions],
        title=codes.DCM.ImagingMeasurementReport,
    )
    report = ComprehensiveSR(
        evidence=list({str(image.SOPInstanceUID): image for image in images}.values()),
        content=content[0],
        series_instance_uid=highdicom.UID(),
        series_number=9001,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="Dragonfly",
        is_complete=True,
        is_verified=False,
    )
    report.SpecificCharacterSet = "ISO_IR 192"  # UTF-8: an answer may hold any letters
    return report


def _group(images: list[Any], frames: Sequence[int]) -> Any:
    from highdicom import UID
    from highdicom.sr import MeasurementsAndQualitativeEvaluations, SourceImageForMeasurementGroup, TrackingIdentifier

    sources = [
        SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID, [frame] if "NumberOfFrames" in image else None)
        for image, frame in zip(images, frames, strict=True)
    ]
    return MeasurementsAndQualitativeEvaluations(TrackingIdentifier(uid=UID(), identifier="answer"), source_images=sources)


def _region(image: Any, frame: int, number: int, index: int, box: Sequence[float]) -> Any:
    """A kept sub-image as a closed polyline, (column, row) from the top left corner of the frame."""
    from highdicom import UID
    from highdicom.sr import (
        GraphicTypeValues,
        ImageRegion,
        PlanarROIMeasurementsAndQualitativeEvaluations,
        SourceImageForRegion,
        TrackingIdentifier,
    )

    left, top, right, bottom = box
    edge = np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], dtype=float)
    source = SourceImageForRegion(image.SOPClassUID, image.SOPInstanceUID, [frame] if "NumberOfFrames" in image else None)
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        TrackingIdentifier(uid=UID(), identifier=f"image {number}, sub-image {index} that was looked at closely"),
        referenced_region=ImageRegion(GraphicTypeValues.POLYLINE, edge, source),
    )


def _text(code: tuple[str, str], words: str) -> Any:
    from highdicom.sr import CodedConcept, RelationshipTypeValues, TextContentItem

    name = CodedConcept(code[0], _SCHEME, code[1])
    return TextContentItem(name=name, value=words, relationship_type=RelationshipTypeValues.CONTAINS)


def _header(path: str) -> Any:
    """A source image's data set; what the standard wants of every report, and the file leaves out, is empty."""
    try:
        dataset = read_dataset(Path(path).read_bytes(), DEFAULT_POLICY)
    except (ImageError, OSError) as error:
        raise ValueError(f"{path} {error if isinstance(error, ImageError) else 'cannot be read'}") from None
    for name in _REQUIRED:
        if name not in dataset:
            setattr(dataset, name, "")
    return dataset
