"""Slides made on the spot: tiled pyramidal TIFF, written tile by tile."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

TILE = 256


def write_slide(path: Path, levels: Sequence[np.ndarray], **options: Any) -> Path:
    """Levels of RGB pixels, finest first, as a pyramid without loss; `options` of the finest (`description`, `resolution`)."""
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for number, level in enumerate(levels):
            own: dict[str, Any] = options if number == 0 else {"subfiletype": 1}
            file.write(level, tile=(TILE, TILE), photometric="rgb", metadata=None, **own)
    return path


Colour = tuple[int, int, int]


def write_large(
    path: Path,
    side: int,
    reductions: Sequence[int],
    paint: Callable[[int, int, int], Image.Image | None],
    ground: Colour = (255, 255, 255),
) -> Path:
    """A square slide of JPEG tiles, half a micrometre a pixel. `paint(reduction, left, top)` draws one, None an empty one."""
    blank = _jpeg(Image.new("RGB", (TILE, TILE), ground))

    def tiles(reduction: int) -> Iterator[bytes]:
        starts = range(0, side // reduction, TILE)
        for top in starts:
            for left in starts:
                tile = paint(reduction, left, top)
                yield blank if tile is None else _jpeg(tile)

    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for reduction in reductions:
            own: dict[str, Any] = {"subfiletype": 1} if reduction > 1 else {}
            density = 20_000 / reduction
            file.write(
                tiles(reduction),
                shape=(side // reduction, side // reduction, 3),
                dtype="uint8",
                tile=(TILE, TILE),
                photometric="ycbcr",
                subsampling=(1, 1),
                compression="jpeg",
                metadata=None,
                resolution=(density, density),
                resolutionunit="CENTIMETER",
                **own,
            )
    return path


def _jpeg(tile: Image.Image) -> bytes:
    buffer = io.BytesIO()
    tile.save(buffer, "JPEG", quality=90, subsampling=0, optimize=True)
    return buffer.getvalue()
