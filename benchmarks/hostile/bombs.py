"""Small files that ask for much: one function a format, each giving names and the bytes behind them, made when asked for.

`BOMBS` maps a name, "format: what is in it", to a function of no arguments. All are made here; none is a file from elsewhere.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from functools import partial

from PIL import Image

Make = Callable[[], bytes]
SIDE = 8192  # with two of these the image is as large as the default policy allows


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def flat(kind: str, mode: str = "RGB", width: int = SIDE, height: int = SIDE, **options: object) -> bytes:
    return encoded(Image.new(mode, (width, height)), kind, **options)


# GIF


def gif(before: bytes = b"", after: bytes = b"", frame: tuple[int, int] = (4, 4)) -> bytes:
    data = flat("GIF", "P", 4, 4)
    image = data[data.index(b"\x2c") : -1].replace(struct.pack("<HH", 4, 4), struct.pack("<HH", *frame), 1)
    return b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0x80, 0, 0) + bytes(6) + before + image + after + b"\x3b"


def blocks(count: int, size: int) -> bytes:
    return (bytes([size]) + b"x" * size) * count + b"\0"


GIFS: dict[str, Make] = {
    "comments of 5 MB": lambda: gif((b"\x21\xfe" + blocks(1, 255)) * 20_000),
    "a comment of 5 MB": lambda: gif(b"\x21\xfe" + blocks(20_000, 255)),
    "a comment in blocks of one byte": lambda: gif(b"\x21\xfe" + blocks(2_000_000, 1)),
    "empty extensions": lambda: gif(b"\x21\xf9\0" * 1_500_000),
    "comments after the image": lambda: gif(after=(b"\x21\xfe" + blocks(1, 255)) * 20_000),
    "a frame larger than the screen": lambda: gif(frame=(60000, 60000)),
    "100,000 frames": lambda: gif(after=(b"\x2c" + struct.pack("<HHHHB", 0, 0, 4, 4, 0) + b"\x02\x01\x84\0") * 100_000),
    "as large as allowed": lambda: flat("GIF", "P"),
}

# JPEG


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def in_jpeg(extra: bytes) -> bytes:
    data = flat("JPEG", width=64, height=64)
    return data[:2] + extra + data[2:]


def more_scans(count: int, side: int, last: bool = True) -> bytes:
    """A progressive JPEG whose last (or first) scan is there `count` times more."""
    data = flat("JPEG", width=side, height=side, progressive=True)
    places = [match.start() for match in re.finditer(rb"\xff[\xc4\xda\xd9]", data)]
    scans = [place for place in places if data[place + 1] == 0xDA]
    start = scans[-1] if last else scans[0]
    end = next(place for place in places if place > start)
    return data[:end] + data[start:end] * count + data[end:]


def single_coefficients(side: int, bits: int) -> bytes:
    """Grey, progressive, and by the standard: every coefficient comes alone, bit by bit, each scan a few bytes."""
    data = flat("JPEG", "L", side, side, progressive=True)
    first = data.index(b"\xff\xda")
    dc = data[first : min(place for place in (data.find(b"\xff\xc4", first), data.find(b"\xff\xda", first + 2)) if place > 0)]
    out = data[:first] + dc[:9] + bytes([0, 0, dc[9] & 0]) + dc[10 + 2 :]
    # One AC table: end of band runs of 2**14 blocks, then of one.
    out += segment(0xC4, bytes([0x10, 1, 1, *([0] * 14)]) + bytes([0xE0, 0x00]))
    blocks_left = (side // 8) ** 2
    runs = "".join("0" + "1" * 14 for _ in range(blocks_left // (2**15 - 1))) + "10" * (blocks_left % (2**15 - 1) % 64)
    stream = int(runs.ljust(-(-len(runs) // 8) * 8, "1"), 2).to_bytes(-(-len(runs) // 8)).replace(b"\xff", b"\xff\0")
    for coefficient in range(1, 64):
        for bit in range(bits, -1, -1):
            before = 0 if bit == bits else bit + 1
            out += segment(0xDA, bytes([1, 1, 0, coefficient, coefficient, before << 4 | bit])) + stream
    return out + b"\xff\xd9"


def repeated_sequential(side: int, count: int) -> bytes:
    data = flat("JPEG", "L", side, side)
    start = data.index(b"\xff\xda")
    return data[:-2] + data[start:-2] * count + data[-2:]


def claims(width: int, height: int, size: int) -> bytes:
    """A JPEG that says it is larger than its data, which ends where `size` bytes are reached."""
    data = bytearray(flat("JPEG", width=1024, height=1024))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data[: size - 2]) + b"\xff\xd9"


def exif(entries: int, value_bytes: int) -> bytes:
    """EXIF whose tags all have the same bytes as their value."""
    start = 8 + 2 + 12 * entries + 4
    tags = b"".join(struct.pack("<HHLL", 0x9000 + index, 7, value_bytes, start) for index in range(entries))
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", entries) + tags + bytes(4) + bytes(value_bytes)


JPEGS: dict[str, Make] = {
    "500 times the last scan": lambda: more_scans(500, 4096),
    "500 times the first scan": lambda: more_scans(500, 4096, last=False),
    "100 times the last scan": lambda: more_scans(100, SIDE),
    "every coefficient in its own scan": lambda: single_coefficients(4096, 0),
    "every coefficient in its own scan, as many as allowed": lambda: single_coefficients(2048, 0),
    "every bit in its own scan": lambda: single_coefficients(4096, 9),
    "100 sequential scans": lambda: repeated_sequential(4096, 100),
    "14 kB that say 13300 x 13300": lambda: claims(13300, 13300, 14_000),
    "14 kB that say 8192 x 8192": lambda: claims(8192, 8192, 14_000),
    "65500 x 65500": lambda: claims(65500, 65500, 14_000),
    "a million empty comments": lambda: in_jpeg(segment(0xFE, b"") * 1_000_000),
    "200,000 EXIF segments": lambda: in_jpeg(segment(0xE1, b"Exif\0\0II*\0") * 200_000),
    "EXIF of overlapping values": lambda: in_jpeg(segment(0xE1, exif(2500, 30_000))),
    "EXIF in many segments that overlap": lambda: in_jpeg(
        segment(0xE1, exif(5000, 5000)) + segment(0xE1, b"Exif\0\0" + bytes(65_000)) * 200
    ),
    "EXIF headings without end": lambda: in_jpeg(segment(0xE1, b"Exif\0\0" * 10_900)),
    "Photoshop resources of no size": lambda: in_jpeg(segment(0xED, b"Photoshop 3.0\0" + (b"8BIM" + bytes(8)) * 5400) * 100),
    "20 MB of junk between markers": lambda: in_jpeg(segment(0xFE, b"") + b"\0" * 20_000_000),
    "20 MB of fill bytes": lambda: in_jpeg(b"\xff" * 20_000_000),
    "200,000 quantisation tables": lambda: in_jpeg(segment(0xDB, bytes(65)) * 200_000),
    "200,000 Huffman tables": lambda: in_jpeg(segment(0xC4, bytes([0, 1]) + bytes(16)) * 200_000),
    "tables of 20 MB": lambda: in_jpeg(segment(0xDB, bytes(65) * 1000) * 310),
    "restart after every block": lambda: flat("JPEG", width=4096, height=4096, restart_marker_blocks=1),
    "as large as allowed": lambda: flat("JPEG"),
    "as large as allowed, CMYK": lambda: flat("JPEG", "CMYK"),
    "as large as allowed, progressive": lambda: flat("JPEG", progressive=True),
}

# PNG


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def in_png(extra: bytes, after: bytes = b"") -> bytes:
    data = flat("PNG", width=64, height=64)
    return data[:33] + extra + data[33:-12] + after + data[-12:]


def png(width: int, height: int, body: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def zeros(megabytes: int) -> bytes:
    return zlib.compress(bytes(megabytes * 2**20), 9)


PNGS: dict[str, Make] = {
    "two million chunks": lambda: in_png(chunk(b"prVt", b"") * 2_000_000),
    "two million chunks after the pixels": lambda: in_png(b"", chunk(b"prVt", b"") * 2_000_000),
    "a million texts": lambda: in_png(chunk(b"tEXt", b"a\0b") * 1_000_000),
    "two million empty IDAT": lambda: in_png(b"", chunk(b"IDAT", b"") * 2_000_000),
    "compressed texts of 2 GB": lambda: in_png(chunk(b"zTXt", b"a\0\0" + zeros(100)) * 20),
    "compressed texts of 63 MB": lambda: in_png(chunk(b"zTXt", b"a\0\0" + zeros(1)[:]) * 63),
    "international texts of 2 GB": lambda: in_png(chunk(b"iTXt", b"a\0\1\0\0\0" + zeros(100)) * 20),
    "a colour profile of 1 GB": lambda: in_png(chunk(b"iCCP", b"a\0\0" + zeros(1000))),
    "EXIF of overlapping values": lambda: in_png(chunk(b"eXIf", exif(20_000, 1_000_000)[6:])),
    "EXIF headings without end": lambda: in_png(chunk(b"eXIf", b"Exif\0\0" * 1_000_000)),
    "pixels of 1 GB in an image of 64 x 64": lambda: png(64, 64, zeros(1000)),
    "30000 x 30000": lambda: png(30_000, 30_000, zeros(1)),
    "as large as allowed, with alpha": lambda: flat("PNG", "RGBA"),
    "as large as allowed, a transparent colour": lambda: flat("PNG", "P", transparency=0),
    "as large as allowed, 16 bits": lambda: flat("PNG", "I;16"),
}

# BMP, PPM


def bmp(width: int, height: int, body: bytes, compression: int = 1, bits: int = 8) -> bytes:
    offset = 54 + 4 * (1 << bits)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(body), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + header + bytes(4 << bits) + body


BMPS: dict[str, Make] = {
    "run lengths: deltas": lambda: bmp(8000, 8000, b"\0\2\0\0" * 2_000_000),
    "run lengths: jumps": lambda: bmp(60_000_000, 1, b"\0\2\0\xff" * 100),
    "run lengths: ends of lines": lambda: bmp(8000, 8000, b"\1\0\0\0" * 2_000_000),
    "run lengths: lines that end at once": lambda: bmp(8000, 8000, b"\1\0\0\0" * 300_000),
    "run lengths: runs of nothing": lambda: bmp(1, 60_000_000, b"\xff\0" * 4_000_000),
    "run lengths of four bits": lambda: bmp(8000, 8000, b"\xff\0" * 260_000, compression=2, bits=4),
    "60000 x 60000": lambda: bmp(60_000, 60_000, bytes(100), compression=0),
}
PPMS: dict[str, Make] = {
    "a comment of 50 MB": lambda: b"P6 #" + b"x" * 50_000_000 + b"\n1 1 255 abc",
    "20 million comments": lambda: b"P6 " + b"#\n" * 20_000_000 + b"1 1 255 abc",
    "20 MB of spaces": lambda: b"P6" + b" " * 20_000_000 + b"1 1 255 abc",
    "comments in plain numbers": lambda: b"P2 1000 1000 255 " + b"#\n" * 5_000_000 + b"1 " * 1_000_000,
    "plain numbers": lambda: b"P3 4000 4000 255 " + b"1 " * 12_000_000,
    "plain numbers that do not come": lambda: b"P2 1000 1000 255 " + b" " * 50_000_000,
    "an odd depth": lambda: b"P6 4000 4000 100 " + bytes(48_000_000),
    "deep colours": lambda: b"P6 3000 3000 65535 " + bytes(54_000_000),
}

# TIFF


def tiff(tags: list[tuple[int, int, int, int]], tail: bytes = b"", next_directory: int = 0) -> bytes:
    entries = b"".join(struct.pack("<HHLL", *tag) for tag in sorted(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + struct.pack("<L", next_directory) + tail


def tiff_tags(width: int, height: int, compression: int = 1) -> list[tuple[int, int, int, int]]:
    fixed = [(258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1), (277, 3, 1, 1)]
    return [(256, 4, 1, width), (257, 4, 1, height), *fixed]


def many_tags(count: int, value: int) -> bytes:
    tags = [(30_000 + index, 7, value, 8) for index in range(count)]
    return tiff([*tiff_tags(4, 4), (273, 4, 1, 8), (278, 4, 1, 4), (279, 4, 1, 16), *tags], bytes(value))


def many_strips(count: int) -> bytes:
    start = 8 + 2 + 12 * 9 + 4
    tags = [*tiff_tags(1, count), (273, 4, count, start), (278, 4, 1, 1), (279, 4, count, start + 4 * count)]
    return tiff(tags, struct.pack("<L", 8) * count + struct.pack("<L", 1) * count)


def large_tile(side: int) -> bytes:
    return tiff([*tiff_tags(16, 16, 5), (322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 8), (325, 4, 1, 100)])


def many_directories(count: int) -> bytes:
    one = struct.pack("<H", 0)
    chain = b"".join(one + struct.pack("<L", 134 + 6 * (index + 1)) for index in range(count))
    tags = [*tiff_tags(4, 4), (273, 4, 1, 8), (278, 4, 1, 4), (279, 4, 1, 16)]
    return tiff(tags, b"", 8 + 2 + 12 * 9 + 4 + 12).ljust(134, b"\0") + chain + one + bytes(4)


def jpeg_in_tiff(side: int, scans: int) -> bytes:
    body = repeated_sequential(side, scans)
    start = 8 + 2 + 12 * 9 + 4
    tags = [*tiff_tags(side, side, 7), (273, 4, 1, start), (278, 4, 1, side), (279, 4, 1, len(body))]
    return tiff(tags, body)


TIFFS: dict[str, Make] = {
    "overlapping tags": lambda: many_tags(20_000, 500_000),
    "a million strips": lambda: many_strips(1_000_000),
    "a tile of 30000 x 30000": lambda: large_tile(30_000),
    "a million directories": lambda: many_directories(1_000_000),
    "a directory that is its own EXIF": lambda: tiff([*tiff_tags(4, 4), (34665, 4, 1, 8), (273, 4, 1, 8), (279, 4, 1, 16)]),
    "a JPEG of 90 scans": lambda: jpeg_in_tiff(4096, 90),
    "as large as allowed, deflate": lambda: flat("TIFF", "RGBA", compression="tiff_adobe_deflate"),
    "as large as allowed, CMYK": lambda: flat("TIFF", "CMYK", compression="tiff_lzw"),
}

# WebP, AVIF


def webp_chunks(count: int) -> bytes:
    image = flat("WEBP", "RGBA", 16, 16, lossless=True)
    extended = b"VP8X" + struct.pack("<I", 10) + bytes([0, 0, 0, 0, 15, 0, 0, 15, 0, 0])
    body = b"WEBP" + extended + (b"prVt" + bytes(4)) * count + image[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_canvas(side: int) -> bytes:
    data = bytearray(
        encoded(Image.new("RGB", (16, 16)), "WEBP", save_all=True, append_images=[Image.new("RGB", (16, 16), "red")])
    )
    data[24:30] = (side - 1).to_bytes(3, "little") * 2
    return bytes(data)


WEBPS: dict[str, Make] = {
    "as large as allowed, lossless": lambda: flat("WEBP", "RGBA", 7094, 7094, lossless=True, method=0),
    "8192 x 8192, lossless": lambda: flat("WEBP", "RGBA", lossless=True, method=0),
    "16383 x 16383": lambda: flat("WEBP", "RGB", 16383, 16383, lossless=True, method=0),
    "a large canvas of small frames": lambda: webp_canvas(SIDE),
    "a canvas of 2**24": lambda: webp_canvas(2**24),
    "500,000 chunks": lambda: webp_chunks(500_000),
}
AVIFS: dict[str, Make] = {
    "as large as allowed": lambda: flat("AVIF", speed=10, quality=1),
    "20000 x 20000": lambda: re.sub(rb"(ispe....).{8}", rb"\g<1>" + struct.pack(">II", 20000, 20000),
                                    flat("AVIF", width=64, height=64), flags=re.DOTALL),
}  # fmt: skip

OTHERS: dict[str, Make] = {
    "an icon of icons": lambda: flat("ICO", width=256, height=256),
    "JPEG 2000": lambda: flat("JPEG2000", width=256, height=256),
    "zeros": partial(bytes, 10_000_000),
}

BOMBS: dict[str, Make] = {
    f"{kind}: {name}": make
    for kind, makes in {
        "GIF": GIFS, "JPEG": JPEGS, "PNG": PNGS, "BMP": BMPS, "PPM": PPMS, "TIFF": TIFFS, "WEBP": WEBPS, "AVIF": AVIFS,
        "other": OTHERS,
    }.items()
    for name, make in makes.items()
}  # fmt: skip
