"""What a JPEG holds besides its pixels, what decoding it will cost, and whether all of its data is there.

libjpeg paints grey where data is missing, warns, and Pillow does not pass the warning on. So the coefficients are read once
more by simplejpeg, which does: at an eighth of the size, from a copy without metadata, and its pixels are thrown away.
ITU-T T.81 has the markers. Does not know other formats or colours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import simplejpeg  # pyright: ignore[reportMissingTypeStubs]

from dragonfly.imaging.policy import ImageError, ImagePolicy, check_pixels

MAX_SEGMENTS = 10_000
MAX_TABLES = 2**20  # bytes; a scan's own are a few hundred
MAX_SCAN_WORK = 320_000_000
"""Coefficients that all scans together may visit: about two seconds, twice what ten scans over 20 megapixels need."""

_MARKER = re.compile(rb"\xff([\x02-\xcf\xd8-\xfe])")  # not the stuffed zero, TEM or RST, which lie inside a scan
_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1, 0xC9), (0xC2, 0xCA)
_ENDS = (0xD9, 0xD8)
_END = b"\xff\xd9"
_METADATA = (*range(0xE0, 0xF0), 0xFE)
_COLOURS = {0xE0: b"JFIF", 0xEE: b"Adobe"}  # the metadata that Pillow's pixels depend on
_LOST = re.compile(r"Corrupt JPEG|Premature end|Inconsistent progression|Invalid SOS")
_STRAY = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_STRAY_ALLOWED = 16


@dataclass
class Jpeg:
    """The first image of a file: what follows it (a phone's second image, a maker's notes) is left out.

    `parts` (start, end, is_colour) of the bytes to decode, where is_colour marks metadata that only colours depend on.
    `info` as Pillow names it: exif, xmp, icc_profile. `is_ended` whether there was an end marker. `fault` what the scans
    leave out by their own headers, '' if nothing.
    """

    data: bytes
    parts: list[tuple[int, int, bool]]
    info: dict[str, Any]
    is_ended: bool
    fault: str

    def pixels(self, end: bytes) -> bytes:
        """A file of the same pixels without metadata."""
        return b"".join(self.data[start:stop] for start, stop, _ in self.parts) + end

    def bare(self, end: bytes) -> bytes:
        """A file of the same coefficients, without a word on what they mean."""
        return b"".join([*(self.data[start:stop] for start, stop, is_colour in self.parts if not is_colour), end])


def read_jpeg(data: bytes, policy: ImagePolicy) -> Jpeg:
    """One walk over the markers. Raises ImageError for too many pixels, segments or scans."""
    info: dict[str, Any] = {}
    frame, parts = _Frame(), [(0, 2, False)]
    position, in_scan, is_ended, count, tables = 2, False, False, 0, 0
    while match := _MARKER.search(data, position):
        marker, start = data[match.end() - 1], match.start()
        if in_scan:
            parts.append((position, start, False))
        if marker in _ENDS:
            in_scan, is_ended = False, marker == _ENDS[0]
            break
        count += 1
        if count > MAX_SEGMENTS:
            raise ImageError(f"holds more than {MAX_SEGMENTS:,} segments; save it again without its metadata")
        position = start + 2 + int.from_bytes(data[start + 2 : start + 4])
        body = data[start + 4 : position]
        if marker not in _METADATA:
            parts.append((start, position, False))
            tables += len(body)
            if tables > MAX_TABLES:
                raise ImageError(f"holds more than {MAX_TABLES:,} bytes of tables; save it again")
        elif body.startswith(_COLOURS.get(marker, b"\0no")):
            parts.append((start, position, True))
        _remember(info, marker, body)
        if marker in _SIZES:
            frame.read(marker, body, policy)
        in_scan = marker == 0xDA
        if in_scan:
            frame.scan(body)
    if in_scan:
        parts.append((position, len(data), False))
    return Jpeg(data, parts, info, is_ended, frame.fault())


def missing_data(jpeg: Jpeg) -> tuple[str, str]:
    """(what is missing, a note on what is odd or could not be found out); '' and '' for a whole image."""
    if jpeg.fault:
        return jpeg.fault, ""
    warning = _warning(jpeg.bare(_END))
    if warning and not _LOST.search(warning):  # 12 bits, or a coding that this decoder lacks
        return "", f"not checked for missing data ({warning:.100})"
    if stray := _STRAY.search(warning):
        if int(stray[1]) <= _STRAY_ALLOWED:
            return "", f"{stray[1]} stray bytes before the end of the JPEG"
        whole = jpeg.bare(b"").rstrip(b"\0")  # cameras pad with zeros; a scan's own last bytes may be zeros too
        if any(not _warning(whole + bytes(kept) + _END) for kept in range(3)):
            return "", ""
    if not warning and not jpeg.is_ended:
        return "", "end marker of the JPEG missing, its data complete"
    return warning, ""


def _warning(data: bytes) -> str:
    """What libjpeg says against the coefficients, '' if nothing."""
    try:
        simplejpeg.decode_jpeg(data, "GRAY", min_height=1, min_width=1, min_factor=8, strict=True)
    except (ValueError, RuntimeError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def _remember(info: dict[str, Any], marker: int, body: bytes) -> None:
    if marker == 0xE1 and body.startswith(b"Exif\0\0"):
        info.setdefault("exif", body)
    elif marker == 0xE1 and body.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
        info["xmp"] = body.partition(b"\0")[2]
    elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
        info["icc_profile"] = body


class _Frame:
    """The components of a JPEG, and the last bit that the scans so far have sent of every coefficient."""

    def __init__(self) -> None:
        self.marker, self.size = 0, (0, 0)
        self.blocks: dict[int, int] = {}  # component: its share in the sampling grid
        self.sent: dict[int, list[int | None]] = {}
        self.work, self.scans, self.is_repeated = 0, 0, False

    def read(self, marker: int, body: bytes, policy: ImagePolicy) -> None:
        self.marker = marker
        self.size = int.from_bytes(body[3:5]), int.from_bytes(body[1:3])
        check_pixels(self.size, policy)
        for place in range(6, len(body) - 2, 3):
            self.blocks[body[place]] = max(1, body[place + 1] >> 4) * max(1, body[place + 1] & 15)
            self.sent[body[place]] = [None] * 64

    def scan(self, body: bytes) -> None:
        """Refuses the scan that makes the work too much."""
        count = body[0] if body else 0
        if len(body) < 4 + 2 * count:
            return
        first, last, bits = body[1 + 2 * count : 4 + 2 * count]
        before, after = bits >> 4, bits & 15
        if self.marker not in _PROGRESSIVE:
            first, last, before, after = 0, 63, 0, 0
        largest = max(self.blocks.values(), default=1)
        self.scans += 1
        for component in body[1 : 1 + 2 * count : 2]:
            self.work += self.size[0] * self.size[1] * self.blocks.get(component, 1) // largest
            sent = self.sent.setdefault(component, [None] * 64)
            for place in range(first, min(last, 63) + 1):
                if sent[place] != (before or None):
                    self.is_repeated = True
                sent[place] = after
        if self.work > MAX_SCAN_WORK and self.scans > 1:
            raise ImageError(
                f"takes too much work to decode ({self.scans} scans or more over {self.size[0]} x {self.size[1]} pixels); "
                "save it as a JPEG that is not progressive"
            )

    def fault(self) -> str:
        if self.marker not in _SEQUENTIAL + _PROGRESSIVE:
            return ""
        if self.is_repeated:
            return "its scans contradict each other"
        if any(bit != 0 for sent in self.sent.values() for bit in sent):
            return "its last scans are missing"
        return ""
