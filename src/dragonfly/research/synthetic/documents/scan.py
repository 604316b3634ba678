"""What a scanner or a phone does to a page. Every effect follows from the generator alone; boxes move with the pixels.

The page is bent once, by one projective map (a turn, a shear, a tilt), which moves pixels and characters alike. All else, such as
blur, fading and shadow, leaves things where they are.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from dragonfly.vision.layout import Box

from .sheet import Sheet

Floats = NDArray[np.float32]
_NOISE = 1024  # side of the field that grain is cut from


@dataclass(frozen=True)
class Bend:
    """A projective map of the sheet into an image of `size` (width, height): its 3 x 3 matrix, for column vectors (x, y, 1)."""

    matrix: NDArray[np.float64]
    size: tuple[int, int]

    def boxes(self, boxes: Sequence[Box]) -> NDArray[np.float64]:
        """(boxes, 4): the smallest upright boxes around the boxes as they are bent, cut to the image."""
        areas = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        corners = np.stack([areas[:, [0, 1]], areas[:, [2, 1]], areas[:, [2, 3]], areas[:, [0, 3]]], axis=1)
        moved = corners @ self.matrix[:, :2].T + self.matrix[:, 2]
        points = moved[..., :2] / moved[..., 2:]
        limits = np.array([*self.size, *self.size], dtype=np.float64)
        return np.clip(np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1), 0, limits)

    def image(self, image: Image.Image, around: int | tuple[int, int, int]) -> Image.Image:
        """The image as it is bent, on a ground of the colour `around`."""
        inverse = np.linalg.inv(self.matrix)
        data = tuple((inverse / inverse[2, 2]).ravel()[:8])
        return image.transform(self.size, Image.Transform.PERSPECTIVE, data, Image.Resampling.BILINEAR, fillcolor=around)


def flat(size: tuple[int, int]) -> Bend:
    """The bend that leaves a page as it is."""
    return Bend(np.eye(3), size)


def draw_bend(rng: random.Random, size: tuple[int, int], tilt: float) -> Bend:
    """A turn of up to 2 degrees and, for a phone, a lean that brings one edge nearer by about `tilt`; nothing is cut off."""
    width, height = size
    angle = math.radians(max(-2.0, min(2.0, rng.gauss(0, 0.6))))
    shear = max(-0.008, min(0.008, rng.gauss(0, 0.003)))
    border = math.ceil(tilt * max(size) + (abs(math.sin(angle)) + abs(shear)) * max(size) / 2) + 1
    out = width + 2 * border, height + 2 * border
    cos, sin = math.cos(angle), math.sin(angle)
    to_middle, back = np.eye(3), np.eye(3)
    to_middle[:2, 2] = -width / 2, -height / 2
    back[:2, 2] = out[0] / 2, out[1] / 2
    turn = np.array([[cos, shear - sin, 0], [sin, cos, 0], [0, 0, 1]])
    lean = np.eye(3)
    lean[2, :2] = rng.uniform(-tilt, tilt) / width, rng.uniform(-tilt, tilt) / height
    return Bend(back @ lean @ turn @ to_middle, out)


@cache
def _grain() -> Floats:
    """One field of noise for all pages; a page takes a part of it, from a place of its own."""
    return np.random.default_rng(1).standard_normal((_NOISE, _NOISE), dtype=np.float32)


def _noise(rng: random.Random, shape: tuple[int, int]) -> Floats:
    dx, dy = rng.randrange(_NOISE), rng.randrange(_NOISE)
    tiled = np.tile(np.roll(_grain(), (dy, dx), (0, 1)), (-(-shape[0] // _NOISE), -(-shape[1] // _NOISE)))
    return tiled[: shape[0], : shape[1]]


def _smooth(rng: random.Random, size: tuple[int, int], low: float, high: float, cells: int) -> Floats:
    """A field (height, width) that changes slowly between `low` and `high`."""
    values = np.array([rng.uniform(low, high) for _ in range(cells * cells)], dtype=np.float32).reshape(cells, cells)
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BICUBIC))


@dataclass(frozen=True)
class Scan:
    """How a page came to be an image: `screen`, `flatbed`, `bright`, `fax` or `phone`; the quality of its JPEG file.

    `bright` is a flatbed that drives paper to white, and with it what is printed faintly and the edges of strokes.
    """

    kind: str
    quality: int


def draw_scan(rng: random.Random, kinds: dict[str, float]) -> Scan:
    kind = rng.choices(list(kinds), list(kinds.values()))[0]
    low, high = {"screen": (75, 95), "flatbed": (35, 92), "bright": (35, 92), "fax": (40, 90), "phone": (45, 90)}[kind]
    return Scan(kind, rng.randint(low, high))


def scan(rng: random.Random, sheet: Sheet, how: Scan) -> tuple[Image.Image, Bend]:
    """The sheet as it was scanned, and how it was bent."""
    if how.kind == "screen":
        return sheet.image, flat(sheet.size)
    image = _handled(rng, _printed(rng, sheet.image)) if sheet.mode == "L" else sheet.image  # what is in colour left no printer
    bend, phone = flat(sheet.size), how.kind == "phone"
    if phone or rng.random() < 0.5:
        bend = draw_bend(rng, sheet.size, rng.uniform(0.01, 0.05) if phone else 0.0)
        ground = rng.randint(20, 190) if phone or rng.random() < 0.2 else 255
        image = bend.image(image, ground if image.mode == "L" else (ground, ground, ground))
    paper = rng.uniform(200, 255)
    if rng.random() < 0.6:
        image = image.filter(ImageFilter.BoxBlur(rng.uniform(0.15, 0.95 if phone else 0.75)))
    pixels = np.asarray(image, dtype=np.float32)
    light = _light(rng, image.size, how.kind)
    if how.kind == "fax":
        level = rng.uniform(120, 185)
        pixels = np.where(pixels + _noise(rng, (image.height, image.width)) * 14 > level, 255.0, rng.uniform(0, 50)).astype(
            np.float32
        )
    floor = rng.choice((0.0, rng.uniform(0, 90)))
    pixels = floor + pixels * np.float32((paper - floor) / 255)
    shaded = light + _noise(rng, (image.height, image.width)) * np.float32(rng.choice((1.0, rng.uniform(1, 9))))
    pixels += shaded if pixels.ndim == 2 else shaded[..., None]
    if how.kind == "bright":
        white, black = paper * rng.uniform(0.72, 0.98), rng.choice((0.0, rng.uniform(0, 60)))
        pixels = (pixels - np.float32(black)) * np.float32(255 / (white - black))
    result = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    if how.kind == "bright" and rng.random() < 0.4:
        result = result.filter(ImageFilter.UnsharpMask(rng.uniform(0.6, 1.6), rng.randint(60, 200), 0))
    return (_tinted(rng, result) if phone and result.mode == "L" else result), bend


def _printed(rng: random.Random, image: Image.Image) -> Image.Image:
    """The page as its printer left it: thick or thin strokes, faded patches, streaks."""
    pixels = np.asarray(image)
    strokes = rng.random()
    if strokes < 0.15:  # ink spreads to the right, or downwards
        pixels = np.minimum(pixels, np.roll(pixels, 1, axis=rng.choice((0, 1))))
    elif strokes < 0.25 and min(image.size) > 620:  # strokes lose a part of their edge
        pixels = np.maximum(pixels, np.roll(pixels, 1, axis=1) // 2 + 40)
    if rng.random() < 0.45:
        ink = _smooth(rng, image.size, rng.uniform(0.15, 0.8), 1.25, rng.randint(2, 6))
        pixels = _faded(pixels, np.clip(ink, 0.2, 1.0))
    if rng.random() < 0.12:  # a worn print head
        columns = np.array([rng.random() for _ in range(image.width)], dtype=np.float32)
        pixels = _faded(pixels, np.where(columns < rng.uniform(0.01, 0.06), 0.25, 1.0).astype(np.float32)[None, :])
    return Image.fromarray(np.ascontiguousarray(pixels))


def _handled(rng: random.Random, image: Image.Image) -> Image.Image:
    """The page as hands left it: ticks and rings of a pen, scribbles, punched holes, folds, a torn corner."""
    draw, (width, height) = ImageDraw.Draw(image), image.size
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
        ink = rng.randint(20, 130)
        x, y, reach = rng.uniform(0.1, 0.9) * width, rng.uniform(0.05, 0.95) * height, rng.uniform(0.03, 0.1) * width
        kind = rng.choice(("tick", "scribble", "ring", "hole", "fold", "fold", "corner"))
        if kind == "tick":
            draw.line(
                [(x, y), (x + reach * 0.3, y + reach * 0.4), (x + reach, y - reach * 0.6)], fill=ink, width=2, joint="curve"
            )
        elif kind == "scribble":  # at an edge, where people write
            x, y = rng.uniform(0.05, 0.7) * width, rng.choice((rng.uniform(0, 0.03), rng.uniform(0.95, 1))) * height
            points = [(x + step * reach * 0.15, y + rng.uniform(-0.3, 0.3) * reach) for step in range(rng.randint(6, 16))]
            draw.line(points, fill=ink, width=rng.choice((1, 2, 3)), joint="curve")
        elif kind == "ring":
            draw.ellipse((x - reach, y - reach * 0.4, x + reach, y + reach * 0.4), outline=ink, width=2)
        elif kind == "hole":
            radius, x = reach * 0.25, rng.uniform(0.01, 0.04) * width
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=rng.randint(0, 90))
        elif kind == "fold":
            draw.line([(0, y), (width, y + rng.uniform(-8, 8))], fill=rng.randint(175, 235), width=rng.choice((1, 2)))
        else:
            cut, corner = reach * rng.uniform(0.3, 0.8), (rng.choice((0, width)), rng.choice((0, height)))
            across, down = (cut if corner[0] == 0 else -cut), (cut if corner[1] == 0 else -cut)
            draw.polygon([corner, (corner[0] + across, corner[1]), (corner[0], corner[1] + down)], fill=rng.randint(0, 60))
    return image


def _faded(pixels: NDArray[np.uint8], ink: Floats) -> NDArray[np.uint8]:
    """The pixels with this share of their darkness."""
    return (255 - (255 - pixels) * (ink if pixels.ndim == 2 else ink[..., None])).astype(np.uint8)


def _light(rng: random.Random, size: tuple[int, int], kind: str) -> Floats:
    """Grey levels added by uneven light."""
    depth = rng.uniform(10, 55) if kind == "phone" else rng.choice((0.0, 0.0, rng.uniform(0, 22)))
    field = _smooth(rng, size, -depth, depth * 0.3, rng.randint(2, 4))
    if kind == "phone" and rng.random() < 0.4:  # the shadow of a hand, or of the phone
        across, down = (np.linspace(0, 1, side, dtype=np.float32) for side in size)
        dark, lean, place = (np.float32(rng.uniform(*bounds)) for bounds in ((15, 60), (-1, 1), (0.2, 0.9)))
        shade = (dark / (1 + np.exp((place - across * lean - down[:, None]) * 14))).astype(np.float32)
        return field - shade
    return field


def _tinted(rng: random.Random, image: Image.Image) -> Image.Image:
    """A grey page under warm or cold light."""
    red, blue = rng.uniform(0.93, 1.0), rng.uniform(0.82, 1.0)
    return Image.merge(
        "RGB", [image.point([min(255, round(level * factor)) for level in range(256)]) for factor in (red, (red + 1) / 2, blue)]
    )
