"""Encoded bytes become a loaded PIL image of the first frame, or one ValueError.

Pillow's decoders are called one by one instead of through `Image.open`: only the formats listed here can ever be
reached, whatever a file claims to be, and the pixel limit is ours instead of a global of Pillow's that other code in
the process also sets. Neither that global nor `ImageFile.LOAD_TRUNCATED_IMAGES` is touched: a program that switches
the latter on gets Pillow's lenience here too. Does not know paths, URLs or colours.
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    features,
)

from dragonfly.imaging.convert import orientation
from dragonfly.imaging.policy import ImageError, ImagePolicy

_Opener = Callable[[io.BytesIO], ImageFile.ImageFile]

_OPENERS: dict[str, _Opener] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,  # a phone's MPO opens as the JPEG that it begins with
    "GIF": GifImagePlugin.GifImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
}
if "avif" in features.modules and features.check("avif"):
    from PIL import AvifImagePlugin

    _OPENERS["AVIF"] = AvifImagePlugin.AvifImageFile

FORMATS = tuple(_OPENERS)
"""Names of the accepted formats."""

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (  # offset, bytes there, name
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"GIF8", "GIF"),
    (8, b"WEBP", "WEBP"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0", "TIFF"),
    (0, b"MM\0+", "TIFF"),
    (0, b"BM", "BMP"),
    *((0, b"P%d" % digit + space, "PPM") for digit in range(1, 7) for space in (b"\n", b" ", b"\r", b"\t")),
    (0, b"%PDF", "PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (128, b"DICM", "DICOM"),
    (4, b"jP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"8BPS", "Photoshop"),
    (0, b"\0\0\1\0", "icon"),
    (0, b"<svg", "SVG"),
    (0, b"<?xml", "XML"),
    (0, b"<!DOCTYPE", "HTML"),
    (0, b"<html", "HTML"),
    (0, b"PK\3\4", "ZIP"),
    (0, b"\x1f\x8b", "gzip"),
)

_HEADER_COUNTS = ("PNG", "WEBP", "AVIF")
_GIF_COUNTED_BYTES = 4 * 2**20


def decode(data: bytes, policy: ImagePolicy) -> tuple[Image.Image, list[str]]:
    """The first frame, loaded, and notes on the file. Raises ImageError."""
    if not data:
        raise ImageError("is empty (0 bytes); copy or export it again")
    kind = _kind(data)
    accepted = f"accepted: {', '.join(FORMATS)}"
    if kind is None:
        raise ImageError(f"is not an image (it begins with {data[:8]!r}; {accepted})")
    if kind not in _OPENERS:
        raise ImageError(f"is {kind}, which is not accepted; save it as PNG ({accepted})")
    with readable(f"a damaged or truncated {kind} file"):
        image = _OPENERS[kind](io.BytesIO(data))
        check_pixels(image.size, policy)
        notes: list[str] = []
        if kind == "TIFF" and orientation(image) != 1:
            notes.append(f"turned by TIFF orientation {orientation(image)}")  # by Pillow while loading, in any policy
        image.load()
        return image, _frame_notes(data, kind) + notes


def check_pixels(size: tuple[int, int], policy: ImagePolicy) -> None:
    """Raise ImageError if `size` (width, height: PIL's order) is over the limit. Looks at no pixel."""
    width, height = size
    if width * height > policy.max_pixels:
        raise ImageError(
            f"has {width} x {height} = {width * height:,} pixels, over the limit of {policy.max_pixels:,}; "
            "make it smaller (or in Python, if you trust it, raise ImagePolicy.max_pixels)"
        )


def _kind(data: bytes) -> str | None:
    """Format by the bytes alone: a file's name proves nothing."""
    if data[4:8] == b"ftyp":  # ISO base media: the brands say what is inside
        brands = data[8:64]
        is_heic = b"hei" in brands or b"hev" in brands or b"mif1" in brands
        return "AVIF" if b"avif" in brands or b"avis" in brands else "HEIC" if is_heic else "a video"
    return next((name for offset, magic, name in _SIGNATURES if data.startswith(magic, offset)), None)


def _frame_notes(data: bytes, kind: str) -> list[str]:
    """Says that there are more frames, from a second handle because looking ahead moves the first.

    Counts them where the header does, and in a GIF that is short enough to walk through. Walking a TIFF's pages can be
    made to take hours.
    """
    try:
        image: Any = _OPENERS[kind](io.BytesIO(data))
        if not getattr(image, "is_animated", False):
            return []
        counted = kind in _HEADER_COUNTS or (kind == "GIF" and len(data) <= _GIF_COUNTED_BYTES)
        several = f"first of {image.n_frames} frames" if counted else "first of several frames"
    except Exception:  # a damaged second frame is no fault of the first
        return []
    return ["TIFF of several pages: first page"] if kind == "TIFF" else [f"animated {kind}: {several}"]


@contextmanager
def readable(what: str) -> Generator[None]:
    """Whatever Pillow raises on bad data comes out as a one-line ImageError, "is `what` ..."; no warnings."""
    try:
        with _quiet():
            yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:  # some decoders ask Pillow's global limit themselves
        raise ImageError(f"has more pixels than Pillow allows ({error!s:.200}); make it smaller") from None
    except Exception as error:  # OSError, SyntaxError, struct.error, MemoryError, KeyError, zlib.error, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"is {what} ({reason:.200}); copy or export it again") from None


_MUTED = ("ignore", re.compile("(?s).*"), Warning, re.compile(r"PIL\."), 0)
_quiet_lock = threading.Lock()
_quiet_depth = 0


@contextmanager
def _quiet() -> Generator[None]:
    """Mute Pillow's own warnings meanwhile, and nobody else's.

    Not `warnings.catch_warnings`: that swaps the process's whole filter list, so two threads that decode at once can
    leave each other's list behind. Here the first adds one entry and the last removes it.
    """
    global _quiet_depth  # noqa: PLW0603
    filters: Any = warnings.filters
    with _quiet_lock:
        _quiet_depth += 1
        if _MUTED not in filters:
            filters.insert(0, _MUTED)
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                filters[:] = [entry for entry in filters if entry is not _MUTED]
