"""Invoices: letterhead, customer, particulars, a ruled table of goods, totals and terms, on a page as wide as a letter."""

from __future__ import annotations

from dataclasses import dataclass

from . import content
from .concepts import INVOICE, MONEY
from .flow import Flow, Order, entry
from .sheet import Entry, Run, Sheet
from .typefaces import Typeface, draw_typeface

OPTIONS: dict[str, tuple[str, ...]] = {
    "head": ("left", "right", "band", "centred"),
    "particulars": ("right-block", "left-block", "strip"),
    "table": ("ruled", "grid", "shaded", "plain"),
    "totals": ("row", "boxed", "lined"),
}


@dataclass(frozen=True)
class Good:
    """A line of the invoice: amounts in cents."""

    name: str
    count: int
    each: int


def draw_invoice(order: Order) -> Sheet:
    """A page of 700 to 1000 pixels; every sum on it is right."""
    rng = order.rng
    width = rng.randint(760, 1000)
    face = draw_typeface(
        rng, order.source, rng.choices((("sans",), ("serif",), ("mono",)), (0.65, 0.25, 0.1))[0], rng.uniform(10.5, 14)
    )
    margin = width * rng.uniform(0.05, 0.1)
    sheet = Sheet((width, 2000))
    flow = Flow(order, sheet, face, margin, width - margin, width * rng.uniform(0.04, 0.1), rng.uniform(1.05, 1.35))
    _letterhead(flow)
    flow.gap(rng.uniform(0.6, 1.6))
    _particulars(flow)
    flow.gap(rng.uniform(0.6, 1.4))
    goods = [Good(_named(flow), rng.randint(1, 40), content.price(rng)) for _ in range(rng.randint(2, 9))]
    _table(flow, goods)
    flow.gap(0.5)
    _totals(flow, sum(good.count * good.each for good in goods))
    flow.gap(rng.uniform(0.8, 2.5))
    for line in rng.sample(content.WORDS["invoice farewell"], rng.randint(0, 2)):
        flow.print(line, rng.choice(("left", "centre")), face.sized(0.9))
    if rng.random() < 0.4:
        flow.pair(rng.choice(INVOICE["iban"].printed), content.digits(rng, 10), "iban", INVOICE["iban"], "inline")
    end = max(sheet.bottom, flow.y) + width * rng.uniform(0.04, 0.2)
    sheet.crop(round(max(end, 1.41 * width) if rng.random() < 0.4 else end))
    return sheet


def _named(flow: Flow) -> str:
    text = content.item(flow.rng, flow.order.split)
    return text[0].upper() + text[1:]


def _letterhead(flow: Flow) -> None:
    rng, style, sheet = flow.rng, flow.order.template["head"], flow.sheet
    name = content.shop(rng, flow.order.split)
    large = flow.other_face(rng.uniform(1.5, 2.3), ("sans", "serif"))
    title = rng.choice(("INVOICE", "Invoice", "TAX INVOICE", "Proforma Invoice", "STATEMENT"))
    heading = flow.other_face(rng.uniform(1.6, 2.4), ("sans", "serif"))
    if style == "band":
        top, height = flow.y, large.cap * 2.6
        sheet.draw.rectangle((0, top, sheet.size[0], top + height), fill=rng.choice((40, 70, 110)))
        flow.ink, flow.y = 255, top + (height - large.cap) / 2 - large.cap * 0.25
        run = flow.print(name, "left", flow.fitted(name, large, 0.6 * flow.width))
        sheet.text(
            flow.right, top + (height + heading.cap) / 2, title, flow.fitted(title, heading, 0.3 * flow.width), 255, "right"
        )
        flow.ink, flow.y = 0, top + height + flow.face.cap
    else:
        top = flow.y
        align = {"left": "left", "right": "right", "centred": "centre"}[style]
        run = flow.print(name, align, flow.fitted(name, large, 0.6 * flow.width))
        x = flow.left if style == "right" else flow.right
        if style == "centred":
            flow.print(title, "centre", heading.sized(0.8))
        else:
            sheet.text(
                x,
                top + heading.cap * 1.2,
                title,
                flow.fitted(title, heading, 0.33 * flow.width),
                0,
                "left" if style == "right" else "right",
            )
            flow.y = max(flow.y, top + heading.cap * 2)
    sheet.enter(Entry("company", "", name, (), (run,), ("name of the company",), "", "company", None, large.cap))
    align = {"right": "right", "centred": "centre"}.get(style, "left")
    for line in content.address(rng):
        flow.print(line, align)


def _particulars(flow: Flow) -> None:
    """The customer on one side, numbers and dates on the other, or in a strip under their keys."""
    rng, style, sheet = flow.rng, flow.order.template["particulars"], flow.sheet
    concepts = [
        "number",
        "date",
        *rng.sample(("due", "customer", "terms", "po", "rep", "reference", "order", "taxid", "phone", "page"), rng.randint(2, 4)),
    ]
    rng.shuffle(concepts)
    top, left, right = flow.y, flow.left, flow.right
    split = left + flow.width * (0.55 if style != "left-block" else 0.48)
    customer = [
        rng.choice(("Bill to:", "Sold to", "Customer:", "Invoice to")),
        content.person(rng, flow.order.split),
        *content.address(rng),
    ]
    if style == "left-block":
        flow.left = split + 20
    else:
        flow.right = split - 20
    for line in customer:
        flow.print(line)
    bottom, flow.left, flow.right = flow.y, left, right
    if style == "strip":
        flow.y = bottom + flow.face.cap
        _strip(flow, concepts[:4])
        return
    flow.y = top
    flow.left, flow.right = (left, split - 30) if style == "left-block" else (split, right)
    how = rng.choice(("row", "tab", "right"))
    for concept in concepts:
        flow.pair(rng.choice(INVOICE[concept].printed), _value(flow, concept), concept, INVOICE[concept], how)
    flow.left, flow.right, flow.y = left, right, max(bottom, flow.y)
    sheet.bottom = max(sheet.bottom, flow.y)


def _value(flow: Flow, concept: str) -> str:
    make = INVOICE[concept].make
    assert make is not None
    return make(flow.rng, flow.order.split, flow.order.dates)


def _strip(flow: Flow, concepts: list[str]) -> None:
    """Keys in a line of boxes, each value below its key."""
    width, face, sheet = flow.width / len(concepts), flow.face, flow.sheet
    small, top = face.sized(0.85), flow.y
    base, below = flow.step(), flow.step()
    for at, concept in enumerate(concepts):
        x = flow.left + at * width
        key, value = flow.rng.choice(INVOICE[concept].printed), _value(flow, concept)
        key_run = sheet.text(x + 6, base, key, flow.fitted(key, small, width - 10))
        value_run = sheet.text(x + 6, below, value, flow.fitted(value, face, width - 10))
        sheet.draw.rectangle((x, top - 3, x + width, flow.y + 2), outline=0)
        sheet.enter(entry(key, value, key_run, value_run, concept, INVOICE[concept], small.cap))
    flow.y += face.cap * 0.5


def _table(flow: Flow, goods: list[Good]) -> None:
    """Description, quantity, unit price and amount, with rules as the template says."""
    rng, sheet, face, style = flow.rng, flow.sheet, flow.face, flow.order.template["table"]
    ends = [flow.left + share * flow.width for share in (0.56, 0.68, 0.84, 1.0)]
    titles = rng.choice(
        (
            ("Description", "Qty", "Unit Price", "Amount"),
            ("Item", "Quantity", "Rate", "Line Total"),
            ("Article", "Units", "Price", "Total"),
        )
    )
    pad, top = 6.0, flow.y
    lines: list[float] = [flow.y]
    base = flow.step()
    if style in ("shaded", "grid"):
        sheet.draw.rectangle((flow.left, top, flow.right, flow.y), fill=rng.choice((200, 215, 230)))
    for at, (title, end) in enumerate(zip(titles, ends, strict=True)):
        sheet.text(
            flow.left + pad if at == 0 else end - pad,
            base,
            title,
            flow.fitted(title, face, 0.15 * flow.width),
            0,
            "left" if at == 0 else "right",
        )
    lines.append(flow.y)
    for number, good in enumerate(goods):
        row_top, base = flow.y, flow.step()
        if style == "shaded" and number % 2:
            sheet.draw.rectangle((flow.left, row_top, flow.right, flow.y), fill=238)
        name = sheet.text(flow.left + pad, base, good.name, flow.fitted(good.name, face, 0.44 * flow.width))
        _cells(flow, good, name, base, [end - pad for end in ends[1:]])
        lines.append(flow.y)
    if style in ("ruled", "grid"):
        for y in lines if style == "grid" else (lines[0], lines[1], lines[-1]):
            sheet.draw.line((flow.left, y, flow.right, y), fill=rng.choice((0, 90)))
    if style == "grid":
        for x in (flow.left, *ends):
            sheet.draw.line((x, lines[0], x, lines[-1]), fill=60)


def _cells(flow: Flow, good: Good, name: Run, base: float, ends: list[float]) -> None:
    style, face = flow.order.amounts, flow.face
    values = (
        ("quantity", str(good.count), good.count),
        ("unit price", content.money(good.each, style), good.each),
        ("amount", content.money(good.count * good.each, style), good.count * good.each),
    )
    for (col, value, number), end in zip(values, ends, strict=True):
        run = flow.sheet.text(end, base, value, flow.fitted(value, face, 0.14 * flow.width), 0, "right")
        flow.sheet.enter(Entry("cell", good.name, value, (name,), (run,), (good.name.lower(),), col, "item", number, face.cap))


def _totals(flow: Flow, sold: int) -> None:
    rng, left, style = flow.rng, flow.left, flow.order.template["totals"]
    flow.left = flow.right - flow.width * rng.uniform(0.36, 0.48)
    top = flow.y
    amounts = [("subtotal", sold)]
    for concept, chance, amount in (
        *(("discount", 0.3, -sold // 20), ("tax", 0.8, sold * rng.choice((5, 7, 10, 19, 20, 25)) // 100)),
        *(("delivery", 0.35, rng.randint(5, 60) * 100), ("deposit", 0.15, -sold // 5)),
    ):
        if rng.random() < chance:
            amounts.append((concept, amount))
    amounts.append(("total", sum(amount for _, amount in amounts)))
    sign = rng.choice(("", "", "$", "EUR ", "USD ", "GBP "))
    for concept, amount in amounts:
        face: Typeface = flow.face if concept != "total" else flow.face.sized(rng.choice((1.0, 1.2)))
        if style == "lined" and concept == "total":
            flow.rule("line")
        value = (sign if concept == "total" else "") + content.money(amount, flow.order.amounts)
        flow.pair(rng.choice(MONEY[concept].printed), value, concept, MONEY[concept], "row", face, number=amount)
    if style == "boxed":
        flow.sheet.draw.rectangle((flow.left - 8, top - 3, flow.right + 4, flow.y + 2), outline=0)
    flow.left = left
