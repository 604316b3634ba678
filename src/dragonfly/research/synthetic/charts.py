"""Values with an image of their size beside them: bars, points, slices and dials, each inside one cell."""

from __future__ import annotations

import math
from collections.abc import Callable

from .arrange import draw_field
from .draw_context import MARGIN, Sheet
from .page_record import Box, union

_LINE = 1.32  # height of a line of text in cap heights


def draw_chart(sheet: Sheet, cell: Box, key: str, value: str, share: float) -> Box:
    """One category: its label, its value in digits, and a mark whose length or angle is `share` of the largest."""
    kind = sheet.style.arrangement
    if kind == "pie":
        return _beside_icon(sheet, cell, key, value, lambda x, y, r: _slice(sheet, x, y, r, share))
    if kind == "sideways":
        return _sideways(sheet, cell, key, value, share)
    return _upright(sheet, cell, key, value, share)


def draw_panel(sheet: Sheet, cell: Box, key: str, value: str, share: float) -> Box:
    """One instrument: a dial with its reading, or a box with a name and a reading."""
    if sheet.style.arrangement == "dial":
        return _beside_icon(sheet, cell, key, value, lambda x, y, r: _dial(sheet, x, y, r, share))
    return draw_field(sheet, cell, key, value)


def _upright(sheet: Sheet, cell: Box, key: str, value: str, share: float) -> Box:
    """The label at the bottom, a bar or a point on its stem above it, the value on top."""
    face, cap, draw = sheet.face, sheet.face.cap, sheet.page.draw
    most = cell[3] - cell[1] - 2 * MARGIN - 2 * cap * _LINE - 3
    length = max(3.0, share * most)
    full = max(face.width(key), face.width(value))
    x, y = sheet.spot(cell, full, 2 * cap * _LINE + length + 3)
    middle, top = x + full / 2, y + cap + 3
    half = sheet.rng.uniform(7, 12)
    if sheet.style.arrangement == "point":
        draw.line((middle, top + 3, middle, top + length), fill=sheet.look.soft, width=2)
        draw.ellipse((middle - 3, top, middle + 3, top + 6), fill=sheet.look.accent)
    else:
        draw.rectangle((middle - half, top, middle + half, top + length), fill=sheet.look.accent)
    draw.line((x, top + length, x + full, top + length), fill=sheet.look.soft)
    ink = sheet.look.ink
    return union(
        [
            sheet.page.text(middle - face.width(value) / 2, y + cap, value, face, ink),
            sheet.page.text(middle - face.width(key) / 2, top + length + 3 + cap, key, face, ink),
        ]
    )


def _sideways(sheet: Sheet, cell: Box, key: str, value: str, share: float) -> Box:
    """The label, under it a bar to the right with its value behind it."""
    face, cap = sheet.face, sheet.face.cap
    most = cell[2] - cell[0] - 2 * MARGIN - face.width(value) - 5
    length = max(3.0, share * most)
    full = max(face.width(key), length + 3 + face.width(value))
    x, y = sheet.spot(cell, full, 2 * cap * _LINE + 4)
    base = y + 2 * cap + cap * (_LINE - 1) + 4
    sheet.page.draw.rectangle((x, base - cap, x + length, base), fill=sheet.look.accent)
    ink = sheet.look.ink
    return union([sheet.page.text(x, y + cap, key, face, ink), sheet.page.text(x + length + 3, base, value, face, ink)])


def _beside_icon(sheet: Sheet, cell: Box, key: str, value: str, icon: Callable[[float, float, float], None]) -> Box:
    """A round mark with the value to its right and the label under both."""
    face, cap = sheet.face, sheet.face.cap
    radius = min(11.0, (cell[2] - cell[0] - 2 * MARGIN - 4 - face.width(value)) / 2)
    full = max(face.width(key), 2 * radius + 4 + face.width(value))
    x, y = sheet.spot(cell, full, 2 * radius + 3 + cap * _LINE)
    icon(x + radius, y + radius, radius)
    ink = sheet.look.ink
    return union(
        [
            sheet.page.text(x + 2 * radius + 4, y + radius + cap / 2, value, face, ink),
            sheet.page.text(x, y + 2 * radius + 3 + cap, key, face, ink),
        ]
    )


def _slice(sheet: Sheet, x: float, y: float, radius: float, share: float) -> None:
    box = (x - radius, y - radius, x + radius, y + radius)
    sheet.page.draw.ellipse(box, fill=sheet.look.soft)
    sheet.page.draw.pieslice(box, -90, -90 + max(12.0, 360 * share), fill=sheet.look.accent)


def _dial(sheet: Sheet, x: float, y: float, radius: float, share: float) -> None:
    sheet.page.draw.arc((x - radius, y - radius, x + radius, y + radius), 135, 405, fill=sheet.look.soft, width=3)
    angle = math.radians(135 + 270 * share)
    tip = (x + radius * 0.85 * math.cos(angle), y + radius * 0.85 * math.sin(angle))
    sheet.page.draw.line((x, y, *tip), fill=sheet.look.ink, width=2)
