"""Panels of instruments: displays, dials and lamps on a dark or steel front."""

from __future__ import annotations

import math

from .concepts import PANEL
from .flow import Flow, Order, entry
from .sheet import Ink, Run, Sheet
from .typefaces import Typeface, draw_typeface

OPTIONS: dict[str, tuple[str, ...]] = {
    "front": ("night", "steel", "ivory", "green"),
    "instruments": ("displays", "dials", "mixed", "list"),
    "screws": ("round", "none", "frame"),
}
_FRONTS: dict[str, tuple[Ink, Ink, Ink, Ink]] = {  # front, letters, display, digits
    "night": ((34, 38, 46), (225, 228, 230), (10, 12, 14), (120, 235, 140)),
    "steel": ((172, 178, 184), (20, 22, 26), (28, 34, 38), (250, 190, 70)),
    "ivory": ((232, 226, 208), (35, 32, 28), (196, 208, 188), (20, 26, 20)),
    "green": ((62, 88, 76), (235, 240, 232), (18, 28, 22), (245, 90, 70)),
}


def draw_panel(order: Order) -> Sheet:
    """A panel of 4 to 12 instruments in rows."""
    rng = order.rng
    front, letters, display, digits = _FRONTS[order.template["front"]]
    columns, rows = rng.choice(((2, 2), (3, 2), (4, 2), (3, 3), (2, 3), (4, 3), (2, 4)))
    cell_w, cell_h = rng.randint(170, 230), rng.randint(120, 200)
    edge = rng.randint(16, 36)
    sheet = Sheet((columns * cell_w + 2 * edge, rows * cell_h + 2 * edge + 26), "RGB", front)
    face = draw_typeface(rng, order.source, ("sans", "mono"), rng.uniform(10.5, 14))
    inner = draw_typeface(rng, order.source, ("mono", "mono", "sans"), rng.uniform(18, 28), rough=0.3)
    flow = Flow(order, sheet, face, edge, sheet.size[0] - edge, edge, 1.1, letters)
    _front(flow)
    names = rng.sample(sorted(PANEL), min(columns * rows, len(PANEL)))
    for at, name in enumerate(names):
        if rng.random() < 0.08:
            continue
        x, y = edge + at % columns * cell_w, edge + 20 + at // columns * cell_h
        _instrument(flow, name, (x, y, cell_w, cell_h), inner, display, digits)
    return sheet


def _front(flow: Flow) -> None:
    sheet, rng, style = flow.sheet, flow.rng, flow.order.template["screws"]
    width, height = sheet.size
    if rng.random() < 0.7:
        text = rng.choice(("UNIT ", "PANEL ", "STATION ", "PUMP ", "ENGINE ", "LINE ")) + str(rng.randint(1, 40))
        sheet.text(width / 2, flow.y + flow.face.cap, text, flow.face, flow.ink, "centre")
    if style == "round":
        for x, y in ((9, 9), (width - 10, 9), (9, height - 10), (width - 10, height - 10)):
            sheet.draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=(120, 122, 124), outline=(60, 60, 60))
            sheet.draw.line((x - 3, y - 3, x + 3, y + 3), fill=(50, 50, 50))
    elif style == "frame":
        sheet.draw.rectangle((4, 4, width - 5, height - 5), outline=flow.ink, width=2)


def _instrument(
    flow: Flow, name: str, place: tuple[float, float, float, float], inner: Typeface, display: Ink, digits: Ink
) -> None:
    """One display or dial with its name; the reading is always printed in figures."""
    rng, sheet, meaning = flow.rng, flow.sheet, PANEL[name]
    x, y, width, height = place
    key = rng.choice(meaning.printed)
    assert meaning.make is not None
    value = meaning.make(rng, flow.order.split, 0)
    style = flow.order.template["instruments"]
    number = float(value.rstrip("%")) if value.rstrip("%").replace(".", "").isdigit() else None
    small = flow.fitted(key, flow.face, width - 12)
    middle = x + width / 2
    face = flow.fitted(value, inner, width * 0.62)
    if style == "list":
        base = y + height * 0.5
        small = flow.fitted(key, flow.face, width * 0.5)
        face = flow.fitted(value, inner.sized(0.8), width * 0.38)
        key_run = sheet.text(x + 6, base, key, small, flow.ink)
        value_run = _display(flow, value, face, (x + width - 8 - face.width(value) / 2, base), display, digits)
    elif number is not None and (style == "dials" or (style == "mixed" and rng.random() < 0.5)):
        radius = min(width, height - small.line * 1.6) * 0.42
        top = y + radius + 4
        _dial(flow, (middle, top), radius, number)
        face = flow.fitted(value, inner.sized(0.6), radius * 1.1)
        value_run = sheet.text(middle, top + radius * 0.72, value, face, flow.ink, "centre")
        key_run = sheet.text(middle, top + radius + small.cap * 1.7, key, small, flow.ink, "centre")
    else:
        base = y + height * 0.5
        value_run = _display(flow, value, face, (middle, base), display, digits)
        above = rng.random() < 0.5
        key_run = sheet.text(
            middle, base - face.cap * 1.9 if above else base + face.cap + small.cap * 1.3, key, small, flow.ink, "centre"
        )
    sheet.enter(entry(key, value, key_run, value_run, name, meaning, min(small.cap, face.cap), number))


def _display(flow: Flow, value: str, face: Typeface, place: tuple[float, float], display: Ink, digits: Ink) -> Run:
    """Figures on a lit field, centred at a place on their baseline."""
    x, base = place
    half = face.width(value) / 2 + face.cap * 0.5
    flow.sheet.draw.rounded_rectangle(
        (x - half, base - face.cap * 1.45, x + half, base + face.cap * 0.45), radius=4, fill=display, outline=(90, 90, 90)
    )
    return flow.sheet.text(x, base, value, face, digits, "centre")


def _dial(flow: Flow, centre: tuple[float, float], radius: float, number: float) -> None:
    """A round scale with a hand that points at its reading."""
    x, y = centre
    draw, top = flow.sheet.draw, 10 ** math.ceil(math.log10(max(number, 1) * 1.05))
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=flow.ink, width=2)
    for tick in range(11):
        angle = math.radians(150 + 240 * tick / 10)
        near, far = radius * (0.8 if tick % 5 else 0.72), radius * 0.94
        draw.line(
            (x + near * math.cos(angle), y + near * math.sin(angle), x + far * math.cos(angle), y + far * math.sin(angle)),
            fill=flow.ink,
        )
    angle = math.radians(150 + 240 * number / top)
    draw.line((x, y, x + radius * 0.66 * math.cos(angle), y + radius * 0.66 * math.sin(angle)), fill=(210, 50, 40), width=3)
    draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=flow.ink)
