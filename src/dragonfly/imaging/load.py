"""`load_image`: any source becomes a `LoadedImage`.

Knows where bytes come from (path, URL, data URL, memory) and in which order the steps run: bytes within the limit,
size within the limit, decode, RGB, upright. What was loaded under a policy of the same pixels is handed back, so an image is
decoded once however many callers ask for it.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dragonfly.files import sha256
from dragonfly.imaging.decode import readable
from dragonfly.imaging.fetch import display_url, fetch, one_line
from dragonfly.imaging.orient import orientation
from dragonfly.imaging.pixels import Pixels, from_bytes, from_file, from_image
from dragonfly.imaging.policy import DEFAULT_POLICY, ImageError, ImagePolicy, check_bytes, check_pixels
from dragonfly.imaging.series import holds_dicom, is_series, read_series
from dragonfly.imaging.slide import Slide, content_hash, may_be_slide
from dragonfly.imaging.view import View, split_view

_LOADED = "dragonfly_policy"  # attribute of the pixels that were loaded here: the policy they were loaded under

PYRAMID = "pyramid"  # attribute of a slide's reduced copy: the slide, as `vision.pyramid` looks for it

_URL = re.compile(r"(data|file|[a-z][a-z0-9+.-]+(?=://)):", re.IGNORECASE)


@dataclass(frozen=True)
class LoadedImage:
    """RGB pixels and where they come from.

    `image` RGB, loaded, without metadata (so nobody turns it twice). `source` a name to show. `mode` PIL's mode before
    conversion. `sha256` of the encoded bytes and of the view, None for an image from memory. `notes` what was done to it.
    `policy` it was loaded under; `origin` what it was loaded from. `view` what of the file it shows, as written after `#`.
    `spacing` (height, width) of a pixel in millimetres, None where the file does not say. `label` which of several it is, as
    "slice 12 of 120": it stands before the image where a question is about several.
    Of a `slide` larger than the limit, `image` is a reduced copy that carries it (`image.pyramid`).
    """

    image: Image.Image
    source: str
    mode: str
    sha256: str | None
    notes: tuple[str, ...]
    policy: ImagePolicy = DEFAULT_POLICY
    origin: Any = None
    view: str = ""
    spacing: tuple[float, float] | None = None
    label: str = ""

    @property
    def slide(self) -> Slide | None:
        """What sub-images are read from, where `image` is a reduced copy."""
        return getattr(self.image, PYRAMID, None)

    @cached_property
    def content(self) -> str:
        """A hash of what the image shows: of its encoded bytes, or of its pixels where it comes from memory."""
        if self.slide is not None:
            return self.slide.content
        return self.sha256 or sha256(f"{self.image.size}".encode() + self.image.tobytes())

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels; of a slide, of its finest level."""
        whole = self.slide or self.image
        return whole.height, whole.width


Source = str | Path | bytes | Image.Image | NDArray[Any] | LoadedImage


def load_image(
    source: Source, policy: ImagePolicy = DEFAULT_POLICY, name: str | None = None, view: View | None = None
) -> LoadedImage:
    """Load a path, a `data:` or (where the policy allows) http(s) URL, encoded bytes, a PIL image or an array.

    `scan.pdf#2` is the second page of a PDF, where no file has that whole name; `scan.pdf` the first (`view.py`). `view` says
    the same of bytes, and more of a path. A folder of DICOM is its middle slice (`series.py`).
    Arrays: uint8 (height, width), (height, width, 1 | 3 | 4) or uint16 (height, width). Of several frames the first;
    of a PIL image the frame it stands at. Raises ValueError, one line that begins with the image's name:
    `name`, or what the source says.
    """
    if view is not None and not isinstance(source, str | Path | bytes):
        view.check("loaded already", ())
    if isinstance(source, LoadedImage):
        fits = source.policy.serves(policy) and (source.slide is not None or prod(source.size) <= policy.max_pixels)
        named = isinstance(source.origin, str | Path | bytes) and source.view
        return source if fits else load_image(source.origin, policy, source.source, View.parse(source.view) if named else None)
    if isinstance(source, Image.Image) and isinstance(slide := getattr(source, PYRAMID, None), Slide):
        return LoadedImage(source, slide.name, "RGB", None, slide.notes, policy, source, "", slide.spacing)
    before = getattr(source, _LOADED, None)
    # Upright, without metadata; how many pixels it may have was said when it was loaded.
    if isinstance(before, ImagePolicy) and before.serves(policy) and getattr(source, "mode", None) == "RGB":
        loaded = cast(Image.Image, source)
        return LoadedImage(loaded, "PIL image", "RGB", None, (), policy, source)
    name, origin = name or _name(source), source
    try:
        source, shown = _view_of(source, view)
        pixels, digest = _pixels(source, policy, shown)
    except ImageError as error:
        raise ValueError(f"{name} {error}") from None
    setattr(pixels.image, _LOADED, policy)
    if pixels.slide is not None:
        setattr(pixels.image, PYRAMID, replace(pixels.slide, name=name))
    said = (tuple(pixels.notes), policy, origin, shown.text, pixels.spacing, pixels.label)
    return LoadedImage(pixels.image, name, pixels.mode, digest, *said)


def _name(source: Any) -> str:
    if isinstance(source, str) and (match := _URL.match(source)):
        return f"{source[:40].partition(',')[0]}" if match[1].lower() == "data" else display_url(source)
    if isinstance(source, str | Path):
        return one_line(str(source)[:200]) or "''"
    return "PIL image" if isinstance(source, Image.Image) else type(source).__name__


def _pixels(source: Any, policy: ImagePolicy, view: View) -> tuple[Pixels, str | None]:
    """Upright RGB, and the hash of the encoded bytes and the view."""
    if isinstance(source, np.ndarray):
        view.check("an array", ())
        return from_image(_from_array(cast(NDArray[Any], source), policy), 1, policy, []), None
    if isinstance(source, Image.Image):
        view.check("a PIL image", ())
        check_pixels(source.size, policy)
        with readable("an image that cannot be loaded"):
            image = source.copy()  # loads it; later changes to the caller's image do not reach ours
            # Only now: Pillow turns a TIFF while loading it, and a copy forgets EXIF that the caller has edited.
            turn = orientation(source)
        return from_image(image, turn, policy, []), None
    if isinstance(source, str | Path) and not _URL.match(str(source)) and may_be_slide(source):
        return _of_file(Path(source), policy, view)
    if isinstance(source, str | Path):
        if not (isinstance(source, str) and _URL.match(source)) and is_series(source):
            return read_series(source, view, policy, lambda file, rest: _pixels(file, policy, rest))
        data = _bytes_from(source, policy)
    elif isinstance(source, bytes):
        data = source
    else:
        raise ImageError("is not a path, URL, bytes, PIL image or numpy array; give one of these")
    check_bytes(len(data), policy)
    digest = content_digest(data, view)
    if policy.isolate:
        from dragonfly.imaging.worker import isolated

        return isolated(data, policy, view), digest
    return from_bytes(data, policy, view), digest


def _of_file(path: Path, policy: ImagePolicy, view: View) -> tuple[Pixels, str]:
    """Of a file that may be too large to be held."""
    digest = content_hash(path)
    if view not in (View(), View(page="1")):
        digest = sha256(f"#{view.text} {digest}".encode())
    if policy.isolate:
        from dragonfly.imaging.worker import isolated

        return isolated(path, policy, view), digest
    return from_file(path, policy, view), digest


def image_file(path: str | Path) -> str:
    """The file behind a path that may name a view of it: of `scan.pdf#2` it is `scan.pdf`."""
    return str(split_view(path)[0])


def image_exists(path: str | Path) -> bool:
    """Whether there is a file, or a series of DICOM, behind a path that may name a view. Opens no image."""
    place = image_file(path)
    # Path.is_file raises on a name that is too long.
    return os.path.isfile(place) or (os.path.isdir(place) and holds_dicom(place))  # noqa: PTH112, PTH113


def _view_of(source: Any, view: View | None) -> tuple[Any, View]:
    """A source without its view, and the view: that of its name with what is said besides."""
    place, written = split_view(source) if isinstance(source, str | Path) else (source, View())
    return place, written if view is None else View.of({**written.parts, **view.parts})


def content_digest(data: bytes, view: View) -> str:
    """Of the encoded bytes; of a view other than the file's own, of it and them. The first page is a PDF's own view."""
    return sha256(data if view in (View(), View(page="1")) else f"#{view.text} ".encode() + data)


def _bytes_from(source: str | Path, policy: ImagePolicy) -> bytes:
    match = _URL.match(source) if isinstance(source, str) else None
    if match is None or not isinstance(source, str):
        return _read(Path(source), policy)
    scheme = match[1].lower()
    if scheme == "data":
        return from_data_url(source, policy)
    if scheme == "file":
        raise ImageError("is a file: URL, which is refused; give the path itself")
    if scheme not in ("http", "https"):
        raise ImageError(f"is a {scheme}: URL; only http, https and data URLs are read, so download it and give the path")
    if policy.urls == "refuse":
        raise ImageError(
            "is a URL, and fetching is off; download it and give the path, or allow it: --allow-urls of ask, zoom and chat "
            "(in Python: set urls to 'public')"
        )
    return fetch(source, policy)


def _read(path: Path, policy: ImagePolicy) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError("is a folder; name an image in it")
        if not stat.S_ISREG(status.st_mode):  # a pipe or device may never end
            raise ImageError("is not a regular file; copy the image to one")
        check_bytes(status.st_size, policy)
        return path.read_bytes()
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError("does not exist; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise ImageError(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None


def from_data_url(url: str, policy: ImagePolicy) -> bytes:
    """The bytes that a `data:image/...;base64,` (or `data:application/dicom;base64,`) URL holds. Raises ImageError."""
    header, _, payload = url.partition(",")
    if not re.fullmatch(r"data:(image/[\w.+-]+|application/dicom);base64", header, re.IGNORECASE):
        raise ImageError("is not of the form data:image/...;base64,...; give that, or a path")
    check_bytes(len(payload) * 3 // 4, policy)
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f"does not hold base64 ({error})") from None


def _from_array(array: NDArray[Any], policy: ImagePolicy) -> Image.Image:
    shape, dtype = array.shape, array.dtype
    is_grey = len(shape) == 2 or (len(shape) == 3 and shape[2] == 1)
    if dtype.kind == "f":
        raise ImageError(f"of {dtype} has no agreed range; scale it to 0..255 and use .astype(numpy.uint8)")
    if not (dtype == np.uint8 or (dtype.kind == "u" and dtype.itemsize == 2 and len(shape) == 2)):
        raise ImageError(f"of {dtype} and shape {shape} is not accepted; use uint8, or uint16 (height, width)")
    if not is_grey and not (len(shape) == 3 and shape[2] in (3, 4)):
        remedy = "transpose it with numpy.moveaxis(array, 0, -1)" if len(shape) == 3 and shape[0] in (1, 3, 4) else "change it"
        raise ImageError(f"of shape {shape} is not (height, width) or (height, width, 1 | 3 | 4); {remedy}")
    if 0 in shape:
        raise ImageError(f"of shape {shape} holds no pixels; give at least one")
    check_pixels((shape[1], shape[0]), policy)
    native = np.ascontiguousarray(array, dtype=dtype.newbyteorder("="))
    return Image.fromarray(native.reshape(shape[:2]) if is_grey else native)


def is_loaded(image: Image.Image, policy: ImagePolicy) -> bool:
    """Whether a caller's image is what `load_image` would make of it, so that who only looks at it now needs no copy.

    That is RGB, upright, without a transparent colour; its pixels are there afterwards. What was loaded here is not asked about:
    `load_image` hands it back, whatever limit it was let in under. Raises ValueError as `load_image` does.
    """
    if image.mode != "RGB" or image.has_transparency_data or hasattr(image, _LOADED):
        return False
    try:
        check_pixels(image.size, policy)
        with readable("an image that cannot be loaded"):
            image.load()
            return not policy.orient or orientation(image) == 1
    except ImageError as error:
        raise ValueError(f"{_name(image)} {error}") from None
