"""Which way is up: EXIF, or XMP where there is no EXIF, as Pillow reads it, but without its reading everything else there.

Pillow unpacks the whole of a file's EXIF to find one number, and EXIF of a few kilobytes can ask for gigabytes. Here the first
directory is walked once (EXIF 2.3, section 4.6.4 A).
"""

from __future__ import annotations

import re
import struct
from typing import Any

from PIL import Image

_TAG = 0x0112
_TURNS = {  # where the stored row 0 and column 0 belong
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_HEADINGS = re.compile(rb"(?:Exif\0\0)+")
_NUMBERS = {1: "B", 3: "H", 4: "L"}  # TIFF's types


def orientation(image: Image.Image) -> int:
    """The orientation of an image that is open in this program, 1 (upright) where there is none or it is unreadable.

    Follows what the caller has written into `image.getexif()`. For TIFF, whose tags are checked before it is opened.
    """
    try:
        value: Any = image.getexif().get(_TAG, 1)
    except Exception:  # hostile EXIF breaks Pillow's parser in many ways, and the pixels are still good
        return 1
    return value if value in _TURNS else 1


def orientation_of(info: dict[Any, Any]) -> int:
    """The same, from the metadata of a file that has just been opened: `Image.info`."""
    exif, profile = info.get("exif"), info.get("Raw profile type exif")
    if exif is None and isinstance(profile, str):  # ImageMagick's: three lines of heading, then hexadecimal
        try:
            exif = bytes.fromhex("".join(profile.split("\n")[3:]))
        except ValueError:
            return 1
    value = _in_exif(exif) if isinstance(exif, bytes) else None
    if value is None:
        xmp = info.get("XML:com.adobe.xmp") or info.get("xmp") or b""
        match = _XMP.search(xmp.encode(errors="replace") if isinstance(xmp, str) else xmp)
        value = int(match[1]) if match else 1
    return value if value in _TURNS else 1


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """The image upright, as `PIL.ImageOps.exif_transpose` turns it."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def _in_exif(exif: bytes) -> int | None:
    if match := _HEADINGS.match(exif):
        exif = exif[match.end() :]
    order = "<" if exif[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(order + "L", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, number = struct.unpack_from(order + "HHL", exif, place)
            if tag == _TAG and number == 1 and kind in _NUMBERS:
                return int(struct.unpack_from(order + _NUMBERS[kind], exif, place + 8)[0])
    except struct.error:
        return None
    return None
