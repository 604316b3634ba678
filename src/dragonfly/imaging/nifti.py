"""One slice of a NIfTI volume becomes an image, as a radiologist looks at it. nibabel (extra `medical`) reads the header.

The axes are turned to the nearest patient axes (nibabel's closest canonical orientation), then shown in the radiological
convention: the patient's right is at the left of axial and coronal images, anterior is up in axial ones and left in sagittal
ones, superior is up. One pixel is one voxel: nothing is resampled. Slices count from 1, from inferior, posterior and left.
One volume is held at a time: of a series in time the frame that is shown, whatever the file holds besides.
"""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dragonfly.imaging.decode import readable
from dragonfly.imaging.grey import Window, parse_window, windowed
from dragonfly.imaging.policy import ImageError, ImagePolicy, check_pixels
from dragonfly.imaging.several import check_montage, chosen, in_montage, tiled
from dragonfly.imaging.view import View
from dragonfly.installation import install_advice

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}  # the canonical axis that a slice of the plane has one index of
READABLE = ("plane", "slice", "slices", "frame", "frames", "window", "montage")

_GZIP = b"\x1f\x8b"
_HEADER = 540  # bytes of the longest header, which are looked at before anything is believed
ENOUGH = 8 * _HEADER  # bytes of a file, compressed or not, that hold its header
_MOST_VOLUME = 2**29  # bytes of the volume that is held
_MOST_READ = 2**30  # bytes that are decompressed to reach it
_BLOCK = 2**20
_SAMPLE = 2**22  # voxels that a window is taken from where none is given
_LOW, _TOP = 0.5, 99.5  # percentiles
_OBLIQUE = 1.0  # degrees from the patient's axes that are said
_MILLIMETRES = {"meter": 1000.0, "mm": 1.0, "micron": 0.001}


def is_nifti(data: bytes) -> bool:
    """By the bytes alone, compressed or not; also what is refused later: a pair's header."""
    start = data[:_HEADER] if not data.startswith(_GZIP) else _inflated_start(data)
    (size,) = struct.unpack("<i", start[:4]) if len(start) >= 4 else (0,)
    (swapped,) = struct.unpack(">i", start[:4]) if len(start) >= 4 else (0,)
    if 348 in (size, swapped):
        return start[344:348] in (b"n+1\0", b"ni1\0")
    return 540 in (size, swapped) and start[4:8] in (b"n+2\0", b"ni2\0")


Drawn = tuple[Image.Image, list[str], tuple[float, float] | None, str]


def draw_slice(data: bytes, view: View, policy: ImagePolicy) -> Drawn:
    """A slice or a montage: 8-bit grey or colour, notes, (height, width) of a pixel in millimetres, and which of several it is.

    Raises ImageError.
    """
    if view.is_several:
        raise ImageError(f"is asked for several images at once (#{view.text}); name one, or put them in one: montage=3x4")
    with readable("a damaged or truncated NIfTI file"):
        return _drawn(_volume(data, view), view, policy)


def extent(data: bytes, view: View) -> tuple[int, int]:
    """How many (slices of the view's plane, frames) a file has: what `slices=8` and `frame=all` are taken apart by."""
    with readable("a damaged or truncated NIfTI file"):
        head = _head(data)
        return _canonical_shape(head)[PLANES[view.plane or "axial"]], head.frames


@dataclass(frozen=True)
class _Head:
    """What a header says, believed as far as it was checked."""

    header: Any
    shape: tuple[int, int, int]
    frames: int
    dtype: np.dtype[Any]
    offset: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def axes(self) -> NDArray[Any]:
        """Of nibabel: for every stored axis the canonical one that is nearest, and its direction."""
        from nibabel.orientations import io_orientation  # pyright: ignore

        return io_orientation(self.header.get_best_affine())


@dataclass(frozen=True)
class _Volume:
    """A frame: `voxels` (right, anterior, superior) as they are stored, views into the bytes; `zooms` of them in file units."""

    head: _Head
    frame: int
    voxels: NDArray[Any]
    zooms: tuple[float, float, float]

    @cached_property
    def scale(self) -> tuple[float, float]:
        slope, inter = self.head.header.get_slope_inter()
        return (1.0, 0.0) if slope is None else (float(slope), float(inter or 0.0))

    def values(self, stored: NDArray[Any]) -> NDArray[np.float64]:
        slope, inter = self.scale
        with np.errstate(over="ignore", invalid="ignore"):
            return stored.astype(np.float64) * slope + inter

    def window(self) -> tuple[Window, str]:
        """Of the whole volume, so that slices compare: between two percentiles of its finite values (evenly spaced, if many)."""
        step = math.ceil((self.voxels.size / _SAMPLE) ** (1 / 3)) if self.voxels.size > _SAMPLE else 1
        values = self.values(self.voxels[::step, ::step, ::step])
        values = values[np.isfinite(values)]
        if not values.size:
            return (0.0, 1.0), "no voxel has a finite value"
        low, top = (float(value) for value in np.percentile(values, (_LOW, _TOP)))
        rule = f"percentiles {_LOW:g} to {_TOP:g} of the volume"
        if low == top:
            low, top, rule = float(values.min()), float(values.max()), "all values of the volume"
        if low == top:
            return (low + 0.5, 1.0), f"all voxels are {low:g}"
        return ((low + top) / 2, top - low), f"window {low:g} to {top:g} ({rule}); another: #window=centre,width"


def _volume(data: bytes, view: View) -> _Volume:
    """The frame that a view names, turned to the patient's axes."""
    head = _head(data)
    frame = _number(view.frame, 1, head.frames, "frame")
    start = head.offset + (frame - 1) * head.nbytes
    raw = _bytes(data, start, head.nbytes, frame == head.frames)
    stored = np.frombuffer(raw, head.dtype).reshape(head.shape, order="F")
    from nibabel.orientations import apply_orientation  # pyright: ignore

    axes = head.axes
    zooms = [0.0] * 3
    for stored_axis, zoom in enumerate(map(float, head.header.get_zooms()[:3])):
        zooms[int(axes[stored_axis, 0])] = abs(zoom)
    zooms = [zoom if 0 < zoom < math.inf else 1.0 for zoom in (zooms + [1.0] * 3)[:3]]
    voxels: NDArray[Any] = apply_orientation(stored, axes)  # pyright: ignore[reportUnknownVariableType]
    return _Volume(head, frame, voxels, (zooms[0], zooms[1], zooms[2]))


def _drawn(volume: _Volume, view: View, policy: ImagePolicy) -> Drawn:
    plane = view.plane or "axial"
    axis = PLANES[plane]
    count = volume.voxels.shape[axis]
    height, width = [side for other, side in enumerate(volume.voxels.shape) if other != axis][::-1]
    notes: list[str] = []
    window = _window(volume, view, notes)
    if view.montage:
        check_montage(view.montage, (width, height), policy)
        numbers = in_montage(view.montage, chosen("slice", view.slice, view.slices, count), count, "slice")
        image = tiled(view.montage, [_tile(volume, axis, number, window) for number in numbers], policy)
        label = f"{plane} slices {', '.join(map(str, numbers))} of {count}"
    else:
        check_pixels((width, height), policy)
        number = _number(view.slice, (count + 1) // 2, count, f"{plane} slice")
        image = _tile(volume, axis, number, window)
        label = f"{plane} slice {number} of {count}"
    middle = " (the middle; another: #slice=N)" if not (view.montage or view.slice) and count > 1 else ""
    frames = f", frame {volume.frame} of {volume.head.frames}" if volume.head.frames > 1 else ""
    said = [f"NIfTI: {label}{middle}{frames}, {_convention(plane)}", *notes, *_doubts(volume, axis)]
    return image, said, _spacing(volume, axis), f"{label}{frames}"


def _convention(plane: str) -> str:
    return "anterior at the left" if plane == "sagittal" else "radiological: the patient's right at the left"


def _window(volume: _Volume, view: View, notes: list[str]) -> Window | None:
    """What greys are shown, None for colours."""
    if volume.voxels.dtype.names:
        if view.window:
            raise ImageError("holds colours, which need no window; leave #window out")
        return None
    if view.window:
        return parse_window(view.window)
    window, note = volume.window()
    notes.append(note)
    return window


def _tile(volume: _Volume, axis: int, number: int, window: Window | None) -> Image.Image:
    """One slice, turned as it is looked at: rows from superior or anterior, columns from the patient's right, or anterior."""
    stored = np.take(volume.voxels, number - 1, axis=axis).T[::-1, ::-1]
    if window is None:
        names = stored.dtype.names or ()
        return Image.fromarray(np.ascontiguousarray(np.stack([stored[name] for name in names], axis=-1)))
    return Image.fromarray(windowed(volume.values(stored), window))


def _spacing(volume: _Volume, axis: int) -> tuple[float, float] | None:
    """(height, width) of a pixel in millimetres, where the header names its unit."""
    unit = _MILLIMETRES.get(volume.head.header.get_xyzt_units()[0])
    width, height = [zoom for other, zoom in enumerate(volume.zooms) if other != axis]
    return None if unit is None else (height * unit, width * unit)


def _doubts(volume: _Volume, axis: int) -> Iterator[str]:
    """What a reader of the image should know of the header."""
    header = volume.head.header
    width, height = [zoom for other, zoom in enumerate(volume.zooms) if other != axis]
    if not 0.95 < height / width < 1.05:
        yield f"a pixel is one voxel, and voxels are {height:g} high and {width:g} wide: shapes are not to scale"
    if int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0:
        yield "the header says no orientation: left and right are a guess"
    from nibabel.affines import obliquity  # pyright: ignore

    angle = float(np.degrees(obliquity(header.get_best_affine())).max())
    if angle > _OBLIQUE:
        yield f"stored up to {angle:.0f} degrees off the patient's axes: shown along the nearest ones, not resampled"


def _number(text: str, default: int, count: int, what: str) -> int:
    number = int(text) if text else default
    if not 1 <= number <= count:
        raise ImageError(f"has {count} {what}{'s' * (count != 1)}, counted from 1, and no {what} {number}")
    return number


def _canonical_shape(head: _Head) -> tuple[int, int, int]:
    shape = [1, 1, 1]
    for stored_axis, side in enumerate(head.shape):
        shape[int(head.axes[stored_axis, 0])] = side
    return shape[0], shape[1], shape[2]


def _head(data: bytes) -> _Head:
    """The header, checked against what the file can hold. Raises ImageError."""
    try:
        import nibabel  # pyright: ignore
    except ImportError:
        raise ImageError(
            f"is a NIfTI volume, which nibabel reads, and it is not installed: {install_advice('medical')}; "
            "or save the slice as PNG"
        ) from None
    start = _inflated_start(data) if data.startswith(_GZIP) else data[:_HEADER]
    kind, length, magic = (
        (nibabel.Nifti2Header, 540, start[4:8])
        if start[4:8] in (b"n+2\0", b"ni2\0")
        else (nibabel.Nifti1Header, 348, start[344:348])
    )
    if magic.startswith(b"ni"):
        raise ImageError("is the header of a NIfTI pair, whose voxels lie in another file; save both as one .nii file")
    header: Any = kind(start[:length], check=False)
    _check_header(header)
    sides = [int(side) for side in header["dim"][1 : int(header["dim"][0]) + 1]]
    if not sides or min(sides) < 1:
        raise ImageError(f"is a NIfTI file of shape {' x '.join(map(str, sides)) or 'nothing'}, which holds no voxels")
    sides += [1] * (3 - len(sides))
    head = _Head(header, (sides[0], sides[1], sides[2]), math.prod(sides[3:]), header.get_data_dtype(), int(header["vox_offset"]))
    if head.dtype.kind not in "iufV" or head.dtype.itemsize > 8:
        raise ImageError(f"is a NIfTI file of {head.dtype} voxels, which have no grey; save their size or one part of them")
    if head.nbytes > _MOST_VOLUME:
        raise ImageError(
            f"is a NIfTI volume of {head.nbytes:,} bytes, over the limit of {_MOST_VOLUME:,}; save a part of it, or fewer bits"
        )
    return head


def _check_header(header: Any) -> None:
    """What nibabel would fail on later, and in many words; its own check also mends, which nobody asked for."""
    code, rank = int(header["datatype"]), int(header["dim"][0])
    try:
        header.get_data_dtype()
    except KeyError:
        raise ImageError(f"is a NIfTI file of data type {code}, which is not known; save it as 16-bit integers") from None
    if not 1 <= rank <= 7:
        raise ImageError(f"is a damaged NIfTI file (it says it has {rank} dimensions); copy or export it again")
    offset = float(header["vox_offset"])
    if not (math.isfinite(offset) and 0 <= offset <= _MOST_READ):
        raise ImageError(f"is a damaged NIfTI file (voxels at byte {offset:g}); copy or export it again")
    affine = header.get_best_affine()
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) == 0:
        raise ImageError("is a NIfTI file whose orientation is no rotation (its affine is singular); set its sform or qform")


def _bytes(data: bytes, start: int, count: int, is_last: bool) -> bytes | memoryview:
    """`count` bytes from `start` of the file as it is without compression. Raises ImageError where it ends before."""
    if not data.startswith(_GZIP):
        found: bytes | memoryview = memoryview(data)[start : start + count]
    else:
        if start + count > _MOST_READ:
            raise ImageError(
                f"is a compressed NIfTI file of which {start + count:,} bytes would be read, over the limit of {_MOST_READ:,}; "
                "save the frame as a file of its own"
            )
        found = _inflated(data, start, count, is_last)
    if len(found) < count:
        raise ImageError(
            f"is a damaged or truncated NIfTI file (its header says {count:,} bytes of voxels, and it has {len(found):,}); "
            "copy or export it again"
        )
    return found


def _inflated_start(data: bytes) -> bytes:
    try:
        return bytes(zlib.decompressobj(31).decompress(data[:ENOUGH], _HEADER))
    except zlib.error:
        return b""


def _inflated(data: bytes, start: int, count: int, is_last: bool) -> bytes:
    """A part of gzip's content, block by block, so that a file that says more than it holds takes no memory for it.

    At the end of the file its checksum is read too, which a damaged one does not pass.
    """
    found = bytearray()
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        left = start
        while left and (block := stream.read(min(_BLOCK, left))):
            left -= len(block)
        while len(found) < count and (block := stream.read(min(_BLOCK, count - len(found)))):
            found += block
        if is_last:
            stream.read(1)
    return bytes(found)
