"""A key and its value inside one cell, in the arrangement and frame of the page's style."""

from __future__ import annotations

from dragonfly.vision.layout import Box

from .draw_context import MARGIN, DrawContext, union
from .styles import Style

PAD = 3.0  # pixels between text and its frame
_DESCENT = 0.32  # room under the baseline as a share of the cap height
_FRAMED = {"boxed", "strip", "tag"}


def room(style: Style, cell_width: float) -> float:
    """The widest line of text, in pixels, that a cell of this width holds."""
    framed = style.frame != "none" or style.arrangement in _FRAMED
    return cell_width - 2 * MARGIN - (2 * PAD + 2 if framed else 1)


def draw_field(context: DrawContext, cell: Box, key: str, value: str) -> Box:
    """Draw key and value at a random place in the cell; the box around both."""
    kind, face, cap = context.style.arrangement, context.face, context.face.cap
    width = room(context.style, cell[2] - cell[0])
    gap = context.rng.uniform(0.35, 0.7) * cap
    one_line = face.width(key) + 0.7 * cap + face.width(value)
    if kind in ("beside", "leader") and one_line <= width:
        full = min(width, one_line + context.rng.uniform(0, 8)) if kind == "leader" else one_line
        return _one_line(context, cell, key, value, full)
    upper, lower = (value, key) if kind == "above" else (key, value)
    spread = kind in ("ledger", "leader")
    full = min(width, max(face.width(key), face.width(value)) + (context.rng.uniform(2, 12) if spread else 0))
    inner = 2 * PAD if kind in _FRAMED or context.style.frame != "none" else 0.0
    line = cap * (1 + _DESCENT)
    gap += PAD if kind in _FRAMED else 0
    x, y = context.spot(cell, full + inner, 2 * line + gap + inner)
    x, y = x + inner / 2, y + inner / 2
    shift = 0.5 if kind in ("centred", "boxed", "tag") else 0.0
    upper_x = x + shift * (full - face.width(upper))
    lower_x = x + (1.0 if spread else shift) * (full - face.width(lower))
    block = (x, y, x + full, y + 2 * line + gap)
    upper_base, lower_base = y + cap, y + cap + line + gap
    _backdrop(context, block, (lower_x, lower_base - cap, lower_x + face.width(lower), lower_base), y + line)
    if kind == "leader":
        _dots(context, x, lower_x - 3, lower_base)
    upper_ink = context.look.paper if kind == "strip" else context.look.ink
    return union(
        [
            context.page.text(upper_x, upper_base, upper, face, upper_ink),
            context.page.text(lower_x, lower_base, lower, face, context.look.ink),
        ]
    )


def _one_line(context: DrawContext, cell: Box, key: str, value: str, full: float) -> Box:
    face, cap = context.face, context.face.cap
    pad = PAD if context.style.frame != "none" else 0.0
    x, y = context.spot(cell, full + 2 * pad, cap * (1 + _DESCENT) + 2 * pad)
    x, base = x + pad, y + pad + cap
    value_x = x + full - face.width(value)
    _frame(context, (x, y + pad, x + full, base + _DESCENT * cap))
    if context.style.arrangement == "leader":
        _dots(context, x + face.width(key) + 2, value_x - 2, base)
    ink = context.look.ink
    return union([context.page.text(x, base, key, face, ink), context.page.text(value_x, base, value, face, ink)])


def _dots(context: DrawContext, left: float, right: float, base: float) -> None:
    context.page.draw.point([(round(x), round(base) - 1) for x in range(round(left), round(right), 3)], fill=context.look.ink)


def _backdrop(context: DrawContext, block: Box, lower: Box, fold: float) -> None:
    """Draw what lies under two lines of text: the arrangement's fill and the style's frame."""
    draw, look, kind = context.page.draw, context.look, context.style.arrangement
    left, top, right, _ = block
    around = (lower[0] - PAD, lower[1] - PAD, lower[2] + PAD, lower[3] + PAD)
    if kind == "boxed":
        draw.rectangle(around, outline=look.ink)
    elif kind == "tag":
        draw.rounded_rectangle(around, radius=4, fill=_between(look.paper, look.accent))
    elif kind == "strip":
        draw.rectangle((left - PAD, top - PAD, right + PAD, fold), fill=look.accent)
    _frame(context, block)


def _frame(context: DrawContext, block: Box) -> None:
    draw, look, kind = context.page.draw, context.look, context.style.frame
    left, top, right, bottom = block[0] - PAD, block[1] - PAD, block[2] + PAD, block[3] + PAD - 1
    if kind == "box":
        draw.rectangle((left, top, right, bottom), outline=look.soft)
    elif kind == "pill":
        draw.rounded_rectangle((left, top, right, bottom), radius=7, outline=look.soft, width=2)
    elif kind == "underline":
        draw.line((left, bottom, right, bottom), fill=look.soft)
    elif kind == "rails":
        draw.line((left, top, right, top), fill=look.accent)
        draw.line((left, bottom, right, bottom), fill=look.accent)
    elif kind == "dashed":
        for x in range(round(left), round(right), 6):
            draw.line([(x, top), (x + 3, top)], fill=look.soft)
            draw.line([(x, bottom), (x + 3, bottom)], fill=look.soft)
    elif kind == "bar":
        draw.rectangle((left, top, left + 1, bottom), fill=look.accent)
    elif kind == "corner":
        draw.line([(left, top + 7), (left, top), (left + 7, top)], fill=look.accent)
        draw.line([(right, bottom - 7), (right, bottom), (right - 7, bottom)], fill=look.accent)


def _between(a: tuple[int, int, int], b: tuple[int, int, int]) -> tuple[int, int, int]:
    """The first colour mixed with a fifth of the second."""
    return (a[0] * 4 + b[0]) // 5, (a[1] * 4 + b[1]) // 5, (a[2] * 4 + b[2]) // 5
