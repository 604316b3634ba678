"""Small files that would hold a core for minutes or take gigabytes are refused by their headers, before Pillow opens them.

One walk for each format, bounded itself. The numbers are far above what programs write, and keep what Pillow does with a
file under two seconds. JPEG has a file of its own (`jpeg.py`). Does not judge pixels.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator

from dragonfly.imaging.policy import ImageError, ImagePolicy, check_pixels

MAX_CHUNKS = 50_000
MAX_GIF_BLOCKS = 100_000
MAX_TAGS = 2_000
MAX_TAG_VALUES = 2**17
MAX_STRIP_SCANS = 4
MAX_HEADER = 2**16
_ZEROS = bytes(32)  # arithmetic coding ends in none, unlike that of WebP, where 873 zeros were seen at the end of a good file
MAX_LOSSLESS_WEBP = 3 * 2**24
"""Pixels; libwebp reads these slowly."""
MAX_SLOW_VALUES = 3 * 2**19
"""Values that Pillow reads one by one in Python: plain PNM, PNM of an odd depth, run lengths of a BMP."""


def check_header(kind: str, data: bytes, policy: ImagePolicy) -> None:
    """Raise ImageError for a header that asks for too much; whatever else is wrong is left to the decoder."""
    if kind in _CHECKS:
        _CHECKS[kind](data, policy)


def gif_frames(data: bytes) -> int | None:
    """Frames of a GIF up to where it ends or breaks off; None where there are too many blocks to count."""
    count = 0
    try:
        for label in _gif_blocks(data):
            count += label == 0x2C
    except IndexError:
        return count
    except ImageError:
        return None
    return count


def _gif_blocks(data: bytes) -> Iterator[int]:
    """The label of every block: an image (0x2C) or an extension, whose data is walked past."""
    position, count = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0), 0
    while (label := data[position]) != 0x3B:
        yield label
        position += 1
        if label == 0x2C:
            flags = data[position + 8]
            position += 10 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
        elif label == 0x21:
            position += 1
        while label in (0x2C, 0x21) and (length := data[position]):
            position += length + 1
            count += 1
            if count > MAX_GIF_BLOCKS:
                raise ImageError(f"holds more than {MAX_GIF_BLOCKS:,} blocks; save it again without its comments")
        position += label in (0x2C, 0x21)


def _gif(data: bytes, policy: ImagePolicy) -> None:
    blocks = 0
    try:
        for label in _gif_blocks(data):
            if label == 0x2C:
                return
            blocks += 1
            if blocks > MAX_TAGS:
                raise ImageError(f"holds more than {MAX_TAGS:,} blocks before its image; save it again without them")
    except IndexError:
        return


def _png(data: bytes, policy: ImagePolicy) -> None:
    """Also the checksums of the chunks that pixels depend on, which Pillow does not look at."""
    position = 8
    for _ in range(MAX_CHUNKS):
        if position + 8 > len(data):
            return
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if name == b"IHDR" and length >= 8:
            check_pixels(struct.unpack_from(">II", data, position + 8), policy)
        if name == b"IEND" or end + 4 > len(data):
            return
        if name in (b"IHDR", b"PLTE", b"tRNS", b"IDAT"):
            checksum = zlib.crc32(memoryview(data)[position + 4 : end])
            if checksum != int.from_bytes(data[end : end + 4]):
                raise ImageError(
                    f"is a damaged or truncated PNG file (wrong checksum of {name.decode()}); copy or export it again"
                )
        position = end + 4
    raise ImageError(f"holds more than {MAX_CHUNKS:,} chunks; save it again")


def _webp(data: bytes, policy: ImagePolicy) -> None:
    name, start = data[12:16], data[20:30]
    if name == b"VP8X":
        check_pixels((int.from_bytes(start[4:7], "little") + 1, int.from_bytes(start[7:10], "little") + 1), policy)
    elif name == b"VP8L":
        bits = int.from_bytes(start[1:5], "little")
        size = ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        check_pixels(size, policy)
        if size[0] * size[1] > MAX_LOSSLESS_WEBP:
            raise ImageError(
                f"holds {size[0]} x {size[1]} pixels as lossless WebP, more than {MAX_LOSSLESS_WEBP:,}, which are read slowly; "
                "save it as PNG"
            )
    elif name == b"VP8 ":
        width, height = int.from_bytes(start[6:8], "little"), int.from_bytes(start[8:10], "little")
        check_pixels((width & 0x3FFF, height & 0x3FFF), policy)
    declared = int.from_bytes(data[4:8], "little") + 8
    if declared > len(data) + 1:  # a last odd byte may be left out
        raise ImageError(f"is a damaged or truncated WEBP file ({len(data):,} of {declared:,} bytes); copy or export it again")


def _avif(data: bytes, policy: ImagePolicy) -> None:
    for match in re.finditer(b"ispe....(........)", data[: 2**20], re.DOTALL):  # of the image, its tiles and its alpha
        check_pixels(struct.unpack(">II", match[1]), policy)
    position = 0
    while position + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + length if length >= 8 else len(data)
        if name == b"mdat" and data.endswith(_ZEROS, 0, end):
            raise ImageError("is a damaged or truncated AVIF file (zeros for data at its end); copy or export it again")
        position = end


def _bmp(data: bytes, policy: ImagePolicy) -> None:
    if len(data) < 34 or int.from_bytes(data[14:18], "little") < 40:
        return
    width, height, compression = *struct.unpack_from("<ii", data, 18), int.from_bytes(data[30:34], "little")
    check_pixels((abs(width), abs(height)), policy)
    if compression in (1, 2):
        pixels = abs(width * height)  # of four bits, each is one step; of eight, those that a line leaves out
        _check_slow(max(pixels if compression == 2 else pixels // 4, len(data)), "run lengths")


_TOKEN = re.compile(rb"(?:[ \t\r\n\v\f]|#[^\r\n]*[\r\n])*([^ \t\r\n\v\f#]+)")


def _ppm(data: bytes, policy: ImagePolicy) -> None:
    plain, head = data[1:2] in b"123", data[:MAX_HEADER]
    tokens: list[bytes] = []
    position = 2
    for _ in range(2 if data[1:2] in b"14" else 3):
        match = _TOKEN.match(head, position)
        if match is None or match.end() == MAX_HEADER:
            if len(data) > MAX_HEADER:
                raise ImageError(f"has a header of more than {MAX_HEADER:,} bytes; save it without its comments")
            return
        tokens.append(match[1])
        position = match.end()
    try:
        width, height, depth = (int(token[:20]) for token in [*tokens, b"255"][:3])
    except ValueError:
        return
    check_pixels((width, height), policy)
    values = width * height * (3 if data[1:2] in b"36" else 1)
    if plain:
        _check_slow(max(values, len(data) // 8), "numbers written as text")
        if data.count(b"#", position) > MAX_TAGS:
            raise ImageError(f"holds more than {MAX_TAGS:,} comments; save it without them")
    elif depth not in (255, 65535) or (depth == 65535 and data[1:2] == b"6"):
        _check_slow(values, f"values of depth {depth}")


def _check_slow(count: int, what: str) -> None:
    if count > MAX_SLOW_VALUES:
        raise ImageError(f"holds {count:,} {what}, more than {MAX_SLOW_VALUES:,}, which are read slowly; save it as PNG")


_TIFF_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


def _tiff(data: bytes, policy: ImagePolicy) -> None:
    order, is_big = "<" if data[:2] == b"II" else ">", data[2:4] in (b"+\0", b"\0+")
    try:
        (start,) = struct.unpack_from(order + ("Q" if is_big else "L"), data, 8 if is_big else 4)
        tags = _tiff_tags(data, order, is_big, start, depth=0)
        sizes = [_tiff_values(data, order, is_big, tags.get(tag)) for tag in (256, 257, 322, 323)]
        for width, height in (sizes[:2], sizes[2:]):  # a tile may be larger than the image, and is allocated whole
            if width and height:
                check_pixels((width[0], height[0]), policy)
        if _tiff_values(data, order, is_big, tags.get(259))[:1] in ((6,), (7,)):
            _check_strips(data, [_tiff_values(data, order, is_big, tags.get(tag)) for tag in (273, 279, 324, 325)])
    except struct.error:
        return


_Tag = tuple[int, int, int]  # type, number of values, where they stand


def _tiff_tags(data: bytes, order: str, is_big: bool, start: int, depth: int) -> dict[int, _Tag]:
    """Tags of one directory and, unread, of the EXIF, GPS and interoperability directories below."""
    entry, word = (order + "HHQQ", 8) if is_big else (order + "HHLL", 4)
    (count,) = struct.unpack_from(order + ("Q" if is_big else "H"), data, start)
    if count > MAX_TAGS:
        raise ImageError(f"holds {count:,} tags, more than {MAX_TAGS:,}; save it as PNG")
    tags: dict[int, _Tag] = {}
    total = 0
    for index in range(count):
        place = start + (8 if is_big else 2) + index * struct.calcsize(entry)
        tag, kind, number, offset = struct.unpack_from(entry, data, place)
        size = number * _TIFF_BYTES.get(kind, 0)
        total += size if size > word else 0
        if number > MAX_TAG_VALUES and kind not in (1, 2, 6, 7):
            raise ImageError(f"holds a tag of {number:,} values, more than {MAX_TAG_VALUES:,}; save it as PNG")
        tags.setdefault(tag, (kind, number, offset if size > word else place + (12 if is_big else 8)))
        if tag in (34665, 34853, 40965) and depth < 3:
            _tiff_tags(data, order, is_big, offset, depth + 1)
    if total > len(data):
        raise ImageError("holds tags that take more bytes than the file has; save it as PNG")
    return tags


def _tiff_values(data: bytes, order: str, is_big: bool, tag: _Tag | None) -> tuple[int, ...]:
    if tag is None or tag[0] not in (3, 4, 16):
        return ()
    return struct.unpack_from(f"{order}{tag[1]}{ {3: 'H', 4: 'L', 16: 'Q'}[tag[0]] }", data, tag[2])


def _check_strips(data: bytes, places: list[tuple[int, ...]]) -> None:
    """A JPEG in a strip may be read as often as it has scans."""
    strips = {*zip(places[0], places[1], strict=False), *zip(places[2], places[3], strict=False)}
    if sum(length for _, length in strips) > 2 * len(data):
        raise ImageError("holds strips that take more bytes than the file has; save it as PNG")
    for offset, length in strips:
        if data.count(b"\xff\xda", offset, offset + length) > MAX_STRIP_SCANS:
            raise ImageError(f"holds a JPEG of more than {MAX_STRIP_SCANS} scans; save it as PNG")


_CHECKS: dict[str, Callable[[bytes, ImagePolicy], None]] = {
    "AVIF": _avif,
    "BMP": _bmp,
    "GIF": _gif,
    "PNG": _png,
    "PPM": _ppm,
    "TIFF": _tiff,
    "WEBP": _webp,
}
