"""Backgrounds: the colours of a page and what is printed on it before anything is said."""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

from .page_record import Colour

_BASE: dict[str, tuple[Colour, float]] = {  # mean colour and how far each channel may stray
    "cream": ((243, 235, 212), 8),
    "kraft": ((206, 178, 138), 10),
    "tinted": ((214, 226, 234), 18),
    "night": ((34, 40, 52), 14),
    "steel": ((176, 184, 190), 12),
    "dish": ((226, 232, 214), 14),
    "stained": ((236, 232, 222), 8),
}
_WHITE: tuple[Colour, float] = ((240, 240, 240), 12)


@dataclass(frozen=True)
class Look:
    """The colours of a page: `ink` for text, `soft` for lines behind it, `accent` for fills, `paper` under all."""

    paper: Colour
    ink: Colour
    soft: Colour
    accent: Colour


def draw_look(rng: random.Random, paper: str) -> Look:
    """Colours for a paper, with text that stands out by at least 110 levels."""
    (red, green, blue), spread = _BASE.get(paper, _WHITE)
    base = tuple(max(0, min(255, round(value + rng.uniform(-spread, spread)))) for value in (red, green, blue))
    dark = sum(base) < 300
    ink = tuple(rng.randint(*((205, 250) if dark else (0, 55))) for _ in range(3))
    soft = tuple(round(0.78 * a + 0.22 * b) for a, b in zip(base, ink, strict=True))
    accent = tuple(rng.randint(*((60, 120) if dark else (40, 110))) for _ in range(3))
    return Look(base, ink, soft, accent)  # pyright: ignore[reportArgumentType]


def make_paper(rng: random.Random, paper: str, look: Look, size: tuple[int, int]) -> Image.Image:
    """A blank page of `size` (height, width)."""
    height, width = size
    image = Image.new("RGB", (width, height), look.paper)
    draw = ImageDraw.Draw(image)
    _PATTERNS.get(paper, _plain)(rng, draw, look, size)
    return image


def _plain(rng: random.Random, draw: ImageDraw.ImageDraw, look: Look, size: tuple[int, int]) -> None:
    pass


def _ruled(rng: random.Random, draw: ImageDraw.ImageDraw, look: Look, size: tuple[int, int]) -> None:
    step = rng.randint(18, 30)
    for y in range(rng.randint(4, step), size[0], step):
        draw.line((0, y, size[1], y), fill=_faint(look, 0.55))


def _squared(rng: random.Random, draw: ImageDraw.ImageDraw, look: Look, size: tuple[int, int]) -> None:
    step = rng.randint(14, 24)
    _ruled(rng, draw, look, size)
    for x in range(rng.randint(2, step), size[1], step):
        draw.line((x, 0, x, size[0]), fill=_faint(look, 0.45))


def _columned(rng: random.Random, draw: ImageDraw.ImageDraw, look: Look, size: tuple[int, int]) -> None:
    step = rng.randint(9, 40)
    for x in range(rng.randint(2, step), size[1], step):
        draw.line((x, 0, x, size[0]), fill=_faint(look, rng.uniform(0.3, 0.8)))


def _hatched(rng: random.Random, draw: ImageDraw.ImageDraw, look: Look, size: tuple[int, int]) -> None:
    step, lean = rng.randint(9, 30), rng.choice((-1, 1)) * rng.uniform(0.4, 2.0) * size[0]
    for x in range(-2 * size[0], size[1] + 2 * size[0], step):
        draw.line((x, 0, x + lean, size[0]), fill=_faint(look, 0.5))


def _speckled(rng: random.Random, draw: ImageDraw.ImageDraw, look: Look, size: tuple[int, int]) -> None:
    points = [(rng.randrange(size[1]), rng.randrange(size[0])) for _ in range(size[0] * size[1] // rng.randint(60, 300))]
    draw.point(points, fill=_faint(look, 1.2))


def _dotted(rng: random.Random, draw: ImageDraw.ImageDraw, look: Look, size: tuple[int, int]) -> None:
    step = rng.randint(10, 16)
    draw.point([(x, y) for x in range(3, size[1], step) for y in range(3, size[0], step)], fill=_faint(look, 1.4))


def _stained(rng: random.Random, draw: ImageDraw.ImageDraw, look: Look, size: tuple[int, int]) -> None:
    for _ in range(rng.randint(2, 5)):
        x, y, r = rng.uniform(0, size[1]), rng.uniform(0, size[0]), rng.uniform(14, 46)
        tone = tuple(round(value * rng.uniform(0.9, 0.97)) for value in look.paper)
        if rng.random() < 0.5:
            draw.ellipse((x - r, y - r, x + r, y + r), fill=tone)
        else:
            draw.ellipse((x - r, y - r, x + r, y + r), outline=tone, width=4)


def _dish(rng: random.Random, draw: ImageDraw.ImageDraw, look: Look, size: tuple[int, int]) -> None:
    height, width = size
    edge = rng.uniform(0.02, 0.08) * min(size)
    dim = tuple(round(value * 0.88) for value in look.paper)
    draw.rectangle((0, 0, width, height), fill=dim)
    draw.rounded_rectangle((edge, edge, width - edge, height - edge), radius=min(size) * 0.4, fill=look.paper)


def _night(rng: random.Random, draw: ImageDraw.ImageDraw, look: Look, size: tuple[int, int]) -> None:
    height, width = size
    draw.rectangle((2, 2, width - 3, height - 3), outline=look.soft, width=2)
    for x, y in ((7, 7), (width - 8, 7), (7, height - 8), (width - 8, height - 8)):
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=look.soft)


def _faint(look: Look, share: float) -> Colour:
    """Between paper and soft, or beyond."""
    return tuple(round(a + (b - a) * share) for a, b in zip(look.paper, look.soft, strict=True))  # pyright: ignore[reportReturnType]


_PATTERNS = {
    "columned": _columned,
    "hatched": _hatched,
    "speckled": _speckled,
    "ruled": _ruled,
    "squared": _squared,
    "dotted": _dotted,
    "stained": _stained,
    "dish": _dish,
    "night": _night,
    "steel": _night,
}
