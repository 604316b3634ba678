# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""A DICOM image becomes RGB: the frame that a view asks for, through modality and window, as PS3.3 says.

Only that frame is decoded, once its header and its own codestream agree on its size. Nothing of a header but numbers of
the pixels reaches a note or an error. Text that is burned into the pixels is part of the image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dragonfly.imaging.dicom_file import guarded, read_dataset
from dragonfly.imaging.dicom_frame import decoded_frame, palette_of
from dragonfly.imaging.dicom_window import Grey, Table, Values, Window, asked, full_range
from dragonfly.imaging.policy import ImageError, ImagePolicy, check_pixels
from dragonfly.imaging.several import check_montage, chosen, in_montage, tiled
from dragonfly.imaging.view import View

VIEWS = ("frame", "frames", "window", "montage")
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_CENTIMETRES = 3  # PS3.3 C.8.5.5.1.15, of an ultrasound region
_STRIP = 2**20  # values of more than 16 bits that are converted at a time


def read_dicom(data: bytes, view: View, policy: ImagePolicy) -> tuple[Image.Image, list[str], tuple[float, float] | None, str]:
    """RGB pixels, notes, (height, width) of a pixel in millimetres where the file says it, and which frame of several it is.

    Raises ImageError.
    """
    view.check("DICOM", VIEWS)
    dataset = read_dataset(data, policy)
    with guarded():
        return _Image(dataset, policy).shown(view)


def count_frames(dataset: Any) -> int:
    """Frames of an image, at least 1. Raises ImageError where the header says nonsense."""
    with guarded():
        return max(1, int(dataset.get("NumberOfFrames") or 1))


class _Image:
    """A data set that holds an image, its sizes checked."""

    def __init__(self, dataset: Any, policy: ImagePolicy) -> None:
        self.dataset, self.policy = dataset, policy
        if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
            raise ImageError(
                "is DICOM without an image (a report, a plan, measurements or a document); give an image of the study"
            )
        self.rows, self.columns = (int(dataset.get(name) or 0) for name in ("Rows", "Columns"))
        if self.rows < 1 or self.columns < 1:
            raise ImageError("is DICOM that does not say how many rows and columns it has; export it again")
        check_pixels((self.columns, self.rows), policy)
        self.frames = count_frames(dataset)
        self.kind = str(dataset.get("PhotometricInterpretation", "")).strip().upper()
        if self.kind not in (*_GREY, *_COLOURS, "PALETTE COLOR"):
            raise ImageError(
                f"is DICOM of a photometric interpretation that is not accepted; accepted: {', '.join((*_GREY, *_COLOURS))}, "
                "PALETTE COLOR"
            )

    def shown(self, view: View) -> tuple[Image.Image, list[str], tuple[float, float] | None, str]:
        numbers = chosen("frame", view.frame, view.frames, self.frames)
        notes: list[str] = []
        if view.montage:
            numbers = in_montage(view.montage, numbers, self.frames, "frame")
            check_montage(view.montage, (self.columns, self.rows), self.policy)
            images: list[Image.Image] = []
            for number in numbers:
                image, notes = self._frame(number - 1, view)
                images.append(image)
            label = f"frames {', '.join(map(str, numbers))} of {self.frames}"
            image, notes = tiled(view.montage, images, self.policy), [*notes, label]
        elif len(numbers) > 1 or view.frames:
            raise ImageError(f"has a view of {len(numbers)} frames where one image is wanted; give one frame, or add montage=2x4")
        else:
            number = numbers[0] if numbers else 1
            image, notes = self._frame(number - 1, view)
            label = f"frame {number} of {self.frames}" if self.frames > 1 else ""
            if label:
                notes.append(label if numbers else f"{label}; #frame=2 after the name is the second, #frames=8 eight of them")
        if any(tag.group in range(0x6000, 0x6020, 2) for tag in list(self.dataset.keys())):
            notes.append("overlays left out")
        spacing, which = self._spacing(numbers[0] - 1 if numbers else 0)
        return image, notes + which, spacing, label

    def _frame(self, index: int, view: View) -> tuple[Image.Image, list[str]]:
        stored = decoded_frame(self.dataset, index, self.policy)
        if self.kind in _GREY and stored.ndim == 2:
            return self._grey(stored, index, view.window)
        if view.window:
            raise ImageError(f"is DICOM in colour, which has no window; leave #window={view.window} out")
        notes = ["ICC profile ignored"] if "ICCProfile" in self.dataset else []
        if self.kind == "PALETTE COLOR":
            return Image.fromarray(palette_of(self.dataset)(stored)), notes
        if stored.ndim != 3 or stored.shape[2] != 3:
            raise ImageError("is DICOM whose colours are not three to a pixel; export it again")
        if stored.dtype != np.uint8:
            most = 2 ** int(self.dataset.BitsStored) - 1
            stored = np.clip((stored.astype(np.float32) * (255 / most) + 0.5), 0, 255).astype(np.uint8)
        return Image.fromarray(np.ascontiguousarray(stored)), notes

    def _grey(self, stored: NDArray[Any], index: int, window: str) -> tuple[Image.Image, list[str]]:
        """One grey frame. Of up to 16 bits every value that can be is converted once, and the frame looked up."""
        modality = self._modality(index)
        is_inverse = self.kind == "MONOCHROME1"
        inverse = ["MONOCHROME1, inverted"] if is_inverse else []
        if stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2:
            patterns = stored.view(np.dtype(f"u{stored.dtype.itemsize}"))
            domain = modality(self._meaning(stored.dtype))
            here = np.zeros(len(domain), dtype=bool)
            here[patterns] = True
            greys, notes = self._greys(domain, here, index, window)
            tables = [_rounded(grey(domain), is_inverse) for grey in greys]
            channels = [table[patterns] for table in tables]
        else:
            flat = stored.reshape(-1)
            if not np.isfinite(flat).all():
                raise ImageError("is DICOM with values that are no numbers; export it as integers")
            ends = modality(np.array([flat.min(), flat.max()], dtype=np.float64))
            greys, notes = self._greys(ends, np.ones(2, dtype=bool), index, window)
            channels = [np.empty(stored.shape, dtype=np.uint8) for _ in greys]
            for start in range(0, flat.size, _STRIP):
                values = modality(flat[start : start + _STRIP].astype(np.float64))
                for channel, grey in zip(channels, greys, strict=True):
                    channel.reshape(-1)[start : start + _STRIP] = _rounded(grey(values), is_inverse)
        if len(channels) == 1:
            return Image.fromarray(channels[0]).convert("RGB"), notes + inverse
        return Image.fromarray(np.stack(channels, axis=-1)), notes + inverse

    def _meaning(self, dtype: np.dtype[Any]) -> Values:
        """The stored value that each pattern of bits stands for: its unused bits do not count, whoever wrote them."""
        bits = 8 * dtype.itemsize
        stored = min(int(self.dataset.get("BitsStored") or bits), bits)
        patterns = np.arange(2**bits, dtype=np.int64)
        patterns &= 2**stored - 1
        if int(self.dataset.get("PixelRepresentation") or 0) == 1:
            patterns -= (patterns >> (stored - 1)) << stored
        return patterns.astype(np.float64)

    def _modality(self, index: int) -> Grey:
        """Stored values to those of the modality, as Hounsfield units (PS3.3 C.11.1)."""
        if sequence := self.dataset.get("ModalityLUTSequence"):
            return _table(sequence[0], int(self.dataset.get("PixelRepresentation") or 0) == 1)
        group = self._group(index, "PixelValueTransformationSequence")
        slope, intercept = (_numbers(group.get(name)) for name in ("RescaleSlope", "RescaleIntercept"))
        factor, term = slope[0] if slope else 1.0, intercept[0] if intercept else 0.0
        if not np.isfinite([factor, term]).all():
            raise ImageError("is DICOM whose rescale slope or intercept is no number; export it again")
        return lambda values: values * factor + term

    def _greys(self, values: Values, here: NDArray[np.bool_], index: int, window: str) -> tuple[list[Grey], list[str]]:
        """How modality values become grey, once or for red, green and blue, and a note on it. `here`: values that occur."""
        stored = self._stored_windows(index)
        if window:
            found = asked(window, stored, self._is_hounsfield(index))
            names = "" if len(found) == 1 else "red, green, blue: "
            return [grey for _, grey in found], [names + ", ".join(note for note, _ in found)]
        if stored:
            note, grey = stored[0]
            more = f", the first of {len(stored)}" if len(stored) > 1 else ""
            return [grey], [f"{note} of the file{more}"]
        bits = int(self.dataset.get("BitsStored") or 16)
        if bits <= 8:
            low, high = float(values.min()), float(values.max())
            return [full_range(low, high)], []
        padding = self._padding()
        own = values[here & ~np.isin(values, padding)] if len(padding) else values[here]
        low, high = (float(own.min()), float(own.max())) if own.size else (0.0, 1.0)
        return [full_range(low, high)], [f"no window in the file: from its smallest value, {low:g}, to its largest, {high:g}"]

    def _padding(self) -> list[float]:
        """The modality value of what lies outside the image."""
        value = self.dataset.get("PixelPaddingValue")
        return [] if not isinstance(value, int) else self._modality(0)(np.array([value], dtype=np.float64)).tolist()

    def _stored_windows(self, index: int) -> list[tuple[str, Grey]]:
        """The file's windows, then its VOI tables, each with the words of a note."""
        group = self._group(index, "FrameVOILUTSequence", lacking="WindowCenter")
        centres, widths = _numbers(group.get("WindowCenter")), _numbers(group.get("WindowWidth"))
        function = str(group.get("VOILUTFunction") or "LINEAR").strip().upper()
        windows = [Window(centre, width, function) for centre, width in zip(centres, widths, strict=False)]
        tables = [_table(item, signed=True) for item in self.dataset.get("VOILUTSequence") or []]
        return [(f"window {one.text}", one) for one in windows] + [
            (f"VOI table {number}", table.grey) for number, table in enumerate(tables, start=1)
        ]

    def _is_hounsfield(self, index: int) -> bool:
        group = self._group(index, "PixelValueTransformationSequence")
        kind = str(group.get("RescaleType") or "HU").strip().upper()
        return str(self.dataset.get("Modality", "")).strip().upper() == "CT" and kind == "HU" and "RescaleIntercept" in group

    def _group(self, index: int, name: str, lacking: str = "") -> Any:
        """The functional group of a frame, what all share, or the data set itself (PS3.3 C.7.6.16)."""
        frames, shared = self.dataset.get("PerFrameFunctionalGroupsSequence"), self.dataset.get("SharedFunctionalGroupsSequence")
        for item in ([frames[index]] if frames and index < len(frames) else []) + ([shared[0]] if shared else []):
            if (found := item.get(name)) and (not lacking or lacking in found[0]):
                return found[0]
        return self.dataset

    def _spacing(self, index: int) -> tuple[tuple[float, float] | None, list[str]]:
        measures = self._group(index, "PixelMeasuresSequence")
        for name, note in (
            ("PixelSpacing", ""),
            ("ImagerPixelSpacing", "millimetres are those of the detector, not of the body"),
            ("NominalScannedPixelSpacing", "millimetres are those of the film that was scanned"),
        ):
            found = _numbers((measures if name == "PixelSpacing" else self.dataset).get(name))
            if len(found) == 2 and all(0 < one < np.inf for one in found):
                return (found[0], found[1]), [note] if note else []
        regions = self.dataset.get("SequenceOfUltrasoundRegions") or []
        units = {int(one.get(f"PhysicalUnits{axis}Direction") or 0) for one in regions for axis in "XY"}
        steps = {(abs(float(one.PhysicalDeltaY)), abs(float(one.PhysicalDeltaX))) for one in regions if units == {_CENTIMETRES}}
        if len(steps) == 1:
            height, width = steps.pop()
            if 0 < height < np.inf and 0 < width < np.inf:
                return (10 * height, 10 * width), ["millimetres are those of the ultrasound region"]
        return None, []


def _numbers(value: Any) -> list[float]:
    """One number, several or none."""
    if value is None or value == "":
        return []
    return [float(one) for one in value] if hasattr(value, "__iter__") and not isinstance(value, str) else [float(value)]


def _table(item: Any, signed: bool) -> Table:
    """A lookup table of a sequence. `signed`: whether its first input may be below zero."""
    entries, first, bits = (int(one) for one in item.LUTDescriptor)
    data: Any = item.LUTData
    values = np.frombuffer(data, "<u2") if isinstance(data, bytes) else np.asarray(data).astype(np.int64) & 0xFFFF
    entries = entries & 0xFFFF or 65536
    if len(values) * 2 == entries and bits <= 8:  # two to a word
        values = values.astype("<u2").view(np.uint8)
    if not 1 <= bits <= 16 or len(values) < entries:
        raise ImageError("is DICOM with a lookup table that is not whole; give #window=centre,width, or export it again")
    first &= 0xFFFF
    return Table(first - 65536 if signed and first > 32767 else first, bits, values[:entries].astype(np.float64))


def _rounded(grey: Values, is_inverse: bool) -> NDArray[np.uint8]:
    levels = np.rint(np.clip(grey, 0, 255)).astype(np.uint8)
    return 255 - levels if is_inverse else levels
