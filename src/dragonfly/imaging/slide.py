# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
"""Whole slides: pyramids of tiles that are never held at once. OpenSlide (extra `medical`) reads them.

A slide, or a region of one, that is within the limit on pixels is an image like any other, at its finest level or at the
magnification asked for. A larger one is a `Slide`: sub-images are read from the pyramid one by one, each from the coarsest level
that has its detail. Only a file at a path is read so: OpenSlide needs one. Labels and macro photos, on which names stand, are
never read.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from dragonfly.files import first_bytes, sha256
from dragonfly.imaging.decode import readable
from dragonfly.imaging.policy import ImageError, ImagePolicy, check_pixels
from dragonfly.imaging.view import View
from dragonfly.installation import install_advice

Box = tuple[float, float, float, float]  # (left, top, right, bottom) in pixels of the finest level
READABLE = ("region", "magnification")
MAX_READ = 2**28
"""Pixels of one level that one sub-image may take to read: a pyramid whose levels lie far apart is refused, not waited for."""
MAX_TILE = 2**24
"""Pixels of one tile: it is decoded at once, whatever is read of it."""
THUMBNAIL = 2**22
"""Pixels of the reduced copy of a slide, which is drawn and shown."""

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"ZISRAWFILE")  # TIFF, BigTIFF, Zeiss
_SUFFIX = ".mrxs"  # its file is a small JPEG, and the tiles lie in a folder of its name
_HELD = 2**24  # pixels of a level that are held at once; of more, squares of pixels are averaged while they are read
_BLOCK = 2048  # side of what is read at once
_MARGIN = 3  # pixels around what is read, in units of the reduction: the support of the widest filter
_PRINT = 50.0  # micrometres: larger "pixels" are dots per inch of a printer, which programs write where nothing is known


def may_be_slide(path: str | Path) -> bool:
    """Whether a file begins as slides do; an ordinary TIFF does too."""
    start = first_bytes(path, 16)
    return start.startswith(_MAGIC) or bool(start and Path(path).suffix.lower() == _SUFFIX)


def content_hash(path: str | Path) -> str:
    """SHA-256 of a file, read once as long as its size and time stay; of .mrxs with the files that hold its tiles."""
    files = [Path(path), *(sorted(Path(path).with_suffix("").glob("*")) if Path(path).suffix.lower() == _SUFFIX else [])]
    digests = [_hash(str(one), one.stat().st_size, one.stat().st_mtime_ns) for one in files]
    return digests[0] if len(digests) == 1 else sha256(" ".join(digests).encode())


@lru_cache(maxsize=256)
def _hash(path: str, size: int, time: int) -> str:
    return sha256(path)


@dataclass(frozen=True)
class Slide:
    """A slide, or a region of one, larger than an image may be. `vision.pyramid` says what encoders want of it.

    Args:
        path: the file.
        name: what it is called in messages.
        left, top: where the region begins, in pixels of the slide's finest level.
        width, height: of the region, in the same pixels; boxes count from its corner.
        content: a hash of what it shows.
        spacing: (height, width) of a pixel in millimetres, where the file says it.
    """

    path: str
    name: str
    left: int
    top: int
    width: int
    height: int
    content: str
    spacing: tuple[float, float] | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    @cached_property
    def _file(self) -> Any:
        import openslide

        return openslide.OpenSlide(self.path)  # closed when this object goes

    @cached_property
    def thumbnail(self) -> Image.Image:
        """All of it in at most `THUMBNAIL` pixels."""
        return self.read((0.0, 0.0, float(self.width), float(self.height)), fitted((self.height, self.width), THUMBNAIL))

    def read(self, box: Box, size: tuple[int, int], resample: Image.Resampling = Image.Resampling.BICUBIC) -> Image.Image:
        """A part as an RGB image of (height, width), from the coarsest level that has as many pixels.

        Raises ValueError, one line that names the slide, where the file is damaged or no level is near enough.
        """
        moved = (box[0] + self.left, box[1] + self.top, box[2] + self.left, box[3] + self.top)
        try:
            with readable("a damaged slide"):
                return _read(self._file, moved, size, resample)
        except ImageError as error:
            raise ValueError(f"{self.name} {error}") from None


@dataclass(frozen=True)
class SlidePixels:
    """What is read of a slide: an image within the limit, or the `slide` itself with its reduced copy as `image`."""

    image: Image.Image
    notes: list[str]
    spacing: tuple[float, float] | None
    slide: Slide | None = None


def read_slide(path: str | Path, view: View, policy: ImagePolicy, *, whole: bool = False) -> SlidePixels | None:
    """A slide; None where the file is an ordinary TIFF and no part of a slide is asked for. Raises ImageError.

    `whole`: hold a large one as one image, reduced to the limit, instead of reading its sub-images later.
    """
    wanted = bool(view.region or view.magnification)
    try:
        import openslide
    except ImportError:
        if not wanted:
            return None
        raise ImageError(f"may be a slide, which OpenSlide reads, and it is not installed: {install_advice('medical')}") from None
    with readable("a damaged slide"):
        vendor = openslide.OpenSlide.detect_format(str(path))
        if vendor is None:
            if wanted:
                raise ImageError("is no slide that OpenSlide reads (of TIFF, one in tiles); leave region and magnification out")
            return None
        with _opened(str(path)) as file:
            if vendor == "generic-tiff" and not wanted and math.prod(file.dimensions) <= policy.max_pixels:
                return None
            view.check("a slide", READABLE)
            return _of_file(file, str(path), vendor, view, policy, whole)


@contextmanager
def _opened(path: str) -> Generator[Any]:
    import openslide

    file = openslide.OpenSlide(path)
    try:
        yield file
    finally:
        file.close()


def _of_file(file: Any, path: str, vendor: str, view: View, policy: ImagePolicy, whole: bool) -> SlidePixels:
    _check_file(file)
    left, top, width, height = _region(file, view)
    power, pixel = _scale(file)
    notes = [_described(file, vendor, power, pixel)]
    if view.region:
        notes.append(f"region {view.region}: boxes count from its corner")
    if file.color_profile is not None:
        notes.append("ICC profile ignored")
    size = (height, width)
    if view.magnification:
        size = _magnified(size, float(view.magnification), power)
        check_pixels((size[1], size[0]), policy)
    elif width * height > policy.max_pixels:
        content = sha256(f"#{view.text} {content_hash(path)}".encode()) if view.text else content_hash(path)
        if not whole:
            notes.append("low, mid and high are each read from its pyramid, and drawn on a reduced copy")
            slide = Slide(path, path, left, top, width, height, content, _spacing(pixel, 1.0, 1.0), tuple(notes))
            with _coarse_enough(slide):
                return SlidePixels(slide.thumbnail, notes, slide.spacing, slide)
        size = fitted(size, policy.max_pixels)
    if size != (height, width):
        notes.append(f"{width} x {height} pixels reduced to {size[1]} x {size[0]}, in which boxes count")
    box = (float(left), float(top), float(left + width), float(top + height))
    image = _read(file, box, size, Image.Resampling.BICUBIC)
    return SlidePixels(image, notes, _spacing(pixel, height / size[0], width / size[1]))


@contextmanager
def _coarse_enough(slide: Slide) -> Generator[None]:
    """A refusal without the slide's name, which `load_image` puts before it."""
    try:
        yield
    except ValueError as error:
        raise ImageError(str(error).removeprefix(f"{slide.name} ")) from None


def _check_file(file: Any) -> None:
    """What a hostile header would make OpenSlide hold."""
    for level in range(file.level_count):
        sides = [int(file.properties.get(f"openslide.level[{level}].tile-{side}", 0)) for side in ("width", "height")]
        if math.prod(sides) > MAX_TILE:
            raise ImageError(f"is a slide of tiles of {sides[0]} x {sides[1]} pixels; save it with tiles of up to 4096 x 4096")
    if min(map(min, file.level_dimensions)) < 1:
        raise ImageError("is a damaged slide (a level without pixels); copy or export it again")


def _region(file: Any, view: View) -> tuple[int, int, int, int]:
    """(left, top, width, height) in pixels of the finest level."""
    wide, high = file.dimensions
    if not view.region:
        return 0, 0, wide, high
    left, top, width, height = map(int, view.region.split(","))
    if left + width > wide or top + height > high:
        raise ImageError(
            f"is a slide of {wide} x {high} pixels, and region={view.region} (left,top,width,height) reaches beyond it"
        )
    return left, top, width, height


def _scale(file: Any) -> tuple[float | None, tuple[float, float] | None]:
    """(magnification of the objective, (height, width) of a pixel in micrometres), each where the file says it."""
    across, down, power = (_positive(file.properties.get(f"openslide.{name}")) for name in ("mpp-x", "mpp-y", "objective-power"))
    pixel = (down, across) if across and down and max(across, down) < _PRINT else None
    if power is None and pixel is not None:
        power = 10 / pixel[1]  # by custom: 20 x is half a micrometre a pixel
    return power, pixel


def _positive(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 < number < math.inf else None


def _described(file: Any, vendor: str, power: float | None, pixel: tuple[float, float] | None) -> str:
    wide, high = file.dimensions
    levels = f"{file.level_count} level{'s' * (file.level_count != 1)}"
    said = [f"{pixel[1]:.3g} micrometres a pixel"] if pixel else []
    said += [f"{power:.3g} x"] if power else []
    return f"slide ({vendor}) of {wide} x {high} pixels, {levels}, {', '.join(said) or 'no magnification or pixel size in it'}"


def _magnified(size: tuple[int, int], wanted: float, power: float | None) -> tuple[int, int]:
    if power is None:
        raise ImageError("is a slide that says neither its magnification nor its pixel size; name a region without magnification")
    if not 0 < wanted <= power * 1.001:
        raise ImageError(f"is a slide of {power:.3g} x, and no more than that is in it; accepted: up to {power:.3g}")
    share = min(1.0, wanted / power)
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def _spacing(pixel: tuple[float, float] | None, down: float, across: float) -> tuple[float, float] | None:
    """Millimetres of a pixel that is so many of the finest level high and wide."""
    return None if pixel is None else (pixel[0] * down / 1000, pixel[1] * across / 1000)


def fitted(size: tuple[int, int], most: int) -> tuple[int, int]:
    """(height, width) of the same shape with at most so many pixels."""
    share = min(1.0, math.sqrt(most / (size[0] * size[1])))
    height, width = max(1, int(size[0] * share)), max(1, int(size[1] * share))
    return min(height, most // width), min(width, most)


def _read(file: Any, box: Box, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    """A part of a slide at (height, width): from the level that has at least as many pixels, resized as images are."""
    height, width = size
    level = _level_for(file, min((box[2] - box[0]) / width, (box[3] - box[1]) / height))
    finest, own = file.level_dimensions[0], file.level_dimensions[level]
    across, down = own[0] / finest[0], own[1] / finest[1]
    left, top, right, bottom = box[0] * across, box[1] * down, box[2] * across, box[3] * down
    pad_x, pad_y = (math.ceil(_MARGIN * max(1.0, wide)) for wide in ((right - left) / width, (bottom - top) / height))
    edges = (
        max(0, math.floor(left) - pad_x),
        max(0, math.floor(top) - pad_y),
        min(own[0], math.ceil(right) + pad_x),
        min(own[1], math.ceil(bottom) + pad_y),
    )
    area = (edges[2] - edges[0]) * (edges[3] - edges[1])
    if area > MAX_READ:
        raise ImageError(
            f"is a slide without a level near enough: {own[0]} x {own[1]} pixels would be read for {width} x {height}; "
            "save it as a pyramid, or name a region"
        )
    factor = math.ceil(math.sqrt(area / max(_HELD, 4 * width * height)))
    held = _held(file, level, edges, factor)
    x0, x1 = (left - edges[0]) / factor, min((right - edges[0]) / factor, held.width)
    y0, y1 = (top - edges[1]) / factor, min((bottom - edges[1]) / factor, held.height)
    if (x0, y0, x1, y1, width, height) == (0, 0, held.width, held.height, held.width, held.height):
        return held
    narrow = held.resize((width, held.height), resample, box=(x0, 0, x1, held.height))
    return narrow.resize((width, height), resample, box=(0, y0, width, y1))


def _level_for(file: Any, reduction: float) -> int:
    """The coarsest level that is not reduced further than what is wanted; levels are rarely exact powers."""
    fitting = [level for level, own in enumerate(file.level_downsamples) if own <= reduction * 1.01]
    return max(fitting, key=lambda level: file.level_downsamples[level], default=0)


def _held(file: Any, level: int, edges: tuple[int, int, int, int], factor: int) -> Image.Image:
    """RGB pixels of a level on white, squares of `factor` x `factor` averaged; read block by block."""
    left, top, right, bottom = edges
    step = max(1, _BLOCK // factor) * factor
    page = Image.new("RGB", (-(-(right - left) // factor), -(-(bottom - top) // factor)))
    finest, own = file.level_dimensions[0], file.level_dimensions[level]
    for y in range(top, bottom, step):
        for x in range(left, right, step):
            size = (min(step, right - x), min(step, bottom - y))
            start = (round(x * finest[0] / own[0]), round(y * finest[1] / own[1]))
            block = _on_white(file.read_region(start, level, size))
            page.paste(block.reduce(factor) if factor > 1 else block, ((x - left) // factor, (y - top) // factor))
    return page


def _on_white(block: Image.Image) -> Image.Image:
    """What a scanner left out is transparent."""
    alpha = block.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return block.convert("RGB")
    white = Image.new("RGB", block.size, "white")
    white.paste(block, mask=alpha)
    return white
