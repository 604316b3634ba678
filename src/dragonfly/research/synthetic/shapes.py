"""Coloured shapes with a value beside them, and groups of specks (dots, rods, rings) to be counted."""

from __future__ import annotations

import math

from PIL import ImageDraw

from dragonfly.vision.layout import Box

from .draw_context import MARGIN, Colour, DrawContext, union

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


_TIGHT, _LOOSE = 2.5, 2.9  # distance of specks, in radii


def shape_radius(context: DrawContext) -> float:
    """Half the side of a shape in pixels, in proportion to its text."""
    return 0.85 * context.face.cap


def speck_radius(context: DrawContext, cell: Box) -> float:
    """Half the length of a speck in pixels: half the height of a capital, or less so that three specks fit side by side."""
    return min(0.5 * context.face.cap, (cell[2] - cell[0] - 2 * MARGIN - 1) / (3 * _LOOSE))


def draw_thing(context: DrawContext, cell: Box, key: str, value: str) -> Box:
    """A shape ("red circle") with its value to the right, under or over it."""
    colour, shape = key.split()
    radius, cap, kind = shape_radius(context), context.face.cap, context.style.arrangement
    text, gap = context.face.width(value), context.rng.uniform(3, 6)
    beside = kind == "right" and 2 * radius + gap + text <= cell[2] - cell[0] - 2 * MARGIN
    width = 2 * radius + gap + text if beside else max(2 * radius, text)
    height = max(2 * radius, cap * 1.32) if beside else 2 * radius + gap + cap * 1.32
    x, y = context.spot(cell, width, height)
    over = kind == "over" and not beside
    centre_x = x + (radius if beside else width / 2)
    centre_y = y + (height / 2 if beside else (height - radius if over else radius))
    base = centre_y + cap / 2 if beside else (y + cap if over else y + 2 * radius + gap + cap)
    text_x = x + (2 * radius + gap if beside else (width - text) / 2)
    draw_shape(context.page.draw, shape, (centre_x, centre_y), radius, _shade(context, colour))
    around = (centre_x - radius, centre_y - radius, centre_x + radius, centre_y + radius)
    context.page.shape(around, key)
    return union([around, context.page.text(text_x, base, value, context.face, context.look.ink)])


def draw_specks(context: DrawContext, cell: Box, key: str, value: str) -> Box:
    """`value` specks ("4") of one colour and form ("red rods"), apart from each other."""
    colour, form = key.split()
    fill, radius = _shade(context, colour), speck_radius(context, cell)
    step = radius * (_TIGHT if context.style.arrangement == "tight" else _LOOSE)
    slots = [(row, col) for row in range(2) for col in range(3)]
    x, y = context.spot(cell, 3 * step, 2 * step)
    boxes: list[Box] = []
    for row, col in context.rng.sample(slots, int(value)):
        stray = (step - 2 * radius) / 2
        cx = x + (col + 0.5) * step + context.rng.uniform(-stray, stray)
        cy = y + (row + 0.5) * step + context.rng.uniform(-stray, stray)
        draw_speck(context.page.draw, form, (cx, cy), radius, context.rng.uniform(0, math.pi), fill)
        boxes.append((cx - radius, cy - radius, cx + radius, cy + radius))
        context.page.shape(boxes[-1], f"{colour} {form[:-1]}")
    return union(boxes)


def _shade(context: DrawContext, colour: str) -> Colour:
    red, green, blue = (max(0, min(255, value + context.rng.randint(-12, 12))) for value in COLOURS[colour])
    return red, green, blue
