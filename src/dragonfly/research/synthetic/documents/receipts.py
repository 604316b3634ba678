"""Receipts: header, address, information, a table of items, totals among distractors, payment, a tax summary and a farewell."""

from __future__ import annotations

from dataclasses import dataclass

from . import content
from .concepts import INFO, MONEY
from .flow import Flow, Order, entry
from .sheet import Entry, Run, Sheet
from .typefaces import Typeface, draw_typeface

OPTIONS: dict[str, tuple[str, ...]] = {
    "header": ("centred", "left", "logo"),
    "info": ("inline", "tab", "columns", "row"),
    "items": ("one-line", "two-lines", "quantity-first", "code-first"),
    "totals": ("row", "right", "indented", "boxed"),
    "rules": ("line", "-", "=", "none", "*"),
}
_COLUMNS = {
    "qty": ("Qty", "QTY", "Qnty", "No."),
    "price": ("Price", "U.Price", "PRICE", "Unit Price", "S/Price"),
    "amount": ("Amount", "AMT", "Total", "Amount", "AMOUNT"),
}


@dataclass(frozen=True)
class Bought:
    """A line of the receipt: amounts in cents."""

    name: str
    count: int
    each: int

    @property
    def amount(self) -> int:
        return self.count * self.each


def draw_receipt(order: Order) -> Sheet:
    """A tall page; every sum on it is right."""
    rng = order.rng
    cap = rng.triangular(11, 21, 14)
    face = draw_typeface(
        rng, order.source, rng.choices((("mono",), ("sans",), ("serif",)), (0.55, 0.37, 0.08))[0], cap, rough=0.5
    )
    if rng.random() < 0.1:
        face = face.tall(rng.uniform(1.3, 1.8))
    width = round(min(1000, max(400, face.width("0") * rng.randint(32, 46) * rng.uniform(1.08, 1.35))))
    margin = width * rng.uniform(0.04, 0.1)
    sheet = Sheet((width, 3000))
    flow = Flow(order, sheet, face, margin, width - margin, rng.uniform(0.02, 0.12) * width, rng.uniform(0.95, 1.35))
    rule = order.template["rules"]
    _header(flow)
    flow.gap(rng.uniform(0.1, 0.7))
    if rng.random() < 0.7:
        flow.print(
            rng.choice(content.WORDS["receipt title"]),
            rng.choice(("centre", "centre", "left")),
            face.sized(rng.choice((1.0, 1.0, 1.2))),
        )
    flow.rule(rule)
    _information(flow)
    flow.rule(rule)
    bought = [Bought(_cased(flow, content.item(rng, order.split)), _count(flow), content.price(rng)) for _ in range(_lines(flow))]
    _items(flow, bought)
    flow.rule(rule)
    due = _totals(flow, bought)
    _payment(flow, due)
    if rng.random() < 0.5:
        _summary(flow, sum(line.amount for line in bought))
    _farewell(flow)
    sheet.crop(min(3000, round(max(sheet.bottom, flow.y) + rng.uniform(0.02, 0.12) * width)))
    return sheet


def _cased(flow: Flow, text: str) -> str:
    """Item names of one receipt are all in capitals, or all in one other case."""
    return text.upper() if flow.order.dates % 2 else text[0].upper() + text[1:]


def _count(flow: Flow) -> int:
    return 1 if flow.rng.random() < 0.5 else flow.rng.randint(2, 12)


def _lines(flow: Flow) -> int:
    return flow.rng.choice((1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 10))


def _header(flow: Flow) -> None:
    rng, style = flow.rng, flow.order.template["header"]
    align = "left" if style == "left" else "centre"
    name = content.shop(rng, flow.order.split)
    name = name.upper() if rng.random() < 0.7 else name
    large = rng.choices(
        (flow.other_face(rng.uniform(1.15, 1.8)), flow.face.sized(rng.choice((1.0, 1.2, 1.4))), flow.face.tall()),
        (0.5, 0.35, 0.15),
    )[0]
    if rng.random() < 0.35:  # across the paper
        large = large.sized(min(2.0, max(1.0, rng.uniform(0.6, 1.0) * flow.width / large.width(name))))
    if rng.random() < 0.4:
        _above(flow)
    if style == "logo":
        _logo(flow, name.split()[0])
    run = flow.print(name, align, large)
    flow.sheet.enter(Entry("company", "", name, (), (run,), ("name of the shop",), "", "company", None, large.cap))
    if rng.random() < 0.4:
        flow.print(f"({content.digits(rng, 6)}-{rng.choice(content.LETTERS)})", align)
    for line in content.address(rng):
        flow.print(line.upper() if rng.random() < 0.5 else line, align)
    for concept in ("phone", "fax", "taxid"):
        if rng.random() < (0.7, 0.25, 0.3)[("phone", "fax", "taxid").index(concept)]:
            _line(flow, concept, align)


def _above(flow: Flow) -> None:
    """What stands above the name of the shop: an emblem, a word about the copy, or whose receipt it is, put there later."""
    rng = flow.rng
    if rng.random() < 0.35:
        size = flow.face.cap * rng.uniform(2, 6)
        x = flow.left + (flow.width - size) * rng.choice((0.0, 0.5, 0.5, rng.random()))
        shape = rng.choice((flow.sheet.draw.ellipse, flow.sheet.draw.rectangle))
        shape((x, flow.y, x + size, flow.y + size), outline=flow.ink, fill=rng.choice((None, flow.ink)), width=rng.randint(1, 6))
        flow.y += size + flow.face.cap
    if rng.random() < 0.35:
        flow.print(rng.choice(content.WORDS["receipt head"]), rng.choice(("left", "centre", "right")))
    if rng.random() < 0.5:
        owner = content.person(rng, flow.order.split).lower()
        flow.print(owner, rng.choice(("left", "centre", "right")), flow.other_face(rng.uniform(0.9, 1.6)))
    flow.gap(rng.choice((0.0, 0.5, 2.0)))


def _logo(flow: Flow, word: str) -> None:
    """A dark plate that says a word."""
    rng = flow.rng
    height, middle = flow.face.cap * rng.uniform(3, 5), (flow.left + flow.right) / 2
    half = flow.width * rng.uniform(0.15, 0.35)
    flow.sheet.draw.rounded_rectangle(
        (middle - half, flow.y, middle + half, flow.y + height), radius=rng.choice((0, 6, 20)), fill=flow.ink
    )
    face = flow.fitted(word, flow.other_face(2.0, ("sans", "serif")), half * 1.8)
    flow.sheet.text(middle, flow.y + height / 2 + face.cap / 2, word, face, 255, "centre")
    flow.y += height + flow.face.cap


def _line(flow: Flow, concept: str, align: str) -> None:
    """Key and value as one aligned line of text."""
    meaning = INFO[concept]
    key, value = flow.rng.choice(meaning.printed), _value(flow, concept)
    line = f"{key}{flow.rng.choice((':', ' :', '.:', ''))} {value}"
    run = flow.print(line, align)
    value_run = (run[1] - len(value.replace(" ", "")), run[1])
    flow.sheet.enter(entry(key, value, flow.sheet.part(run, line, key), value_run, concept, meaning, flow.face.cap))


def _value(flow: Flow, concept: str) -> str:
    make = INFO[concept].make
    assert make is not None
    return make(flow.rng, flow.order.split, flow.order.dates)


def _information(flow: Flow) -> None:
    rng, style = flow.rng, flow.order.template["info"]
    concepts = [
        "date",
        *rng.sample(
            ("number", "table", "cashier", "register", "store", "member", "guests", "order", "reference"), rng.randint(1, 5)
        ),
    ]
    if rng.random() < 0.75:
        concepts.insert(rng.randint(0, 1), "time")
    if rng.random() < 0.5:
        rng.shuffle(concepts)
    if style == "columns":
        _columns(flow, concepts)
        return
    for concept in concepts:
        flow.pair(rng.choice(INFO[concept].printed), _value(flow, concept), concept, INFO[concept], style)


def _columns(flow: Flow, concepts: list[str]) -> None:
    """Two pairs on a line, each in its half."""
    left, right, middle = flow.left, flow.right, flow.left + flow.width * flow.rng.uniform(0.48, 0.56)
    for first in range(0, len(concepts), 2):
        top = flow.y
        for concept, (flow.left, flow.right) in zip(
            concepts[first : first + 2], ((left, middle - 8), (middle, right)), strict=False
        ):
            flow.y = top
            flow.pair(flow.rng.choice(INFO[concept].printed), _value(flow, concept), concept, INFO[concept], "inline")
    flow.left, flow.right = left, right


def _items(flow: Flow, bought: list[Bought]) -> None:
    rng, style, face = flow.rng, flow.order.template["items"], flow.face
    ends = {"qty": flow.left + 0.58 * flow.width, "price": flow.left + 0.79 * flow.width, "amount": flow.right}
    if style == "two-lines":
        ends["qty"] = flow.left + 0.3 * flow.width
    if rng.random() < 0.75:
        base = flow.step()
        first = rng.choice(("Item", "Description", "ITEM", "DESCRIPTION", "Particulars"))
        flow.sheet.text(flow.left if style != "quantity-first" else flow.left + 0.12 * flow.width, base, first, face)
        for name, end in ends.items():
            if style in ("quantity-first", "code-first") and name != "amount":
                continue
            if not (style == "two-lines" and name == "qty"):
                flow.sheet.text(
                    end, base, rng.choice(_COLUMNS[name]), flow.fitted("Unit Price", face, 0.19 * flow.width), align="right"
                )
        flow.rule(rng.choice((flow.order.template["rules"], "none")))
    for line in bought:
        _item(flow, line, style, ends)


def _item(flow: Flow, line: Bought, style: str, ends: dict[str, float]) -> None:
    face, sheet, left, style_of = flow.face, flow.sheet, flow.left, flow.order.amounts
    amount, each = content.money(line.amount, style_of), content.money(line.each, style_of)
    runs: dict[str, tuple[str, Run]] = {}
    if style == "two-lines":
        name = flow.print(line.name)
        base = flow.step()
        count = f"{line.count}"
        shown = f"{count} x {each}" if flow.order.dates < 4 else f"{count} @ {each}"
        run = sheet.text(left + 0.08 * flow.width, base, shown, face)
        runs["quantity"] = (count, (run[0], run[0] + len(count)))
        runs["unit price"] = (each, (run[1] - len(each), run[1]))
    elif style == "code-first":
        sheet.text(left, flow.step(), content.digits(flow.rng, 8), face)
        base = flow.step()
        name = sheet.text(left, base, line.name, flow.fitted(line.name, face, 0.72 * flow.width))
    elif style == "quantity-first":
        base, count = flow.step(), f"{line.count}"
        runs["quantity"] = (count, sheet.text(left + 0.02 * flow.width, base, count, face))
        name = sheet.text(left + 0.12 * flow.width, base, line.name, flow.fitted(line.name, face, 0.62 * flow.width))
    else:
        base, count = flow.step(), f"{line.count}"
        name = sheet.text(left, base, line.name, flow.fitted(line.name, face, 0.5 * flow.width))
        runs["quantity"] = (count, sheet.text(ends["qty"], base, count, face, align="right"))
        runs["unit price"] = (
            each,
            sheet.text(ends["price"], base, each, flow.fitted(each, face, 0.18 * flow.width), align="right"),
        )
    runs["price"] = (
        amount,
        sheet.text(ends["amount"], base, amount, flow.fitted(amount, face, 0.19 * flow.width), align="right"),
    )
    if "unit price" in runs:  # then "how much is it" could mean either
        runs["amount"] = runs.pop("price")
    for col, (value, run) in runs.items():
        form = "price" if col == "price" else "cell"
        number = line.count if col == "quantity" else line.each if col == "unit price" else line.amount
        sheet.enter(Entry(form, line.name, value, (name,), (run,), (line.name.lower(),), col, "item", number, face.cap))


def _totals(flow: Flow, bought: list[Bought]) -> int:
    """Print what leads to the total, and the total in any size; the total in cents."""
    rng, sold = flow.rng, sum(line.amount for line in bought)
    parts: list[tuple[str, int]] = []
    for concept, chance, amount in (
        *(("discount", 0.2, -sold * rng.choice((5, 10, 20)) // 100), ("service", 0.15, sold // 10)),
        *(("tax", 0.6, sold * rng.choice((5, 6, 7, 8, 10, 20)) // 100), ("delivery", 0.08, rng.randint(2, 20) * 50)),
        *(("tip", 0.08, rng.randint(2, 30) * 50), ("rounding", 0.25, rng.choice((-2, -1, 0, 1, 2)))),
    ):
        if rng.random() < chance:
            parts.append((concept, amount))
    due = sold + sum(amount for _, amount in parts)
    lines = [("subtotal", sold)] * (bool(parts) or rng.random() < 0.4) + parts
    style = flow.order.template["totals"]
    left, top = flow.left, flow.y
    if style in ("indented", "boxed"):
        flow.left += flow.width * rng.uniform(0.12, 0.35)
    if rng.random() < 0.3:
        flow.sheet.text(
            left,
            flow.step(),
            f"{rng.choice(('Items', 'No. of items', 'Item Count', 'Total Qty', 'TOTAL ITEMS'))}: {len(bought)}",
            flow.face,
        )
        top = flow.y
    usual = flow.face.tall() if rng.random() < 0.1 else flow.face
    for concept, amount in lines:
        _amount(flow, concept, amount, usual)
    bold = rng.choice((flow.face, flow.face, flow.face.sized(1.15), flow.face.sized(1.35), flow.face.tall()))
    _amount(flow, "total", due, bold if rng.random() < 0.6 else flow.other_face(rng.choice((1.0, 1.2))))
    if style == "boxed":
        flow.sheet.draw.rectangle((flow.left - 6, top - 2, flow.right + 5, flow.y + 2), outline=flow.ink)
    flow.left = left
    flow.gap(rng.uniform(0, 0.5))
    return due


def _amount(flow: Flow, concept: str, cents: int, face: Typeface) -> None:
    sign = flow.rng.choice((*("",) * 18, "RM ", "$", "USD ")) if concept == "total" else ""
    style = "right" if flow.order.template["totals"] == "right" else "row"
    value = sign + content.money(cents, flow.order.amounts)
    flow.pair(flow.rng.choice(MONEY[concept].printed), value, concept, MONEY[concept], style, face, number=cents)


def _payment(flow: Flow, due: int) -> None:
    rng = flow.rng
    if rng.random() < 0.65:
        given = due if rng.random() < 0.15 else -(-due // (step := rng.choice((500, 1000, 5000, 10000)))) * step
        _amount(flow, "cash", given, flow.face)
        _amount(flow, "change", given - due, flow.face)
    elif rng.random() < 0.8:
        _amount(flow, "card", due, flow.face)


def _summary(flow: Flow, sold: int) -> None:
    """A small table of tax codes: amounts that no question is about, on many receipts with totals of its own."""
    flow.gap(0.6)
    top, rng = flow.y, flow.rng
    title = rng.choice(("GST Summary", "TAX SUMMARY", "VAT ANALYSIS", "GST ANALYSIS"))
    rate = rng.choice((5, 6, 8, 20))
    net, tax = (content.money(sold * part // (100 + rate), ".") for part in (100, rate))
    code = rng.choice(("S", "SR", "T", "A"))
    if rng.random() < 0.5:
        shares = (0.0, 0.35, 0.7, 0.98)
        rows = [("Code", "%", "Net", "Tax"), (code, str(rate), net, tax), ("Z", "0", "0.00", "0.00"), ("Total", "", net, tax)]
        flow.print(title)
    else:
        shares = (0.0, 0.65, 0.98)
        heads = rng.choice((("Amount", "Tax"), ("Amount(RM)", "Tax(RM)"), ("AMOUNT", "GST"), ("Excl.", "GST")))
        named = rng.choice((f"{code} @ {rate}%", f"{code} = {rate}%", f"GST {rate}%"))
        rows = [(title, *heads), (named, net, tax), (rng.choice(("ZRL @ 0%", "Z = 0%")), "0.00", "0.00"), ("Total", net, tax)]
    if rng.random() < 0.5:
        rows.pop()
    if rng.random() < 0.7:
        rows.pop(2)
    columns = [flow.left + share * flow.width for share in shares]
    for row in rows:
        base = flow.step()
        for column, (text, x) in enumerate(zip(row, columns, strict=True)):
            if text:
                face = flow.fitted(text if column == 0 else "000000.00", flow.face, (0.4 if len(row) == 3 else 0.27) * flow.width)
                flow.sheet.text(x, base, text, face, align="left" if column == 0 else "right")
    if rng.random() < 0.5:
        flow.sheet.draw.rectangle((flow.left - 5, top, flow.right + 5, flow.y + 3), outline=flow.ink)


def _farewell(flow: Flow) -> None:
    flow.gap(flow.rng.uniform(0.3, 1.2))
    align = flow.rng.choice(("centre", "centre", "left"))
    for line in flow.rng.sample(content.WORDS["receipt farewell"], flow.rng.randint(0, 4)):
        flow.print(line.upper() if flow.rng.random() < 0.4 else line, align)
    if flow.rng.random() < 0.3:
        flow.gap(0.4)
        flow.barcode(flow.face.cap * flow.rng.uniform(1.6, 3.5))
