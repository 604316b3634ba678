"""Forms that were filled in, and labels of products: fields with their values beside, under or inside boxes."""

from __future__ import annotations

from collections.abc import Mapping

from . import content
from .concepts import FORM, LABEL, Concept
from .flow import Flow, Order, entry
from .sheet import Entry, Ink, Sheet
from .typefaces import Typeface, draw_typeface

FORM_OPTIONS: dict[str, tuple[str, ...]] = {
    "fields": ("boxed", "underlined", "above", "table", "dotted"),
    "columns": ("one", "two", "mixed"),
    "head": ("centred", "left", "band"),
}
LABEL_OPTIONS: dict[str, tuple[str, ...]] = {
    "frame": ("line", "double", "rounded", "none"),
    "fields": ("row", "tab", "inline", "lines"),
    "head": ("bar", "plain", "below"),
}


def _made(flow: Flow, concepts: Mapping[str, Concept], name: str) -> str:
    make = concepts[name].make
    assert make is not None
    return make(flow.rng, flow.order.split, flow.order.dates)


def draw_form(order: Order) -> Sheet:
    """A page of 640 to 980 pixels with 5 to 13 fields, some of them left empty."""
    rng = order.rng
    width = rng.randint(640, 980)
    face = draw_typeface(rng, order.source, rng.choices((("sans",), ("serif",)), (0.75, 0.25))[0], rng.uniform(10.5, 15))
    filled = draw_typeface(rng, order.source, ("mono", "mono", "sans", "serif"), face.cap * rng.uniform(1.0, 1.3), rough=0.5)
    margin = width * rng.uniform(0.05, 0.1)
    sheet = Sheet((width, 2000))
    flow = Flow(order, sheet, face, margin, width - margin, width * rng.uniform(0.04, 0.1), rng.uniform(1.1, 1.4))
    _form_head(flow)
    names = rng.sample(sorted(FORM), rng.randint(5, 13))
    while names:
        columns = {"one": 1, "two": 2, "mixed": rng.choice((1, 2, 3))}[order.template["columns"]]
        _form_row(flow, [names.pop() for _ in range(min(columns, len(names)))], filled)
    flow.gap(rng.uniform(0.3, 1.5))
    for note in rng.sample(content.WORDS["form note"], rng.randint(1, 3)):
        flow.print(note, "left", face.sized(0.85))
    if rng.random() < 0.5:
        _signature(flow)
    sheet.crop(round(max(sheet.bottom, flow.y) + width * rng.uniform(0.03, 0.12)))
    return sheet


def _form_head(flow: Flow) -> None:
    rng, style, title = flow.rng, flow.order.template["head"], flow.rng.choice(content.WORDS["form title"])
    large = flow.other_face(rng.uniform(1.4, 2.0), ("sans", "serif"))
    if style == "band":
        height = large.cap * 2.2
        flow.sheet.draw.rectangle((flow.left, flow.y, flow.right, flow.y + height), fill=rng.choice((30, 60, 200, 220)))
        dark = flow.sheet.image.getpixel((round(flow.left + 2), round(flow.y + 2))) < 128  # pyright: ignore
        face = flow.fitted(title, large, flow.width - 24)
        flow.sheet.text(flow.left + 12, flow.y + (height + face.cap) / 2, title, face, 255 if dark else 0)
        flow.y += height + flow.face.cap
    else:
        flow.print(title, "centre" if style == "centred" else "left", large)
        if rng.random() < 0.5:
            flow.print(content.shop(rng, flow.order.split), "centre" if style == "centred" else "left")
        flow.gap(0.5)


def _form_row(flow: Flow, names: list[str], filled: Typeface) -> None:
    """Fields side by side."""
    left, right, top = flow.left, flow.right, flow.y
    width, lowest = (right - left) / len(names), flow.y
    for at, name in enumerate(names):
        flow.left, flow.right, flow.y = left + at * width, left + (at + 1) * width - 10, top
        _field(flow, name, filled)
        lowest = max(lowest, flow.y)
    flow.left, flow.right, flow.y = left, right, lowest


def _field(flow: Flow, name: str, filled: Typeface) -> None:
    """A key with its value, or with none."""
    rng, sheet, style = flow.rng, flow.sheet, flow.order.template["fields"]
    printed = FORM[name].printed
    key, value = (rng.choice(printed) if flow.width > 300 else min(printed, key=len)), _made(flow, FORM, name)
    tall = filled.cap * 2.1
    face = flow.fitted(key + ":", flow.face, (0.95 if style in ("above", "boxed") else 0.42) * flow.width)
    if style in ("above", "boxed"):
        small = face.sized(0.85)
        top = flow.y
        key_run = sheet.text(flow.left + 5, top + small.cap * 1.5, key, small)
        base = top + small.cap * 1.9 + filled.cap * 1.3
        if style == "boxed":
            sheet.draw.rectangle((flow.left, top, flow.right, base + filled.cap * 0.6), outline=60)
        else:
            sheet.draw.rectangle((flow.left + 3, top + small.cap * 1.9, flow.right, base + filled.cap * 0.5), outline=90)
        x, flow.y = flow.left + 8, base + filled.cap * (0.6 if style == "boxed" else 1.3)
    else:
        top, base = flow.y, flow.y + filled.cap * 1.5
        shown = key + rng.choice((":", ":", ""))
        key_run = sheet.part(sheet.text(flow.left, base, shown, face), shown, key)
        start = max(flow.left + face.width(shown) + face.cap, flow.left + (0.45 * flow.width if style == "table" else 0))
        if style == "table":
            sheet.draw.rectangle((flow.left - 4, top, flow.right, top + tall), outline=90)
        elif style == "dotted":
            for at in range(round(start), round(flow.right), 5):
                sheet.draw.point((at, base + 2), fill=0)
        else:
            sheet.draw.line((start, base + 3, flow.right, base + 3), fill=40)
        x, flow.y = start + 4, top + tall
    if rng.random() < 0.1:
        sheet.bottom = max(sheet.bottom, flow.y)
        return
    face_in = flow.fitted(value, filled, flow.right - x - 4)
    value_run = sheet.text(x, base, value, face_in)
    number = float(value) if value.isdigit() and name in ("height", "weight", "pulse") else None
    sheet.enter(entry(key, value, key_run, value_run, name, FORM[name], min(face_in.cap, face.cap), number))


def _signature(flow: Flow) -> None:
    """A line with a scribble on it."""
    rng, flow.y = flow.rng, flow.y + flow.face.cap * 3
    x, points = flow.left + rng.uniform(0, 0.2) * flow.width, []
    for _ in range(rng.randint(8, 20)):
        points.append((x, flow.y - rng.uniform(-4, flow.face.cap * 2.2)))
        x += rng.uniform(-4, 18)
    flow.sheet.draw.line(points, fill=rng.randint(0, 70), width=2, joint="curve")
    flow.sheet.draw.line((flow.left, flow.y, flow.left + 0.45 * flow.width, flow.y), fill=0)
    flow.print("Signature", "left", flow.face.sized(0.85))


def draw_label(order: Order) -> Sheet:
    """A label of 420 to 760 pixels in colour or grey, with 4 to 9 fields."""
    rng = order.rng
    width = rng.randint(420, 760)
    shade = rng.randint(205, 255)
    paper: Ink = rng.choice(
        ((255, 255, 255), (shade, shade, shade), (250, 240, 205), (205, 225, 240), (235, 215, 190), (225, 240, 215))
    )
    sheet = Sheet((width, 1600), "RGB", paper)
    ink: Ink = rng.choice(((0, 0, 0), (20, 20, 60), (60, 10, 10), (10, 45, 20)))
    face = draw_typeface(rng, order.source, ("sans", "sans", "mono", "serif"), rng.uniform(11, 17), rough=0.2)
    margin = width * rng.uniform(0.06, 0.1)
    flow = Flow(order, sheet, face, margin, width - margin, margin, rng.uniform(1.0, 1.4), ink)
    _label_head(flow, paper)
    for name in rng.sample(sorted(LABEL), rng.randint(4, 9)):
        how = order.template["fields"]
        flow.pair(rng.choice(LABEL[name].printed), _made(flow, LABEL, name), name, LABEL[name], "row" if how == "lines" else how)
        if how == "lines":
            flow.sheet.draw.line((flow.left, flow.y - 2, flow.right, flow.y - 2), fill=ink)
            flow.y += 4
    if rng.random() < 0.5:
        flow.gap(0.5)
        flow.barcode(face.cap * rng.uniform(2, 4))
    sheet.crop(round(max(sheet.bottom, flow.y) + margin))
    frame, edge = order.template["frame"], (5, 5, width - 6, sheet.size[1] - 6)
    if frame == "rounded":
        sheet.draw.rounded_rectangle(edge, radius=18, outline=ink, width=3)
    elif frame != "none":
        sheet.draw.rectangle(edge, outline=ink, width=2)
        if frame == "double":
            sheet.draw.rectangle((10, 10, width - 11, sheet.size[1] - 11), outline=ink)
    return sheet


def _label_head(flow: Flow, paper: Ink) -> None:
    rng, style = flow.rng, flow.order.template["head"]
    text = content.item(rng, flow.order.split).title()
    maker = content.shop(rng, flow.order.split)
    large = flow.other_face(rng.uniform(1.5, 2.2), ("sans", "serif"))
    if style == "bar":
        height, face = large.cap * 2.2, flow.fitted(text, large, flow.width - 16)
        flow.sheet.draw.rectangle((0, flow.y - 4, flow.sheet.size[0], flow.y + height), fill=flow.ink)
        flow.sheet.text(flow.left + 8, flow.y + (height + face.cap) / 2 - 2, text, face, paper)
        flow.y += height + flow.face.cap
    else:
        flow.print(text, "centre" if style == "below" else "left", large)
    if rng.random() < 0.7:
        run = flow.print(maker, "left")
        flow.sheet.enter(Entry("company", "", maker, (), (run,), ("name of the company",), "", "company", None, flow.face.cap))
    flow.gap(0.4)
