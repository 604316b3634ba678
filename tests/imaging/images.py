"""Small images of every kind, made on the spot."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 11, 14


def rgb(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def sixteen_bit(values: list[int], dtype: str = "uint16") -> Image.Image:
    return Image.fromarray(np.array([values], dtype=dtype))


def animated(kind: str, count: int) -> bytes:
    frames = [rgb(seed=index) for index in range(count)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def reference(data: bytes) -> bytes:
    """What Pillow alone makes of the first frame."""
    return Image.open(io.BytesIO(data)).convert("RGB").tobytes()
