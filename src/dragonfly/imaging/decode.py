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

from dragonfly.imaging.jpeg import missing_data, read_jpeg
from dragonfly.imaging.limits import check_header, gif_frames
from dragonfly.imaging.orient import orientation
from dragonfly.imaging.policy import ImageError, ImagePolicy, check_pixels

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
"""Names of the accepted formats; PDF, DICOM, NIfTI and slides are read apart (`pdf.py`, `dicom.py`, `nifti.py`, `slide.py`)."""

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".pdf"),
    *(".dcm", ".dicom", ".nii", ".nii.gz", ".svs", ".ndpi"),
)
"""How names of images end, in lower case: what is looked for in folders. What a file is, its bytes say."""

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
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
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


def decode(data: bytes, policy: ImagePolicy) -> tuple[Image.Image, list[str]]:
    """The first frame, loaded, and notes on the file. Raises ImageError."""
    if not data:
        raise ImageError("is empty (0 bytes); copy or export it again")
    kind = _kind(data)
    accepted = f"accepted: {', '.join(FORMATS)}, PDF, DICOM, NIfTI, slides"
    if kind is None:
        raise ImageError(f"is not an image (it begins with {data[:8]!r}; {accepted})")
    if kind not in _OPENERS:
        raise ImageError(f"is {kind}, which is not accepted; save it as PNG ({accepted})")
    with readable(f"a damaged or truncated {kind} file"):
        image, notes = _opened(data, kind, policy)
        check_pixels(image.size, policy)
        if kind == "TIFF" and orientation(image) != 1:
            notes.append(f"turned by TIFF orientation {orientation(image)}")  # by Pillow while loading, in any policy
        frames = _frame_notes(image, data, kind)
        image.load()
        return image, frames + notes


def _opened(data: bytes, kind: str, policy: ImagePolicy) -> tuple[ImageFile.ImageFile, list[str]]:
    """The image, not yet loaded, after every check that needs no pixels of Pillow's; and notes on what is odd."""
    check_header(kind, data, policy)
    if kind != "JPEG":
        return _OPENERS[kind](io.BytesIO(data)), []
    jpeg = read_jpeg(data, policy)
    fault, note = missing_data(jpeg) if policy.missing_data != "ignore" else ("", "")
    if fault and policy.missing_data == "refuse":
        raise ImageError(f"is a damaged or truncated JPEG file ({fault:.200}); copy or export it again")
    # Where data is known to be missing, or known to be complete, Pillow need not see how the file ends.
    is_closed = jpeg.is_ended or policy.missing_data != "ignore"
    image = _OPENERS[kind](io.BytesIO(jpeg.pixels(b"\xff\xd9" if is_closed else b"")))
    image.info.update(jpeg.info)
    notes = [f"JPEG with missing data ({fault:.200}): grey or torn where it is missing"] if fault else [note] if note else []
    return image, notes


def _kind(data: bytes) -> str | None:
    """Format by the bytes alone: a file's name proves nothing."""
    if data[4:8] == b"ftyp":  # ISO base media: the brands say what is inside
        brands = data[8:64]
        is_heic = b"hei" in brands or b"hev" in brands or b"mif1" in brands
        return "AVIF" if b"avif" in brands or b"avis" in brands else "HEIC" if is_heic else "a video"
    return next((name for offset, magic, name in _SIGNATURES if data.startswith(magic, offset)), None)


def _frame_notes(image: Any, data: bytes, kind: str) -> list[str]:
    """Says that there are more frames: how many where the header says so, and in a GIF of not too many blocks.

    Walking a TIFF's pages can be made to take hours.
    """
    if kind == "GIF":
        count = gif_frames(data)
        return [] if count in (0, 1) else [f"animated GIF: first of {count or 'several'} frames"]
    if not getattr(image, "is_animated", False):
        return []
    return ["TIFF of several pages: first page"] if kind == "TIFF" else [f"animated {kind}: first of {image.n_frames} frames"]


@contextmanager
def readable(what: str) -> Generator[None]:
    """Whatever Pillow raises on bad data comes out as a one-line ImageError, "is `what` ..."; no warnings."""
    try:
        with quiet():
            yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:  # some decoders ask Pillow's global limit themselves
        raise ImageError(f"has more pixels than Pillow allows ({error!s:.200}); make it smaller") from None
    except MemoryError:
        raise ImageError("needs more memory than this process may use; make it smaller") from None
    except Exception as error:  # OSError, SyntaxError, struct.error, KeyError, zlib.error, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"is {what} ({reason:.200}); copy or export it again") from None


_MUTED = (
    "ignore",
    re.compile("(?s).*"),
    Warning,
    re.compile(r"(PIL|pydicom|openjpeg|libjpeg|rle|pylibjpeg|jpeg_ls|highdicom)\b"),
    0,
)
_quiet_lock = threading.Lock()
_quiet_depth = 0


@contextmanager
def quiet() -> Generator[None]:
    """Mute the warnings of Pillow and of what reads DICOM meanwhile, and nobody else's.

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
