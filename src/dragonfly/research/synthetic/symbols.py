"""Coloured shapes and specks, and the colours that have names."""

from __future__ import annotations

import math

from PIL import ImageDraw

from .page_record import Colour

COLOURS: dict[str, Colour] = {
    "red": (214, 38, 38),
    "orange": (244, 140, 20),
    "yellow": (240, 214, 30),
    "green": (40, 150, 60),
    "blue": (40, 80, 205),
    "purple": (140, 50, 160),
    "black": (25, 25, 25),
}
SHAPES = ("circle", "square", "triangle", "star", "diamond", "cross")
SPECKS = ("dots", "rods", "rings")

_POLYGONS: dict[str, list[tuple[float, float]]] = {
    "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    "triangle": [(0.0, -1.0), (0.95, 0.8), (-0.95, 0.8)],
    "diamond": [(0.0, -1.0), (0.8, 0.0), (0.0, 1.0), (-0.8, 0.0)],
    "star": [(r * math.sin(k * math.pi / 5), -r * math.cos(k * math.pi / 5)) for k in range(10) for r in ((1.05, 0.42)[k % 2],)],
    "cross": [
        *[(-0.33, -1.0), (0.33, -1.0), (0.33, -0.33), (1.0, -0.33), (1.0, 0.33), (0.33, 0.33)],
        *[(0.33, 1.0), (-0.33, 1.0), (-0.33, 0.33), (-1.0, 0.33), (-1.0, -0.33), (-0.33, -0.33)],
    ],
}


def draw_shape(draw: ImageDraw.ImageDraw, shape: str, centre: tuple[float, float], radius: float, fill: Colour) -> None:
    """One of `SHAPES` within `radius` of its centre."""
    x, y = centre
    if shape == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    else:
        draw.polygon([(x + radius * a, y + radius * b) for a, b in _POLYGONS[shape]], fill=fill)


def draw_speck(
    draw: ImageDraw.ImageDraw, form: str, centre: tuple[float, float], radius: float, angle: float, fill: Colour
) -> None:
    """One of `SPECKS` within `radius` of its centre."""
    x, y = centre
    if form == "rods":
        a, b = radius * math.cos(angle), radius * math.sin(angle)
        draw.line((x - a, y - b, x + a, y + b), fill=fill, width=max(3, round(radius * 0.8)))
    elif form == "rings":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=fill, width=2)
    else:
        draw.ellipse((x - radius * 0.85, y - radius * 0.85, x + radius * 0.85, y + radius * 0.85), fill=fill)
