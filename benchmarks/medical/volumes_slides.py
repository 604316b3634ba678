"""Good NIfTI volumes, deep grey images and slides, what breaks them, and what comes of the files inside nibabel."""

from __future__ import annotations

import gzip
import io
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import tifffile
from hostile.bombs import encoded
from hostile.mutations import MUTATIONS, photo
from PIL import Image

from dragonfly.imaging import ImagePolicy, View, load_image
from dragonfly.vision.presets import PRESETS
from dragonfly.vision.tiling import cut
from dragonfly.vision.trimming import image_layout

SMALL = ImagePolicy(max_pixels=20_000)  # what the slides here are too large for: their levels are read one by one
SPEC = PRESETS["v1"].spec.with_selection(policy="all")
HEAD = 352  # bytes of a NIfTI header; of a TIFF, its own and its first directory


def volumes() -> dict[str, bytes]:
    """NIfTI files of several kinds."""
    dice = np.random.default_rng(0)
    grey = dice.integers(-1000, 2000, (24, 20, 16)).astype(np.int16)
    turn = np.array([[0, -1.1, 0.1, 3], [0.9, 0, 0, -4], [0, 0.1, 2.5, 5], [0, 0, 0, 1]])
    colours = np.zeros((16, 16, 8), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    colours["R"] = dice.integers(0, 256, colours.shape)
    plain = nibabel.Nifti1Image(grey, turn).to_bytes()
    series = nibabel.Nifti1Image(dice.random((12, 12, 6, 5), np.float32), np.eye(4)).to_bytes()
    return {
        "NIfTI-1: 16 bits": plain,
        "NIfTI-1: compressed": gzip.compress(plain, mtime=0),
        "NIfTI-1: frames, compressed": gzip.compress(series, mtime=0),
        "NIfTI-1: RGB": nibabel.Nifti1Image(colours, np.eye(4)).to_bytes(),
        "NIfTI-2: float": nibabel.Nifti2Image(grey.astype(np.float64), turn).to_bytes(),
        "NIfTI-2: compressed": gzip.compress(nibabel.Nifti2Image(grey, turn).to_bytes(), mtime=0),
    }


def deep_images() -> dict[str, bytes]:
    grey = np.asarray(photo().convert("L"))
    return {
        "PNG: 16 bits": encoded(Image.fromarray(grey.astype(np.uint16) * 16), "PNG"),
        "TIFF: 16 bits": encoded(Image.fromarray(grey.astype(np.uint16) * 16), "TIFF", compression="tiff_adobe_deflate"),
        "TIFF: float": encoded(Image.fromarray(grey.astype(np.float32)), "TIFF"),
    }


def slides() -> dict[str, bytes]:
    finest = np.asarray(photo(3, 600, 400))
    levels = [finest, np.asarray(Image.fromarray(finest).reduce(4))]
    return {
        "slide: raw tiles": _slide(levels),
        "slide: deflate": _slide(levels, compression="zlib"),
        "slide: JPEG": _jpeg_slide(levels),
        "slide: Aperio": _slide(levels[:1], description="Aperio Image Library v10\r\n600x400|AppMag = 20|MPP = 0.5"),
    }


def _slide(levels: list[np.ndarray], compression: str | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        for number, level in enumerate(levels):
            own: dict[str, Any] = options if number == 0 else {"subfiletype": 1}
            file.write(level, tile=(128, 128), photometric="rgb", metadata=None, compression=compression, **own)
    return buffer.getvalue()


def _jpeg_slide(levels: list[np.ndarray]) -> bytes:
    def tiles(level: np.ndarray) -> Iterator[bytes]:
        image = Image.fromarray(level)
        for top in range(0, image.height, 128):
            for left in range(0, image.width, 128):
                yield encoded(image.crop((left, top, left + 128, top + 128)), "JPEG", subsampling=0)

    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        for number, level in enumerate(levels):
            own: dict[str, Any] = {} if number == 0 else {"subfiletype": 1}
            options: dict[str, Any] = {"photometric": "ycbcr", "subsampling": (1, 1), "compression": "jpeg", "metadata": None}
            file.write(tiles(level), shape=level.shape, dtype="uint8", tile=(128, 128), **options, **own)
    return buffer.getvalue()


def in_header(data: bytes, dice: random.Random) -> bytes:
    """A few bytes of the header replaced; of what is compressed, before it is compressed."""
    if data.startswith(b"\x1f\x8b"):
        return gzip.compress(in_header(gzip.decompress(data), dice), mtime=0)
    changed = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        changed[dice.randrange(min(HEAD, len(changed)))] = dice.choice((0, 1, 127, 128, 255, dice.randrange(256)))
    return bytes(changed)


ALL_MUTATIONS: dict[str, Callable[[bytes, random.Random], bytes]] = {**MUTATIONS, "in the header": in_header}


def read_bytes(data: bytes, view: str) -> None:
    load_image(data, view=View.parse(view) if view else None)


def read_slide_levels(data: bytes, isolate: bool = False) -> None:
    """A slide from its file: every sub-image of a preset, and a region. Isolated, as one image."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.tiff"
        path.write_bytes(data)
        if isolate:
            load_image(path, ImagePolicy(max_pixels=SMALL.max_pixels, isolate=True))
            return
        image = load_image(path, SMALL).image
        cut(image, image_layout(image, SPEC))
        load_image(f"{path}#region=10,10,200,100")


def inside_nibabel() -> dict[str, str]:
    """What comes of every file with .nii in its name that nibabel is tested with: "shown", or the refusal."""
    found: dict[str, str] = {}
    for path in sorted((Path(nibabel.__file__).parent / "tests" / "data").iterdir()):
        if ".nii" not in path.name:
            continue
        try:
            load_image(path, name=path.name)
            found[path.name] = "shown"
        except ValueError as error:
            found[path.name] = str(error)
    return found
