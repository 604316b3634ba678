"""A whole chart on a free page: bars or a line over one axis with small ticks, every value printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .draw_context import Sheet
from .facts import Fact
from .fonts import face
from .page_record import Box, union

_UNITS = (10, 20, 50, 100, 200, 500, 1000)  # between ticks


def plot_capacity(area: Box, cap: float, widest: float) -> int:
    """How many categories fit beside each other when labels are at most `widest` pixels wide."""
    return int((area[2] - area[0] - 4 * cap) / (widest + 8))


def draw_plot(sheet: Sheet, area: Box, facts: Sequence[Fact]) -> list[Fact]:
    """Draw the facts over an axis inside the area; they come back with their boxes, which hold bar, value and label."""
    one, cap, draw = sheet.face, sheet.face.cap, sheet.page.draw
    values = [fact.number or 0 for fact in facts]
    left, top, base = area[0] + 4 * cap, area[1] + 2 * cap, area[3] - 2 * cap
    scale = (base - top) / max(values)
    _draw_ticks(sheet, (left, top, area[2], base), max(values), scale)
    step = (area[2] - left) / len(facts)
    tops = [(left + (number + 0.5) * step, base - max(3.0, value * scale)) for number, value in enumerate(values)]
    if sheet.style.arrangement == "point":
        draw.line(tops, fill=sheet.look.soft, width=2)
    drawn = []
    for fact, (x, y) in zip(facts, tops, strict=True):
        half = min(0.3 * step, 1.5 * cap)
        bar = (x - 4, y - 4, x + 4, y + 4) if sheet.style.arrangement == "point" else (x - half, y, x + half, base)
        (draw.ellipse if sheet.style.arrangement == "point" else draw.rectangle)(bar, fill=sheet.look.accent)
        key, ink = sheet.printed(fact.key), sheet.look.ink
        said = sheet.page.text(x - one.width(fact.value) / 2, y - 0.5 * cap - 3, fact.value, one, ink)
        label = sheet.page.text(x - one.width(key) / 2, base + 1.5 * cap, key, one, ink)
        left_edge, top_edge, right_edge, bottom_edge = union([said, label, bar])
        box = (left_edge - 1, top_edge - 1, right_edge + 1, bottom_edge + 1)
        drawn.append(replace(fact, box=box, detail_px=round(cap, 2)))
    return drawn


def _draw_ticks(sheet: Sheet, area: Box, largest: int, scale: float) -> None:
    """The axis at the left, the base line, and a small number at every tick."""
    left, top, right, base = area
    draw, small = sheet.page.draw, face(sheet.face.name, max(8.0, 0.7 * sheet.face.cap))
    draw.line([(left, top), (left, base), (right, base)], fill=sheet.look.ink, width=2)
    unit = next(unit for unit in _UNITS if largest / unit <= 8)
    for tick in range(0, largest + 1, unit):
        y = base - tick * scale
        draw.line((left - 5, y, left, y), fill=sheet.look.ink)
        sheet.page.text(left - 8 - small.width(str(tick)), y + small.cap / 2, str(tick), small, sheet.look.ink)
