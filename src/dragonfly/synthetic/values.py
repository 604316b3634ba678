"""The texts that are drawn: key words by topic, and values that belong to one split by a hash of their text.

Promises that no value of one split occurs in another. Key words, colours and shapes are shared by all splits.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Collection
from functools import lru_cache

TOPICS: dict[str, tuple[str, ...]] = {
    "money": tuple(
        "total tax tip cash change price sum fee cost paid item unit rate net gross due date order share qty card rent "
        "gift loan debt bonus wage fund bill tea milk rice bread".split()
    ),
    "person": tuple(
        "name room gate seat row date code age class grade level team group zone badge bed ward dose flight train bus desk floor "
        "door city lane area shift pass unit track".split()
    ),
    "record": tuple(
        "name code room weight height width depth date time day month year phone state agent owner client model batch size "
        "number type status area lot case file page line part blood pulse".split()
    ),
    "trade": tuple(
        "north south east west corn wheat oats rye beans peas iron coal wool silk salt wine beer fish beef pork sugar cocoa cotton "
        "steel glass paper gold zinc lead oil".split()
    ),
    "machine": tuple(
        "speed fuel oil temp volts amps flow level load power heat depth rpm gas water steam pump fan motor brake valve tank main "
        "aux gear rotor shaft boost torque air".split()
    ),
}

_WORDS = tuple(
    "able acid aged arch army atom baby bake barn bell belt bird blue boat bold bolt bone book boot bowl brick broom brush cabin "
    "cake calm camel canal cargo cave cedar chalk chess chin cider civic clay cliff clock cloud coach cobra comet coral couch "
    "crane crown cube daisy dawn delta denim desert diver dock dome dove draft dragon drum dune eagle earth echo elbow elm ember "
    "fable falcon fawn fern ferry field flame flint flute foam forest fork fox frost fudge gala garden ghost glade globe glove "
    "goat grape green grove guitar hammer harbor hawk hazel helm heron hill honey hook horse igloo ink iris island ivory ivy "
    "jade jar jazz jewel jolly judge jungle kayak kelp kettle king kite kiwi lake lamp laser latch lemon lily lime linen lion "
    "lunar magnet maple marble marsh mask meadow melon metal mint mirror moon moss mouse nest nickel night noble nut oak "
    "oasis ocean olive onion opal orbit otter owl paddle palm panda pearl pebble pencil pepper piano pilot pine planet plum pond "
    "poppy prism pulp quail quartz queen quilt rabbit radar rain raven reef ribbon ridge river robin rocket rose ruby saddle sail "
    "salmon sand scout seal shell shore silver sky slate snow solar spark spoon star stone storm sun swan temple thorn tiger toast "
    "torch tower tulip turtle valley velvet violet walnut wave whale willow wind wolf wood yacht yarn zebra".split()
)
_ONSETS = "b c d f g h j k l m n p r s t v w z br cl dr fl gr pl st tr".split()
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


MAKERS: dict[str, Callable[[random.Random], str]] = {"number": _number, "small": _small, "code": _code, "word": _word}


def kind_of(value: str) -> str:
    """number, code or word."""
    return "number" if value.isdigit() else ("word" if value.islower() else "code")


def draw_value(rng: random.Random, split: str, kind: str, taken: Collection[str], fits: Callable[[str], bool]) -> str:
    """A value of this split that fits and is not `taken`: of this kind, or a number where the kind is too wide."""
    for attempt in range(10_000):
        value = MAKERS[kind if attempt < 500 else "small"](rng)
        if value not in taken and fits(value) and split_of(value) == split:
            return value
    raise AssertionError(f"no {kind} of split {split} fits beside {len(taken)} others")
