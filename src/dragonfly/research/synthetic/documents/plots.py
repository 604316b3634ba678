"""Charts over axes with ticks: bars upright or lying, and lines, with or without their values printed beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from . import tables
from .flow import Flow, Order
from .sheet import Entry, Ink, Run, Sheet
from .typefaces import Typeface, draw_typeface

OPTIONS: dict[str, tuple[str, ...]] = {
    "marks": ("columns", "bars", "line", "columns", "points"),
    "grid": ("lines", "none", "dashes", "bands"),
    "frame": ("axes", "box", "bottom"),
    "values": ("printed", "printed", "inside", "printed"),
}
_INKS = (
    (38, 118, 222),
    (16, 40, 62),
    (214, 90, 60),
    (60, 140, 90),
    (120, 80, 160),
    (90, 90, 90),
    (230, 160, 40),
    (30, 150, 160),
    (190, 40, 70),
)
_UNITS = ("%", "%", "", "", "", " m", " kg", " km", " t")


@dataclass(frozen=True)
class Axes:
    """The plot's area in pixels, and the value at its far end."""

    left: float
    top: float
    right: float
    bottom: float
    largest: float

    def along(self, share: float, lying: bool) -> float:
        """Where a share of the largest value lies on the axis of values."""
        return self.left + (self.right - self.left) * share if lying else self.bottom - (self.bottom - self.top) * share


def draw_plot(order: Order) -> Sheet:
    """A chart of 3 to 10 categories with a title, in colours."""
    rng = order.rng
    lying = order.template["marks"] == "bars"
    width, height = rng.randint(560, 900), rng.randint(420, 720)
    shade = rng.choice((255, 255, 255, 246, 238))
    sheet = Sheet((width, height), "RGB", (shade, shade, shade))
    face = draw_typeface(rng, order.source, ("sans", "sans", "sans", "serif"), rng.uniform(10.5, 13.5))
    ink: Ink = rng.choice(((0, 0, 0), (60, 60, 60), (40, 40, 70)))
    flow = Flow(order, sheet, face, 18, width - 18, 12, 1.1, ink)
    if rng.random() < 0.75:
        flow.print(tables.title(flow), rng.choice(("left", "centre")), face.sized(rng.choice((1.2, 1.4))))
    noun, rows = tables.names(flow, rng.randint(3, 10))
    decimals, top = rng.choice((0, 0, 1)), rng.choice((20, 80, 100, 500, 3000))
    values = _values(flow, len(rows), top, decimals)
    unit = rng.choice(_UNITS if top <= 100 else _UNITS[3:])
    step = _step(max(values) / rng.choice((4, 5, 6)))
    largest = step * math.ceil(max(values) * 1.05 / step)
    left = max(face.width(row) for row in rows) + 26 if lying else face.width(f"{largest:g}{unit}") + 26
    foot = height - face.line * (1.6 if lying else 2.3) - (face.line if rng.random() < 0.4 else 0)
    axes = Axes(min(left, width * 0.4), flow.y + face.cap * 2.2, width - rng.uniform(24, 60), foot, largest)
    _scale(flow, axes, step, unit, lying)
    _marks(flow, axes, list(zip(rows, values, strict=True)), f"{{:.{decimals}f}}{unit}", noun, lying)
    if foot < height - face.line * 3:
        flow.y = height - face.line * 1.2
        flow.print(
            rng.choice(("Source: own survey", "Source: statistics office", "Provisional figures", "All values rounded")),
            "right",
            face.sized(0.85),
        )
    return sheet


def _values(flow: Flow, count: int, top: int, decimals: int) -> list[float]:
    """Distinct values, so that every order of them is one."""
    found: dict[float, None] = {}
    while len(found) < count:
        found[max(round(flow.rng.uniform(0.08, 1) * top, decimals), 10**-decimals)] = None
    return list(found)


def _step(rough: float) -> float:
    """A round distance of ticks."""
    power = 10 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)


def _scale(flow: Flow, axes: Axes, step: float, unit: str, lying: bool) -> None:
    """Ticks with their numbers, and the grid."""
    sheet, rng, style = flow.sheet, flow.rng, flow.order.template["grid"]
    small, pale = flow.face.sized(0.9), (214, 214, 214)
    count = round(axes.largest / step)
    for tick in range(count + 1):
        at = axes.along(tick / count, lying)
        if style == "bands" and tick % 2 and tick < count:
            after = axes.along((tick + 1) / count, lying)
            area = (at, axes.top, after, axes.bottom) if lying else (axes.left, after, axes.right, at)
            sheet.draw.rectangle(area, fill=(238, 238, 240))
        line = ((at, axes.top), (at, axes.bottom)) if lying else ((axes.left, at), (axes.right, at))
        if style == "lines":
            sheet.draw.line(line, fill=pale)
        elif style == "dashes":
            length = (axes.bottom - axes.top) if lying else (axes.right - axes.left)
            for part in range(0, round(length), 9):
                a, b = part / length, min(1.0, (part + 4) / length)
                (x0, y0), (x1, y1) = line
                sheet.draw.line((x0 + (x1 - x0) * a, y0 + (y1 - y0) * a, x0 + (x1 - x0) * b, y0 + (y1 - y0) * b), fill=pale)
        text = f"{tick * step:g}{unit if unit == '%' else ''}"
        if lying:
            sheet.text(at, axes.bottom + small.cap * 1.9, text, small, flow.ink, "centre")
        else:
            sheet.text(axes.left - 7, at + small.cap / 2, text, small, flow.ink, "right")
    frame = flow.order.template["frame"]
    if frame == "box":
        sheet.draw.rectangle((axes.left, axes.top, axes.right, axes.bottom), outline=flow.ink)
    else:
        sheet.draw.line((axes.left, axes.bottom, axes.right, axes.bottom), fill=flow.ink, width=rng.choice((1, 2)))
        if frame == "axes" or lying:
            sheet.draw.line((axes.left, axes.top, axes.left, axes.bottom), fill=flow.ink)


def _marks(flow: Flow, axes: Axes, rows: list[tuple[str, float]], form: str, noun: str, lying: bool) -> None:
    """A bar, or a point of a line, for every row, with its name and its value."""
    sheet, rng, kind = flow.sheet, flow.rng, flow.order.template["marks"]
    room = ((axes.bottom - axes.top) if lying else (axes.right - axes.left)) / len(rows)
    colour, thick, face = rng.choice(_INKS), rng.uniform(0.45, 0.8) * room, flow.face
    names = min(
        (flow.fitted(name, face, axes.left - 16 if lying else room - 5) for name, _ in rows), key=lambda fitted: fitted.cap
    )
    texts = [form.format(value) for _, value in rows]
    digits = min((flow.fitted(text, face, 90 if lying else room - 2) for text in texts), key=lambda fitted: fitted.cap)
    points = []
    many = rng.sample(_INKS, len(rows)) if len(rows) <= len(_INKS) and rng.random() < 0.25 else [colour] * len(rows)
    for at, ((name, value), text, fill) in enumerate(zip(rows, texts, many, strict=True)):
        middle = (axes.top if lying else axes.left) + (at + 0.5) * room
        end = axes.along(value / axes.largest, lying)
        if kind == "columns":
            sheet.draw.rectangle((middle - thick / 2, end, middle + thick / 2, axes.bottom), fill=fill)
        elif kind == "bars":
            sheet.draw.rectangle((axes.left, middle - thick / 2, end, middle + thick / 2), fill=fill)
        points.append((middle, end))
        key = (
            sheet.text(axes.left - 7, middle + names.cap / 2, name, names, flow.ink, "right")
            if lying
            else sheet.text(middle, axes.bottom + names.cap * 1.9, name, names, flow.ink, "centre")
        )
        run = _label(flow, text, digits, (middle, end), axes, lying, sum(fill) < 330)
        shown = text.split()[0]
        sheet.enter(
            Entry(
                "cell",
                name,
                text,
                (key,),
                (run,),
                (name.lower(),),
                "value",
                noun,
                float(shown.rstrip("%")),
                min(names.cap, digits.cap),
            )
        )
    if kind in ("line", "points"):
        if kind == "line":
            sheet.draw.line(points, fill=colour, width=rng.choice((2, 3)))
        for x, y in points:
            sheet.draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=colour)


def _label(flow: Flow, text: str, face: Typeface, end: tuple[float, float], axes: Axes, lying: bool, dark: bool) -> Run:
    """A value at the end of its bar, or inside it where the template says so and it has room."""
    middle, at = end
    inside = flow.order.template["values"] == "inside" and flow.order.template["marks"] in ("columns", "bars") and dark
    if lying:
        inside = inside and at - axes.left > face.width(text) + 12
        over = at + 6 + face.width(text) > flow.sheet.size[0] - 2
        x = at - 6 if inside or over else at + 6
        return flow.sheet.text(
            x,
            middle + face.cap / 2,
            text,
            face,
            (255, 255, 255) if inside or over else flow.ink,
            "right" if inside or over else "left",
        )
    inside = inside and axes.bottom - at > face.cap * 2.4
    base = at + face.cap * 1.6 if inside else at - 8
    return flow.sheet.text(middle, base, text, face, (255, 255, 255) if inside else flow.ink, "centre")
