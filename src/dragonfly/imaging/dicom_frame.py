# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""One frame of a DICOM image as stored values: its codestream is looked at before a decoder is.

pydicom finds the decoder. What it decodes with: itself (RLE), pylibjpeg (JPEG 2000, HTJ2K), Pillow and GDCM (JPEG), GDCM or
CharLS (JPEG-LS). Not pylibjpeg-rle: on damaged data it panics, and writes where no caller can catch it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragonfly.imaging.jpeg import missing_data, read_jpeg
from dragonfly.imaging.policy import ImageError, ImagePolicy
from dragonfly.installation import install_advice

_JPEG = tuple(f"1.2.840.10008.1.2.4.{end}" for end in (50, 51, 57, 70, 80, 81))
_BASELINE, _EXTENDED = _JPEG[:2]
_JPEG_2000 = tuple(f"1.2.840.10008.1.2.4.{end}" for end in (90, 91, 201, 202, 203))
_RLE = "1.2.840.10008.1.2.5"
_FIRST = {_RLE: "pydicom", _BASELINE: "pillow", **dict.fromkeys(_JPEG_2000, "pylibjpeg")}
_FRAME_STARTS = frozenset([*range(0xC0, 0xD0), 0xF7]) - {0xC4, 0xC8, 0xCC}
_MAX_TILES = 65_535  # ITU-T T.800 A.4.2: what a tile's number has room for
_ENTRIES = 65_536


def decoded_frame(dataset: Any, index: int, policy: ImagePolicy) -> NDArray[Any]:
    """Stored values of a frame, (rows, columns), or RGB and other colours as RGB (rows, columns, 3). Raises ImageError."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.utils import as_pixel_options

    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        name = syntax.name if syntax.name != str(syntax) else "an unknown transfer syntax"
        raise ImageError(
            f"is DICOM in {name}, which is not accepted; write it without compression first (gdcmconv --raw, or dcmdjpeg)"
        ) from None
    if not decoder.is_available:
        raise ImageError(f"is DICOM in {syntax.name}, whose decoder is not installed: {install_advice('medical')}")
    options = as_pixel_options(dataset)
    if "PixelData" in dataset:
        if syntax.is_encapsulated:
            _check_codestream(_codestream(dataset, index, options), str(syntax), dataset, policy)
        else:
            _check_length(dataset, options)
    plugin = _FIRST.get(str(syntax), "")
    plugin = plugin if plugin in decoder.available_plugins else ""  # else whichever there is
    _mute()
    try:
        values, _ = decoder.as_array(dataset, index=index, decoding_plugin=plugin, **options)
    except RuntimeError:
        if str(syntax) == _EXTENDED and int(dataset.BitsStored) > 8:
            raise ImageError(
                "is DICOM in JPEG Extended of 12 bits, which only pylibjpeg-libjpeg (GPL-3) reads; install that, or write the "
                "file without compression first (dcmdjpeg)"
            ) from None
        raise
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def _mute() -> None:
    """GDCM writes its warnings itself, past Python's."""
    try:
        import gdcm  # pyright: ignore[reportMissingImports]
    except ImportError:
        return
    for switch in (gdcm.Trace.WarningOff, gdcm.Trace.ErrorOff, gdcm.Trace.DebugOff):
        switch()


def _check_length(dataset: Any, options: dict[str, Any]) -> None:
    values = (
        int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("SamplesPerPixel") or 1) * int(options["number_of_frames"])
    )
    expected = -(-values * int(dataset.BitsAllocated) // 8)
    if str(dataset.get("PhotometricInterpretation")) == "YBR_FULL_422":
        expected = expected // 3 * 2
    if (found := len(dataset.PixelData)) < expected:
        raise ImageError(
            f"is a truncated DICOM file: {found:,} bytes of pixels where {expected:,} belong; copy or export it again"
        )


def _codestream(dataset: Any, index: int, options: dict[str, Any]) -> bytes:
    from pydicom.encaps import get_frame

    return get_frame(
        dataset.PixelData,
        index,
        number_of_frames=int(options["number_of_frames"]),
        extended_offsets=options.get("extended_offsets"),
    )


def _check_codestream(stream: bytes, syntax: str, dataset: Any, policy: ImagePolicy) -> None:
    """Raise ImageError unless the compressed frame is of the size that the header says: a decoder would believe it."""
    size = _jpeg_size(stream) if syntax in _JPEG else _jpeg_2000_size(stream) if syntax in _JPEG_2000 else None
    said = (int(dataset.Columns), int(dataset.Rows))
    if size is not None and size != said:
        raise ImageError(
            f"is DICOM of {said[0]} x {said[1]} pixels whose compressed frame has {size[0]} x {size[1]}; export it again"
        )
    if syntax == _BASELINE:
        fault, _ = missing_data(read_jpeg(stream, policy)) if policy.missing_data != "ignore" else ("", "")
        if fault:
            raise ImageError(f"is DICOM with a damaged or truncated JPEG frame ({fault:.200}); copy or export it again")


def _jpeg_size(stream: bytes) -> tuple[int, int]:
    """(width, height) of a JPEG or JPEG-LS by its frame header (ITU-T T.81 B.2.2)."""
    position = stream.find(b"\xff\xd8") + 2
    while position >= 2 and position + 9 <= len(stream):
        if stream[position] != 0xFF:
            break
        marker = stream[position + 1]
        if marker in _FRAME_STARTS:
            height, width = struct.unpack_from(">HH", stream, position + 5)
            return width, height
        position += 1 if marker == 0xFF else 2 + int.from_bytes(stream[position + 2 : position + 4])
    raise ImageError("is DICOM with a JPEG frame without a header; copy or export it again")


def _jpeg_2000_size(stream: bytes) -> tuple[int, int]:
    """(width, height) by the SIZ marker (ITU-T T.800 A.5.1); refuses more tiles than there can be."""
    start = stream.find(b"\xff\x4f\xff\x51")
    if start < 0 or start + 40 > len(stream):
        raise ImageError("is DICOM with a JPEG 2000 frame without a header; copy or export it again")
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top = struct.unpack_from(">8L", stream, start + 8)
    tiles = -(-(right - tile_left) // max(1, tile_width)) * -(-(bottom - tile_top) // max(1, tile_height))
    if tiles > _MAX_TILES:
        raise ImageError(f"is DICOM with a JPEG 2000 frame of {tiles:,} tiles; export it again")
    return right - left, bottom - top


def palette_of(dataset: Any) -> Callable[[NDArray[Any]], NDArray[np.uint8]]:
    """The colours of a palette (PS3.3 C.7.9): stored values (rows, columns) to RGB (rows, columns, 3). Raises ImageError."""
    from pydicom.tag import Tag

    channels: list[NDArray[np.uint8]] = []
    firsts: list[int] = []
    for offset in range(3):
        descriptor, data = Tag(0x0028, 0x1101 + offset), Tag(0x0028, 0x1201 + offset)
        segmented = Tag(0x0028, 0x1221 + offset)
        if descriptor not in dataset or (data not in dataset and segmented not in dataset):
            raise ImageError("is DICOM in colours of a palette that it does not hold; export it as RGB")
        entries, first, bits = (int(one) for one in dataset[descriptor].value)
        entries = (entries & 0xFFFF) or _ENTRIES
        width = np.dtype("<u2" if bits > 8 else "u1")
        raw = dataset[data if data in dataset else segmented].value
        values = np.frombuffer(raw, "<u2" if data not in dataset or len(raw) >= 2 * entries or bits > 8 else width).astype(
            np.int64
        )
        if data not in dataset:
            values = np.array(_expanded(np.frombuffer(raw, width).tolist(), entries), dtype=np.int64)
        if len(values) < entries:
            raise ImageError("is DICOM with a palette that is not whole; export it as RGB")
        # Files hold 8 bits in words of 16, and 16-bit palettes of 8-bit values: what is larger than 255 is of 16 bits.
        values = values[:entries]
        channels.append((values >> 8 if values.max(initial=0) > 255 else values).astype(np.uint8))
        firsts.append(first - 65536 if first > 32767 and int(dataset.get("PixelRepresentation") or 0) else first)
    if len(set(firsts)) > 1 or len({len(one) for one in channels}) > 1:
        raise ImageError("is DICOM with a palette whose three tables differ in size; export it as RGB")
    table = np.stack(channels, axis=-1)

    def coloured(stored: NDArray[Any]) -> NDArray[np.uint8]:
        return table[np.clip(stored.astype(np.int32) - firsts[0], 0, len(table) - 1)]

    return coloured


def _expanded(words: list[int], entries: int, start: int = 0, stop: int | None = None, count: int | None = None) -> list[int]:
    """A segmented table (PS3.3 C.7.9.2): discrete and linear segments, and those that repeat earlier ones."""
    values: list[int] = []
    position, done = start, 0
    while position < len(words) - 1 and len(values) < entries and (count is None or done < count):
        kind, length = words[position], words[position + 1]
        if kind == 0:
            values += words[position + 2 : position + 2 + length]
            position += 2 + length
        elif kind == 1 and values:
            begin, end = values[-1], words[position + 2]
            values += [round(begin + (end - begin) * step / length) for step in range(1, length + 1)]
            position += 3
        else:
            raise ImageError("is DICOM with a palette of a kind that is not read; export it as RGB")
        done += 1
    return values[:entries]
