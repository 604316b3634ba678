"""Values with a mark of their size: bars, points, slices and dials in a cell each, or one whole chart over an axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from dragonfly.vision.layout import Box

from .draw_context import MARGIN, DrawContext, union
from .facts import Fact
from .fields import draw_field
from .fonts import face

_LINE = 1.32  # height of a line of text in cap heights


def draw_chart(context: DrawContext, cell: Box, key: str, value: str, share: float) -> Box:
    """One category of a chart: label, value in digits, and a mark whose length or angle is `share` (0 to 1) of the largest."""
    kind = context.style.arrangement
    if kind == "pie":
        return _beside_icon(context, cell, key, value, lambda x, y, r: _slice(context, x, y, r, share))
    if kind == "sideways":
        return _sideways(context, cell, key, value, share)
    return _upright(context, cell, key, value, share)


def draw_panel(context: DrawContext, cell: Box, key: str, value: str, share: float) -> Box:
    """One instrument of a panel: a dial with its value, or a box with name and value."""
    if context.style.arrangement == "dial":
        return _beside_icon(context, cell, key, value, lambda x, y, r: _dial(context, x, y, r, share))
    return draw_field(context, cell, key, value)


def _upright(context: DrawContext, cell: Box, key: str, value: str, share: float) -> Box:
    """The label at the bottom, above it a bar or a point on a stem, and the value on top."""
    face, cap, draw = context.face, context.face.cap, context.page.draw
    most = cell[3] - cell[1] - 2 * MARGIN - 2 * cap * _LINE - 3
    length = max(3.0, share * most)
    full = max(face.width(key), face.width(value))
    x, y = context.spot(cell, full, 2 * cap * _LINE + length + 3)
    middle, top = x + full / 2, y + cap + 3
    half = context.rng.uniform(7, 12)
    if context.style.arrangement == "point":
        draw.line((middle, top + 3, middle, top + length), fill=context.look.soft, width=2)
        draw.ellipse((middle - 3, top, middle + 3, top + 6), fill=context.look.accent)
    else:
        draw.rectangle((middle - half, top, middle + half, top + length), fill=context.look.accent)
    draw.line((x, top + length, x + full, top + length), fill=context.look.soft)
    ink = context.look.ink
    return union(
        [
            context.page.text(middle - face.width(value) / 2, y + cap, value, face, ink),
            context.page.text(middle - face.width(key) / 2, top + length + 3 + cap, key, face, ink),
        ]
    )


def _sideways(context: DrawContext, cell: Box, key: str, value: str, share: float) -> Box:
    """The label, and under it a horizontal bar with the value at its end."""
    face, cap = context.face, context.face.cap
    most = cell[2] - cell[0] - 2 * MARGIN - face.width(value) - 5
    length = max(3.0, share * most)
    full = max(face.width(key), length + 3 + face.width(value))
    x, y = context.spot(cell, full, 2 * cap * _LINE + 4)
    base = y + 2 * cap + cap * (_LINE - 1) + 4
    context.page.draw.rectangle((x, base - cap, x + length, base), fill=context.look.accent)
    ink = context.look.ink
    return union([context.page.text(x, y + cap, key, face, ink), context.page.text(x + length + 3, base, value, face, ink)])


def _beside_icon(context: DrawContext, cell: Box, key: str, value: str, icon: Callable[[float, float, float], None]) -> Box:
    """A round icon with the value to its right and the label under both."""
    face, cap = context.face, context.face.cap
    radius = min(11.0, (cell[2] - cell[0] - 2 * MARGIN - 4 - face.width(value)) / 2)
    full = max(face.width(key), 2 * radius + 4 + face.width(value))
    x, y = context.spot(cell, full, 2 * radius + 3 + cap * _LINE)
    icon(x + radius, y + radius, radius)
    ink = context.look.ink
    return union(
        [
            context.page.text(x + 2 * radius + 4, y + radius + cap / 2, value, face, ink),
            context.page.text(x, y + 2 * radius + 3 + cap, key, face, ink),
        ]
    )


def _slice(context: DrawContext, x: float, y: float, radius: float, share: float) -> None:
    box = (x - radius, y - radius, x + radius, y + radius)
    context.page.draw.ellipse(box, fill=context.look.soft)
    context.page.draw.pieslice(box, -90, -90 + max(12.0, 360 * share), fill=context.look.accent)


def _dial(context: DrawContext, x: float, y: float, radius: float, share: float) -> None:
    context.page.draw.arc((x - radius, y - radius, x + radius, y + radius), 135, 405, fill=context.look.soft, width=3)
    angle = math.radians(135 + 270 * share)
    tip = (x + radius * 0.85 * math.cos(angle), y + radius * 0.85 * math.sin(angle))
    context.page.draw.line((x, y, *tip), fill=context.look.ink, width=2)


_UNITS = (10, 20, 50, 100, 200, 500, 1000)  # between ticks


def plot_capacity(area: Box, cap: float, widest: float) -> int:
    """The number of categories that fit side by side, with labels of at most `widest` pixels."""
    return int((area[2] - area[0] - 4 * cap) / (widest + 8))


def draw_plot(context: DrawContext, area: Box, facts: Sequence[Fact]) -> list[Fact]:
    """Draw one chart of all facts inside the area; the facts with their boxes, each around bar, value and label."""
    one, cap, draw = context.face, context.face.cap, context.page.draw
    values = [fact.number or 0 for fact in facts]
    left, top, base = area[0] + 4 * cap, area[1] + 2 * cap, area[3] - 2 * cap
    scale = (base - top) / max(values)
    _draw_ticks(context, (left, top, area[2], base), max(values), scale)
    step = (area[2] - left) / len(facts)
    tops = [(left + (number + 0.5) * step, base - max(3.0, value * scale)) for number, value in enumerate(values)]
    if context.style.arrangement == "point":
        draw.line(tops, fill=context.look.soft, width=2)
    drawn = []
    for fact, (x, y) in zip(facts, tops, strict=True):
        half = min(0.3 * step, 1.5 * cap)
        bar = (x - 4, y - 4, x + 4, y + 4) if context.style.arrangement == "point" else (x - half, y, x + half, base)
        (draw.ellipse if context.style.arrangement == "point" else draw.rectangle)(bar, fill=context.look.accent)
        key, ink = context.printed(fact.key), context.look.ink
        value = context.page.text(x - one.width(fact.value) / 2, y - 0.5 * cap - 3, fact.value, one, ink)
        label = context.page.text(x - one.width(key) / 2, base + 1.5 * cap, key, one, ink)
        left_edge, top_edge, right_edge, bottom_edge = union([value, label, bar])
        box = (left_edge - 1, top_edge - 1, right_edge + 1, bottom_edge + 1)
        drawn.append(replace(fact, box=box, detail_px=round(cap, 2)))
    return drawn


def _draw_ticks(context: DrawContext, area: Box, largest: int, scale: float) -> None:
    """Draw the axis at the left, the base line, and a number at every tick."""
    left, top, right, base = area
    draw, small = context.page.draw, face(context.face.name, max(8.0, 0.7 * context.face.cap))
    draw.line([(left, top), (left, base), (right, base)], fill=context.look.ink, width=2)
    unit = next(unit for unit in _UNITS if largest / unit <= 8)
    for tick in range(0, largest + 1, unit):
        y = base - tick * scale
        draw.line((left - 5, y, left, y), fill=context.look.ink)
        context.page.text(left - 8 - small.width(str(tick)), y + small.cap / 2, str(tick), small, context.look.ink)
