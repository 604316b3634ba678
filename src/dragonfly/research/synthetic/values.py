"""The texts that are drawn: key words by topic, and values that belong to one split by a hash of their text.

Promises that no value of one split occurs in another. Key words, colours and shapes are shared by all splits.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Collection
from functools import lru_cache
from pathlib import Path


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
    """The split that a value belongs to: 80 % train, 10 % dev, 10 % test, for ever."""
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
    """A word, or a made-up one, so that reading letters pays more than knowing words."""
    if rng.random() < 0.4:
        return rng.choice(_WORDS)
    made = rng.choice(_ONSETS) + rng.choice("aeiou") + rng.choice("bdfgklmnprstvz")
    return made + rng.choice(("", "a", "o", "e", "ik", "us", "en", "y"))


def _price(rng: random.Random) -> str:
    return f"{rng.randrange(1, 1000)}.{rng.randrange(100):02d}"


def _time(rng: random.Random) -> str:
    return f"{rng.randrange(24):02d}:{rng.randrange(60):02d}"


MAKERS: dict[str, Callable[[random.Random], str]] = {
    "number": _number,
    "small": _small,
    "code": _code,
    "word": _word,
    "price": _price,
    "time": _time,
}


def draw_value(rng: random.Random, split: str, kind: str, taken: Collection[str], fits: Callable[[str], bool]) -> str:
    """A value of this split that fits and is not `taken`: of this kind, or a number where the kind is too wide."""
    for attempt in range(10_000):
        value = MAKERS[kind if attempt < 500 else "small"](rng)
        if value not in taken and fits(value) and split_of(value) == split:
            return value
    raise AssertionError(f"no {kind} of split {split} fits beside {len(taken)} others")
