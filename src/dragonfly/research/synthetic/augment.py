"""What happens between a page and its image: it is turned, blurred and lit.

Promises that the text annotations and boxes it returns still contain what they contained. Grain is drawn by numpy, all pixels
at once.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from .backgrounds import Look
from .document_spec import SynthSpec
from .page_record import Box


def take(rng: random.Random, spec: SynthSpec, image: Image.Image, look: Look) -> tuple[Image.Image, Callable[[Box], Box]]:
    """The image of a page, and where a box of the page is in it. Half of the pages are turned, half are blurred."""
    degrees = rng.uniform(-spec.turn, spec.turn) if rng.random() < 0.5 else 0.0
    if degrees:
        image = image.rotate(degrees, Image.Resampling.BILINEAR, fillcolor=look.paper)
    if spec.blur and rng.random() < 0.5:
        image = image.filter(ImageFilter.BoxBlur(rng.uniform(0, spec.blur)))
    width, height = image.size
    return add_light(rng, image, spec.light), lambda box: turned(box, degrees, (height, width)) if degrees else box


def turned(box: Box, degrees: float, size: tuple[int, int]) -> Box:
    """The smallest upright box around a box that turned counter-clockwise about the middle of `size` (height, width)."""
    middle_x, middle_y = size[1] / 2, size[0] / 2
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(x - middle_x, y - middle_y) for x in (box[0], box[2]) for y in (box[1], box[3])]
    xs = [middle_x + x * cos + y * sin for x, y in corners]
    ys = [middle_y - x * sin + y * cos for x, y in corners]
    return max(0.0, min(xs)), max(0.0, min(ys)), min(float(size[1]), max(xs)), min(float(size[0]), max(ys))


def add_light(rng: random.Random, image: Image.Image, slope: float, grain: float = 7.0) -> Image.Image:
    """The image under a slanted light of up to `slope` levels, with grain of up to `grain` levels."""
    height, width = image.height, image.width
    noise = np.random.default_rng(rng.getrandbits(64))
    field = noise.integers(-128, 128, size=(height, width), dtype=np.int8) * np.float32(rng.uniform(0, grain) / 128)
    across, down = rng.uniform(-slope, slope), rng.uniform(-slope, slope)
    field += np.linspace(-across, across, width, dtype=np.float32)
    field += np.linspace(-down, down, height, dtype=np.float32)[:, None]
    pixels = np.add(np.asarray(image), field.astype(np.int16)[:, :, None], dtype=np.int16)
    return Image.fromarray(np.clip(pixels, 0, 255, out=pixels).astype(np.uint8))
