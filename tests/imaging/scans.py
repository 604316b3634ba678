"""DICOM files written on the spot, with identifiers that must turn up nowhere."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

PLANTED = ("Zebedee^Quillfeather", "PID-7719-X", "19531112", "ACC-55801", "Dr^Ottoline^Plunkett", "St Werburgh Infirmary")
"""Name, identifier, birth date, accession number, physician and institution of every scan here."""

CT, MR, CR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.1"
_KINDS = {"CT": CT, "MR": MR, "CR": CR}


def scan(stored: NDArray[Any], modality: str = "CT", uid: str = "1.2.3.4", **elements: Any) -> Dataset:
    """A data set of (rows, columns), (rows, columns, 3) or, with NumberOfFrames given, several of them."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = UID(_KINDS.get(modality, CT))
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(uid)
    dataset.SOPClassUID, dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPClassUID, UID(uid)
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate, dataset.AccessionNumber = PLANTED[:4]
    dataset.ReferringPhysicianName, dataset.InstitutionName = PLANTED[4:]
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = UID("1.2.3"), UID("1.2.3.1")
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID, dataset.PatientSex = "20240103", "101500", "S1", "O"
    dataset.Modality = modality
    colours = 3 if stored.ndim >= 3 and stored.shape[-1] == 3 and "NumberOfFrames" not in elements else 1
    shape = stored.shape[:2] if "NumberOfFrames" not in elements else stored.shape[1:3]
    dataset.Rows, dataset.Columns = shape
    dataset.SamplesPerPixel = colours
    dataset.PhotometricInterpretation = "RGB" if colours == 3 else "MONOCHROME2"
    if colours == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8 * stored.dtype.itemsize
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    for name, value in elements.items():
        setattr(dataset, name, value)
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelData = stored.tobytes() + b"\0" * (stored.nbytes % 2)
    return dataset


def item(**elements: Any) -> Dataset:
    dataset = Dataset()
    for name, value in elements.items():
        setattr(dataset, name, value)
    return dataset


def group(name: str, **elements: Any) -> tuple[str, Sequence]:
    """A functional group of one item."""
    return name, Sequence([item(**elements)])


def written(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def hounsfield(values: NDArray[Any], **elements: Any) -> Dataset:
    """CT of values in Hounsfield units, stored unsigned with the usual intercept."""
    return scan(
        (values + 1024).astype("<u2"), RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU", BitsStored=12, **elements
    )


def series(folder: Path, count: int = 5, step: float = 2.5, **elements: Any) -> Path:
    """Slices whose names, instance numbers and positions say different orders; the grey of each is its place from the feet up."""
    folder.mkdir(parents=True, exist_ok=True)
    for place in range(count):
        dataset = hounsfield(np.full((8, 6), 100 * place), uid=f"1.2.3.4.{place}", WindowCenter=200, WindowWidth=800)
        dataset.ImageOrientationPatient, dataset.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, step * place - 40]
        dataset.PixelSpacing, dataset.InstanceNumber, dataset.SeriesNumber = [0.5, 0.75], count - place, 3
        for name, value in elements.items():
            setattr(dataset, name, value)
        (folder / f"IM{(7 * place) % count}").write_bytes(written(dataset))
    return folder
