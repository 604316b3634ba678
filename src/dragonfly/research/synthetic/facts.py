"""The content of a page: families of pages, their keys, and values that belong to one split by a hash of their text.

No value occurs in two splits; keys, colours and shapes are shared by all. Within an image keys are distinct, and so are values
except counts of specks. An absent key was as likely to be drawn as a present one, so its name gives no hint.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from dragonfly.vision.layout import Box

from .shapes import COLOURS, SHAPES, SPECKS

Fits = Callable[[str], bool]


@dataclass(frozen=True)
class Fact:
    """A key with its value.

    Args:
        key: as questions name it.
        value: as it is printed.
        box: around both, in pixels of the image; None before they are drawn.
        detail_px: height of its capitals, or of its smallest speck, in pixels of the image.
    """

    key: str
    value: str
    box: Box | None = None
    detail_px: float = 0.0

    @property
    def number(self) -> int | None:
        """The value as an integer; None where it is not one."""
        return int(self.value) if self.value.isdigit() else None


def _read_words() -> dict[str, tuple[str, ...]]:
    """The sections of words.txt: key words by topic, and `values`."""
    text = Path(__file__).with_name("words.txt").read_text(encoding="utf-8")
    sections = (section.partition("]") for section in text.split("[")[1:])
    return {name: tuple(words.split()) for name, _, words in sections}


TOPICS = _read_words()
_WORDS = TOPICS.pop("values")
_ONSETS = (*"bcdfghjklmnprstvwz", "br", "cl", "dr", "fl", "gr", "pl", "st", "tr")
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"


@lru_cache(maxsize=1 << 16)
def split_of(text: str) -> str:
    """The split that a value belongs to, by a hash of its text: 80 % of values train, 10 % dev, 10 % test."""
    part = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % 10
    return "train" if part < 8 else ("dev" if part == 8 else "test")


def _number(rng: random.Random) -> str:
    digits = rng.choice((2, 2, 2, 3, 3, 4))
    return str(rng.randrange(10 ** (digits - 1), 10**digits))


def _small(rng: random.Random) -> str:
    return str(rng.randrange(10, 1000) if rng.random() < 0.4 else rng.randrange(10, 100))


def _code(rng: random.Random) -> str:
    return rng.choice(_LETTERS) + str(rng.randrange(10, 1000) if rng.random() < 0.3 else rng.randrange(10, 100))


def _word(rng: random.Random) -> str:
    """A word, in three of five cases an invented one, so that it must be read by letters and cannot be guessed."""
    if rng.random() < 0.4:
        return rng.choice(_WORDS)
    made = rng.choice(_ONSETS) + rng.choice("aeiou") + rng.choice("bdfgklmnprstvz")
    return made + rng.choice(("", "a", "o", "e", "ik", "us", "en", "y"))


def _price(rng: random.Random) -> str:
    return f"{rng.randrange(1, 1000)}.{rng.randrange(100):02d}"


def _time(rng: random.Random) -> str:
    return f"{rng.randrange(24):02d}:{rng.randrange(60):02d}"


def _glyphs(rng: random.Random) -> str:
    """Two to seven letters or digits that mean nothing: so many that hardly one is met twice, and each must be read by glyphs."""
    at = rng.random()
    if at < 0.4:
        return str(rng.randrange(10 ** (digits := rng.randint(1, 5)), 10 ** (digits + 1)))
    if at < 0.55:
        return "".join(rng.choice(_LETTERS) for _ in range(rng.randint(1, 2))) + str(rng.randrange(1, 10 ** rng.randint(1, 4)))
    letters = ("bcdfghjklmnpqrstvwxyz", "aeiou") if at < 0.8 else ("abcdefghijklmnopqrstuvwxyz",) * 2
    return "".join(rng.choice(letters[place % 2]) for place in range(rng.randint(3, 7)))


MAKERS: dict[str, Callable[[random.Random], str]] = {
    "number": _number,
    "small": _small,
    "code": _code,
    "word": _word,
    "price": _price,
    "time": _time,
    "glyphs": _glyphs,
}


def draw_value(rng: random.Random, split: str, kind: str, taken: Collection[str], fits: Callable[[str], bool]) -> str:
    """Draw a value of this split that `fits` and is not `taken`.

    After 500 failed attempts with a kind that is too wide, numbers of two or three digits are drawn instead.
    """
    for attempt in range(10_000):
        value = MAKERS[kind if attempt < 500 else "small"](rng)
        if value not in taken and fits(value) and split_of(value) == split:
            return value
    raise AssertionError(f"no {kind} of split {split} fits beside {len(taken)} others")


def _any(_: str) -> bool:
    return True


@dataclass(frozen=True)
class Family:
    """A kind of page.

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
PLURALS = {"category": "categories", "cross": "crosses", "entry": "entries"}


def plural(noun: str, count: int = 2) -> str:
    return noun if count == 1 else PLURALS.get(noun, noun + "s")


def draw_family(rng: random.Random) -> str:
    """Draw the name of a family, by weight."""
    return rng.choices(list(FAMILIES), [family.weight for family in FAMILIES.values()])[0]


def with_values(family: Family, kinds: tuple[str, ...]) -> Family:
    """The family with further kinds of value, if its facts are fields or rows; charts, shapes and specks keep their own."""
    return replace(family, values=(*family.values, *kinds)) if family.noun in ("field", "row") else family


def make_facts(
    rng: random.Random, family: Family, split: str, count: int, key_fits: Fits = _any, value_fits: Fits = _any
) -> tuple[list[Fact], list[str]]:
    """Draw up to `count` facts. Returns them and the absent keys, at least three."""
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
    """Draw a value of one of the family's kinds that is not `taken`; a count of specks may be."""
    if family.specks:
        return str(rng.randint(1, 6))
    return draw_value(rng, split, rng.choice(family.values), taken, fits)
