"""Pages full of print that says nothing, to pre-train a tower: every character and any word, code or amount, with a few entries.

A tower that saw real kinds of pages alone would guess words from their few; here they must be read.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable

from . import content
from .concepts import INFO, MONEY, Concept
from .flow import Flow, Order
from .sheet import Sheet
from .typefaces import draw_typeface

OPTIONS: dict[str, tuple[str, ...]] = {
    "rules": ("line", "-", "=", "*", "none"),
    "align": ("left", "centre", "mixed", "right"),
    "pairs": ("row", "right", "inline", "tab"),
}
_WORDS = tuple(word for words in content.WORDS.values() for entry in words for word in entry.split())
_PRINTED = string.ascii_letters + string.digits + string.punctuation


def _noise(rng: random.Random) -> str:
    return "".join(rng.choice(_PRINTED) for _ in range(rng.randint(1, 7)))


def _figures(rng: random.Random) -> str:
    return content.digits(rng, rng.randint(1, 12), "0123456789")


def _mixed(rng: random.Random) -> str:
    return "".join(rng.choice(string.ascii_uppercase + string.digits) for _ in range(rng.randint(3, 10)))


def _amount(rng: random.Random) -> str:
    value = content.money(
        rng.choice((-1, 1, 1, 1, 1, 1)) * content.price(rng) * rng.choice((1, 1, 30)), rng.choice((".", ",.", ","))
    )
    return rng.choice(("", "", "", "", "RM", "$", "EUR ")) + value + rng.choice(("", "", "", "", "", " S", " T", "*", "%"))


_TOKENS: dict[Callable[[random.Random], str], float] = {
    lambda rng: rng.choice(_WORDS): 0.36,
    content.invented: 0.24,
    _noise: 0.1,
    _figures: 0.08,
    _mixed: 0.06,
    _amount: 0.07,
    lambda rng: content.date(rng, rng.randrange(8)): 0.04,
    content.clock: 0.02,
    content.phone: 0.03,
}


def phrase(rng: random.Random, most: int) -> str:
    """One to `most` words, codes, amounts or strings of any characters, in capitals more often than not."""
    text = " ".join(make(rng) for make in rng.choices(list(_TOKENS), list(_TOKENS.values()), k=rng.randint(1, most)))
    text = rng.choices((text.upper(), text.title(), text.lower(), text), (0.5, 0.22, 0.08, 0.2))[0]
    end = rng.choices(
        ("{}", "{},", "{}.", "{}:", "({})", "*{}*", "[{}]", '"{}"'), (0.72, 0.06, 0.06, 0.06, 0.04, 0.03, 0.01, 0.02)
    )[0]
    return end.format(text)


def draw_crowded(order: Order) -> Sheet:
    """A page of 15 to 60 lines in up to six typefaces."""
    rng, template = order.rng, order.template
    face = draw_typeface(
        rng, order.source, rng.choices((("mono",), ("sans",), ("serif",)), (0.5, 0.36, 0.14))[0], rng.triangular(9.5, 22, 13), 0.6
    )
    width = rng.randint(420, 1000)
    height = round(width * rng.uniform(0.8, 2.4))
    margin = width * rng.uniform(0.02, 0.08)
    sheet = Sheet((width, height + 200))
    flow = Flow(order, sheet, face, margin, width - margin, margin, rng.uniform(0.92, 1.4))
    pairs: list[tuple[str, Concept]] = rng.sample([(name, one) for name, one in (INFO | MONEY).items() if one.form != "time"], 9)
    while flow.y < height:
        roll = rng.random()
        if pairs and (roll < 0.1 or not sheet.entries):
            name, meaning = pairs.pop()
            value = (
                meaning.make(rng, order.split, order.dates) if meaning.make else content.money(content.price(rng), order.amounts)
            )
            flow.pair(rng.choice(meaning.printed), value, name, meaning, template["pairs"])
        elif roll < 0.45:
            align = template["align"] if template["align"] != "mixed" else rng.choice(("left", "centre", "right"))
            flow.print(phrase(rng, 6), align)
        elif roll < 0.75:
            _columns(flow)
        elif roll < 0.85:
            flow.face = flow.other_face(rng.uniform(0.75, 1.35))
            if not 9 < flow.face.cap < 26:
                flow.face = face
        elif roll < 0.92:
            flow.gap(rng.uniform(0.1, 0.8))
        else:
            flow.rule(template["rules"])
    sheet.crop(round(max(sheet.bottom, flow.y) + margin))
    return sheet


def _columns(flow: Flow) -> None:
    """A text at the left, one to four figures at the right, each in its column."""
    rng, base = flow.rng, flow.step()
    count = rng.randint(1, 4)
    stub = flow.width * (0.95 - 0.17 * count)
    text = phrase(rng, 4)
    flow.sheet.text(flow.left, base, text, flow.fitted(text, flow.face, stub * 0.95), flow.ink)
    for column in range(count):
        end = flow.left + stub + (flow.width - stub) * (column + 1) / count
        value = rng.choice((_amount, _amount, _figures))(rng)
        flow.sheet.text(end, base, value, flow.fitted(value, flow.face, (flow.width - stub) / count * 0.9), flow.ink, "right")
