"""The kinds of page: what they are called, what they say, and what draws one of their facts.

Promises that the keys of an image are distinct, that its values are distinct (counts of specks aside), and that the keys
left over are as likely to have been drawn as those that were.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from .facts import Fact
from .symbols import COLOURS, SHAPES, SPECKS
from .values import TOPICS, draw_value

Fits = Callable[[str], bool]


def _any(_: str) -> bool:
    return True


@dataclass(frozen=True)
class Family:
    """One kind of page.

    Args:
        thing: what a page of it is called: "receipt".
        noun: what one of its facts is called, singular.
        keys: the words that facts may have as keys.
        values: kinds of value, repeated by how often they are drawn; none for specks, which are counted.
        weight: how often an image is of this family.
        shapes: whether keys are coloured things that questions call "the red circle".
    """

    thing: str
    noun: str
    keys: tuple[str, ...]
    values: tuple[str, ...] = ("number", "number", "code", "word")
    weight: float = 1.0
    shapes: bool = False

    @property
    def specks(self) -> bool:
        return not self.values


FAMILIES: dict[str, Family] = {
    "receipt": Family("receipt", "field", TOPICS["money"], ("number", "number", "number", "code"), 1.3),
    "label": Family("label", "field", TOPICS["person"], weight=1.3),
    "form": Family("form", "field", TOPICS["record"], weight=1.3),
    "page": Family("page", "field", TOPICS["record"], ("number", "code", "word", "word")),
    "table": Family("table", "row", TOPICS["trade"]),
    "chart": Family("chart", "category", TOPICS["trade"], ("small",), 1.6),
    "panel": Family("panel", "dial", TOPICS["machine"], ("small", "small", "number", "code")),
    "shapes": Family(
        "picture", "shape", tuple(f"{c} {s}" for c in COLOURS for s in SHAPES), ("number", "number", "word"), 1.2, shapes=True
    ),
    "specks": Family("microscope field", "group", tuple(f"{c} {s}" for c in COLOURS for s in SPECKS), (), 0.8, shapes=True),
}
PLURALS = {"category": "categories", "cross": "crosses"}


def plural(noun: str, count: int = 2) -> str:
    return noun if count == 1 else PLURALS.get(noun, noun + "s")


def draw_family(rng: random.Random) -> str:
    """The name of a family, by weight."""
    return rng.choices(list(FAMILIES), [family.weight for family in FAMILIES.values()])[0]


def with_values(family: Family, kinds: tuple[str, ...]) -> Family:
    """The family whose fields may also have values of these kinds; charts, shapes and specks keep their own."""
    return replace(family, values=(*family.values, *kinds)) if family.noun in ("field", "row") else family


def make_facts(
    rng: random.Random, family: Family, split: str, count: int, key_fits: Fits = _any, value_fits: Fits = _any
) -> tuple[list[Fact], list[str]]:
    """Up to `count` facts, and the keys that could have been drawn but were not (at least three)."""
    keys = [key for key in family.keys if key_fits(key)]
    rng.shuffle(keys)
    count = min(count, len(keys) - 3)
    facts: list[Fact] = []
    taken: set[str] = set()
    for key in keys[:count]:
        value = make_value(rng, family, split, taken, value_fits)
        taken.add(value)
        facts.append(Fact(key, value))
    return facts, keys[count:]


def make_value(rng: random.Random, family: Family, split: str, taken: Collection[str], fits: Fits = _any) -> str:
    """A value as this family has them, not `taken`; a count of specks may be."""
    if family.specks:
        return str(rng.randint(1, 6))
    return draw_value(rng, split, rng.choice(family.values), taken, fits)
