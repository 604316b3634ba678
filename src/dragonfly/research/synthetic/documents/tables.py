"""Tables of numbers with a title, rows and columns."""

from __future__ import annotations

from . import content
from .flow import Flow, Order
from .sheet import Entry, Sheet
from .typefaces import draw_typeface

OPTIONS: dict[str, tuple[str, ...]] = {
    "rules": ("grid", "rows", "head", "shaded", "none", "columns"),
    "align": ("right", "centre", "left"),
    "title": ("above", "band", "below", "none"),
}
_ROWS = {name.removeprefix("rows "): words for name, words in content.WORDS.items() if name.startswith("rows ")}


def names(flow: Flow, count: int) -> tuple[str, list[str]]:
    """(what a row is called, names of rows): words of one kind, or invented ones that belong to the split."""
    noun = flow.rng.choice((*_ROWS, "sample"))
    if noun == "sample":
        made: dict[str, None] = {}
        while len(made) < count:
            made[content.sample(flow.rng, flow.order.split)] = None
        return noun, list(made)
    options = _ROWS[noun]
    if noun == "month":
        first = flow.rng.randrange(len(options) - min(count, 11))
        return noun, list(options[first : first + count])
    return noun, flow.rng.sample(options, min(count, len(options)))


def number(flow: Flow, top: int, decimals: int) -> tuple[str, float]:
    """(as printed, as a number) below `top`."""
    value = flow.rng.randint(1, top * 10**decimals) / 10**decimals
    return f"{value:.{decimals}f}", value


def title(flow: Flow) -> str:
    """A heading: "Survey results 2021 Marlow"."""
    rng = flow.rng
    when = rng.choice(("", "", "2019 ", "2021 ", "2023 ", "by area ", "for the region "))
    return f"{rng.choice(content.WORDS['table title'])} {when}{content.town(rng)}"


def draw_table(order: Order) -> Sheet:
    """A table of 3 to 12 rows and 2 to 5 columns."""
    rng = order.rng
    face = draw_typeface(rng, order.source, ("sans", "sans", "serif", "mono"), rng.uniform(11, 16))
    width = rng.randint(520, 980)
    sheet = Sheet((width, 1400))
    margin = width * rng.uniform(0.04, 0.08)
    flow = Flow(order, sheet, face, margin, width - margin, margin, rng.uniform(1.05, 1.5))
    place, text = order.template["title"], title(flow)
    if place == "band":
        large = flow.fitted(text, face.sized(1.3), flow.width - 16)
        sheet.draw.rectangle((flow.left, flow.y, flow.right, flow.y + large.cap * 2.2), fill=50)
        sheet.text(flow.left + 8, flow.y + large.cap * 1.6, text, large, 255)
        flow.y += large.cap * 2.6
    elif place == "above":
        flow.print(text, rng.choice(("left", "centre")), face.sized(1.3))
        flow.gap(0.3)
    noun, rows = names(flow, rng.randint(3, 12))
    _grid(flow, noun, rows)
    if place == "below":
        flow.gap(0.4)
        flow.print(text, "centre")
    sheet.crop(round(max(sheet.bottom, flow.y) + margin))
    return sheet


def _grid(flow: Flow, noun: str, rows: list[str]) -> None:
    rng, sheet, style, align = flow.rng, flow.sheet, flow.order.template["rules"], flow.order.template["align"]
    options = rng.choice(content.WORDS["columns"]).split()
    count = rng.randint(2, min(5, len(options)))
    first = rng.randrange(len(options) - count + 1)
    columns = options[first : first + count] if rng.random() < 0.6 else rng.sample(options, count)
    stub = flow.width * rng.uniform(0.24, 0.36)
    lefts = [flow.left + stub + (flow.width - stub) * at / count for at in range(count + 1)]
    tops, base = [flow.y], flow.step()
    heads = [name if name[0].isdigit() or rng.random() < 0.3 else name.capitalize() for name in columns]
    sheet.text(flow.left + 6, base, noun.capitalize(), flow.face)
    for at, head in enumerate(heads):
        _cell(flow, head, base, lefts[at], lefts[at + 1], align)
    scales = [(rng.choice((50, 100, 1000, 9000)), rng.choice((0, 0, 1))) for _ in columns]
    for row_at, row in enumerate(rows):
        tops.append(flow.y)
        base = flow.step()
        if style == "shaded" and row_at % 2 == 0:
            sheet.draw.rectangle((flow.left, tops[-1], flow.right, flow.y), fill=228)
        fitted = flow.fitted(row, flow.face, stub - 12)
        key = sheet.text(flow.left + 6, base, row, fitted)
        for at, column in enumerate(columns):
            value, amount = number(flow, *scales[at])
            run, cap = _cell(flow, value, base, lefts[at], lefts[at + 1], align)
            col = f"{column} value" if column[0].isdigit() or column[0] == "Q" else column.lower()
            sheet.enter(Entry("cell", row, value, (key,), (run,), (row.lower(),), col, noun, amount, cap))
    tops.append(flow.y)
    ink = rng.choice((0, 60, 120))
    for at, y in enumerate(tops):
        if style in ("grid", "rows") or (style in ("head", "shaded") and at in (0, 1, len(tops) - 1)):
            sheet.draw.line((flow.left, y, flow.right, y), fill=ink)
    if style in ("grid", "columns"):
        for x in (flow.left, *lefts):
            sheet.draw.line((x, tops[0], x, tops[-1]), fill=ink)


def _cell(flow: Flow, text: str, base: float, left: float, right: float, align: str) -> tuple[tuple[int, int], float]:
    """Print inside a cell: (characters, cap height)."""
    face = flow.fitted(text, flow.face, right - left - 12)
    x = {"left": left + 6, "right": right - 6, "centre": (left + right) / 2}[align]
    return flow.sheet.text(x, base, text, face, 0, align), face.cap  # pyright: ignore[reportArgumentType]
