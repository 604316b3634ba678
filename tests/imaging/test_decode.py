"""Bytes become the first frame of a listed format, or one clear line; no warning and no Pillow exception leaks."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from dragonfly.imaging import FORMATS, RELEASED_POLICY, ImagePolicy, load_image
from tests.imaging.images import animated, encoded, exif, reference, rgb, sixteen_bit

ENCODED = {kind: encoded(rgb(), kind) for kind in FORMATS}


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_the_accepted_formats() -> None:
    assert set(FORMATS) - {"AVIF"} == {"PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM"}


@pytest.mark.parametrize("kind", FORMATS)
def test_every_accepted_format_opens_as_pillow_opens_it(kind: str) -> None:
    image = load_image(ENCODED[kind])
    assert image.image.tobytes() == reference(ENCODED[kind])
    assert (image.image.mode, image.size) == ("RGB", (11, 14))


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (encoded(rgb(), "EPS"), "PostScript"),
        (encoded(rgb(), "JPEG2000"), "JPEG 2000"),
        (encoded(rgb(), "ICO"), "icon"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypisom\0\0\0\0mp42", "a video"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"<!DOCTYPE html><title>Sign in</title>", "HTML"),
        (b"PK\3\4 slides", "ZIP"),
    ],
)
def test_other_formats_are_refused_by_name(data: bytes, kind: str) -> None:
    with pytest.raises(ValueError, match=rf"^bytes is {kind}, which is not accepted; save it as PNG \(accepted: PNG, JPEG"):
        load_image(data)


def test_bytes_that_are_no_image_are_shown() -> None:
    with pytest.raises(ValueError, match=r"^bytes is not an image \(it begins with b'question'; accepted: PNG, JPEG"):
        load_image(b"question,answer\n")
    with pytest.raises(ValueError, match=r"^bytes is empty \(0 bytes\); copy or export it again$"):
        load_image(b"")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_truncated_file_is_refused_whole(kind: str) -> None:
    data = ENCODED[kind]
    with pytest.raises(ValueError, match=rf"^bytes is a damaged or truncated {kind} file \(.+\); copy or export it again$"):
        load_image(data[: len(data) * 2 // 3])


@pytest.mark.parametrize("policy", [ImagePolicy(), ImagePolicy(max_pixels=100)])
def test_too_many_pixels_are_refused_before_decoding(policy: ImagePolicy) -> None:
    remedy = r"make it smaller or, if you trust it, allow it: --max-pixels 600000000 of ask, zoom and chat \(in Python: .*\)$"
    with pytest.raises(ValueError, match=rf"has 30000 x 20000 = 600,000,000 pixels, over the limit of [\d,]+; {remedy}"):
        load_image(png_header(30000, 20000), policy)


def test_pillows_own_limit_does_not_speak(recwarn: pytest.WarningsRecorder) -> None:
    """Between Pillow's warning (89 MP) and its refusal (179 MP) ours decides, and Pillow's globals stay as they are."""
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    with pytest.raises(ValueError, match="damaged or truncated PNG"):  # that is: it was let in and then had no pixels
        load_image(png_header(10000, 10000), ImagePolicy(max_pixels=178_956_970))
    with pytest.raises(ValueError, match="damaged or truncated PNG"):
        load_image(png_header(20000, 20000), ImagePolicy(max_pixels=400_000_000))
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    assert len(recwarn) == 0


def test_a_decoder_that_asks_pillows_limit_is_not_called_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise Image.DecompressionBombError("Image size (268402689 pixels) exceeds limit")

    monkeypatch.setattr(ImageFile.ImageFile, "load", refuse)
    with pytest.raises(ValueError, match=r"^bytes has more pixels than Pillow allows \(Image size .*\); make it smaller$"):
        load_image(ENCODED["BMP"])


def test_the_limit_itself_is_allowed() -> None:
    assert load_image(ENCODED["PNG"], ImagePolicy(max_pixels=11 * 14)).size == (11, 14)
    with pytest.raises(ValueError, match="over the limit of 153"):
        load_image(ENCODED["PNG"], ImagePolicy(max_pixels=153))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_the_first_of_several_frames_is_taken_and_said(kind: str) -> None:
    data = animated(kind, 12)
    image = load_image(data)
    assert image.notes[0] == f"animated {kind}: first of 12 frames"
    assert image.image.tobytes() == reference(data)
    assert load_image(data, RELEASED_POLICY).image.tobytes() == reference(data)


def test_the_first_of_several_tiff_pages_is_taken_and_said() -> None:
    image = load_image(animated("TIFF", 3))
    assert image.notes == ("TIFF of several pages: first page",)
    assert image.image.tobytes() == rgb().tobytes()


def test_one_frame_has_no_note() -> None:
    assert all(load_image(data).notes == () for data in ENCODED.values())


def test_threads_that_decode_at_once_leave_the_warning_filters_as_they_were() -> None:
    noisy = encoded(rgb(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff broken")
    before = list(warnings.filters)
    faults: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(20):
                load_image(noisy)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert list(warnings.filters) == before
    with pytest.warns(UserWarning, match="Corrupt EXIF data"), Image.open(io.BytesIO(noisy)) as image:
        image.getexif()


def only_a_value_error(data: bytes) -> None:
    """Warnings are errors in this suite, so a leaking one fails here too."""
    try:
        image = load_image(data, ImagePolicy(max_pixels=10**6))
    except ValueError as error:
        fault = error
    else:
        assert image.image.mode == "RGB"
        return
    assert type(fault) is ValueError  # not a decoder's own
    assert str(fault).startswith("bytes ")
    assert str(fault).isprintable()


SEEDS = [
    *ENCODED.values(),
    *(animated(kind, 3) for kind in ("GIF", "PNG", "WEBP", "TIFF")),
    *(encoded(rgb(), "TIFF", compression=name) for name in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits")),
    encoded(sixteen_bit([0, 300, 65535]), "PNG"),
    encoded(sixteen_bit([0, 300, 65535]), "TIFF"),
    encoded(rgb().convert("CMYK"), "JPEG"),
    encoded(rgb().quantize(8), "PNG", transparency=bytes(range(8))),
    encoded(rgb(), "JPEG", exif=exif(6), progressive=True),
    encoded(rgb().convert("1"), "PPM"),
    encoded(rgb().convert("P"), "BMP"),
]
HEADS = [data[:16] for data in ENCODED.values()]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([b"", *HEADS]), st.binary(max_size=200))
def test_random_bytes_raise_only_value_errors(head: bytes, tail: bytes) -> None:
    only_a_value_error(head + tail)


edits = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), min_size=1, max_size=6)


@settings(max_examples=400, deadline=None)
@example(seed=ENCODED["TIFF"], edits=[(0.02, b"\xff")], keep=1.0)
@given(seed=st.sampled_from(SEEDS), edits=edits, keep=st.floats(0, 1))
def test_damaged_images_raise_only_value_errors(seed: bytes, edits: list[tuple[float, bytes]], keep: float) -> None:
    data = bytearray(seed)
    for place, replacement in edits:
        # Squared: headers come first and are where decoders are fooled.
        start = int(place**2 * len(data))
        data[start : start + len(replacement)] = replacement
    only_a_value_error(bytes(data[: max(1, int(len(data) * keep))] if keep < 0.5 else data))


def test_the_fuzzing_seeds_are_good_images() -> None:
    for data in SEEDS:
        assert np.asarray(load_image(data).image).size > 0
