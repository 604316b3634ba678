"""Cells with a coloured shape and a text beside it, and cells with a few specks of one colour and form."""

from __future__ import annotations

import math

from .draw_context import MARGIN, Sheet
from .page_record import Box, Colour, union
from .symbols import COLOURS, draw_shape, draw_speck

_TIGHT, _LOOSE = 2.5, 2.9  # distance of specks, in radii


def shape_radius(sheet: Sheet) -> float:
    """Half the side of a shape, in proportion to its text."""
    return 0.85 * sheet.face.cap


def speck_radius(sheet: Sheet, cell: Box) -> float:
    """Half the length of a speck: half the cap height, but three specks must fit side by side."""
    return min(0.5 * sheet.face.cap, (cell[2] - cell[0] - 2 * MARGIN - 1) / (3 * _LOOSE))


def draw_thing(sheet: Sheet, cell: Box, key: str, value: str) -> Box:
    """A shape ("red circle") with its value to the right, under or over it."""
    colour, shape = key.split()
    radius, cap, kind = shape_radius(sheet), sheet.face.cap, sheet.style.arrangement
    text, gap = sheet.face.width(value), sheet.rng.uniform(3, 6)
    beside = kind == "right" and 2 * radius + gap + text <= cell[2] - cell[0] - 2 * MARGIN
    width = 2 * radius + gap + text if beside else max(2 * radius, text)
    height = max(2 * radius, cap * 1.32) if beside else 2 * radius + gap + cap * 1.32
    x, y = sheet.spot(cell, width, height)
    over = kind == "over" and not beside
    centre_x = x + (radius if beside else width / 2)
    centre_y = y + (height / 2 if beside else (height - radius if over else radius))
    base = centre_y + cap / 2 if beside else (y + cap if over else y + 2 * radius + gap + cap)
    text_x = x + (2 * radius + gap if beside else (width - text) / 2)
    draw_shape(sheet.page.draw, shape, (centre_x, centre_y), radius, _shade(sheet, colour))
    around = (centre_x - radius, centre_y - radius, centre_x + radius, centre_y + radius)
    sheet.page.shape(around, key)
    return union([around, sheet.page.text(text_x, base, value, sheet.face, sheet.look.ink)])


def draw_specks(sheet: Sheet, cell: Box, key: str, value: str) -> Box:
    """`value` specks ("4") of one colour and form ("red rods"), apart from each other."""
    colour, form = key.split()
    fill, radius = _shade(sheet, colour), speck_radius(sheet, cell)
    step = radius * (_TIGHT if sheet.style.arrangement == "tight" else _LOOSE)
    slots = [(row, col) for row in range(2) for col in range(3)]
    x, y = sheet.spot(cell, 3 * step, 2 * step)
    boxes: list[Box] = []
    for row, col in sheet.rng.sample(slots, int(value)):
        stray = (step - 2 * radius) / 2
        cx = x + (col + 0.5) * step + sheet.rng.uniform(-stray, stray)
        cy = y + (row + 0.5) * step + sheet.rng.uniform(-stray, stray)
        draw_speck(sheet.page.draw, form, (cx, cy), radius, sheet.rng.uniform(0, math.pi), fill)
        boxes.append((cx - radius, cy - radius, cx + radius, cy + radius))
        sheet.page.shape(boxes[-1], f"{colour} {form[:-1]}")
    return union(boxes)


def _shade(sheet: Sheet, colour: str) -> Colour:
    red, green, blue = (max(0, min(255, value + sheet.rng.randint(-12, 12))) for value in COLOURS[colour])
    return red, green, blue
