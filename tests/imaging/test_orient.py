"""The orientation is the one that Pillow finds, wherever it is written, without reading the rest."""

from __future__ import annotations

import io
import struct

import pytest
from PIL import Image, PngImagePlugin

from dragonfly.imaging import load_image
from dragonfly.imaging.orient import orientation_of
from tests.imaging.images import encoded, exif, rgb

XMP = b'<rdf:Description tiff:Orientation="8"/>'


def pillows(data: bytes) -> int:
    with Image.open(io.BytesIO(data)) as image:
        return image.getexif().get(0x0112, 1)


def tiff_tag(order: str, kind: int, value: bytes) -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "LHHHL", 8, 1, 0x0112, kind, 1) + value.ljust(4, b"\0") + bytes(4)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG", "AVIF"])
@pytest.mark.parametrize(
    "tags",
    [
        exif(3).tobytes(),
        tiff_tag("<", 3, b"\x05\0"),
        tiff_tag(">", 3, b"\0\x07"),
        tiff_tag("<", 4, b"\x02"),
        tiff_tag("<", 3, b"\x63\0"),
    ],
)
def test_exif_of_every_writer(kind: str, tags: bytes) -> None:
    data = encoded(rgb(), kind, exif=b"Exif\0\0" + tags.removeprefix(b"Exif\0\0"))
    with Image.open(io.BytesIO(data)) as image:
        found = orientation_of(image.info)
    assert found == (pillows(data) if pillows(data) in range(1, 9) else 1)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_xmp_speaks_where_exif_does_not(kind: str) -> None:
    data = encoded(rgb(), kind, xmp=XMP)
    assert pillows(data) == 8
    assert load_image(data).notes == ("turned by EXIF orientation 8",)
    both = encoded(rgb(), kind, xmp=XMP, exif=exif(3))
    assert load_image(both).notes == ("turned by EXIF orientation 3",)


def test_exif_that_imagemagick_wrote_into_a_text() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Raw profile type exif", "\nexif\n    34\n" + exif(6).tobytes().hex())
    data = encoded(rgb(), "PNG", pnginfo=info)
    assert pillows(data) == 6
    assert load_image(data).notes == ("turned by EXIF orientation 6",)


@pytest.mark.parametrize("tags", [b"", b"II", b"II*\0\xff\xff\xff\xff", b"Exif\0\0" * 1000, tiff_tag("<", 3, b"\6")[:18]])
def test_exif_that_breaks_off_leaves_the_image_upright(tags: bytes) -> None:
    assert orientation_of({"exif": tags}) == 1
