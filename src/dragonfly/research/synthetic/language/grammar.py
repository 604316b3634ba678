"""A question is put together: opener, frame, ending; then spelled, typed, cased and marked as people do.

A template is what is said around the words of a question. Test and dev have their own asks, direct questions, openers, endings
and key-word frames, so no template of theirs is one of training. Randomness comes from the caller's generator alone.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product

from . import owner_forms, set_forms, value_forms
from .asks import CLAUSE_ASKS, ENDINGS, IMAGE_NOUNS, OPENERS, THING_ASKS
from .slips import MISTYPED, cased, draw_case, draw_mark, mistype_some, respell
from .value_forms import Form

SPLITS = ("train", "dev", "test")
FORMS: dict[str, Form] = {
    "value": value_forms.VALUE,
    "money": value_forms.MONEY,
    "date": value_forms.DATE,
    "time": value_forms.TIME,
    "company": value_forms.COMPANY,
    "cell": value_forms.CELL,
    "price": value_forms.PRICE,
    "owner": owner_forms.OWNER,
    "cell owner": owner_forms.CELL_OWNER,
    "holds": owner_forms.HOLDS,
    "cell holds": owner_forms.CELL_HOLDS,
    "larger": set_forms.LARGER,
    "smaller": set_forms.SMALLER,
    "most": set_forms.MOST,
    "least": set_forms.LEAST,
    "count": set_forms.COUNT,
    "present": set_forms.PRESENT,
    "beside": set_forms.BESIDE,
    "owner of shapes": set_forms.SHAPE_OWNER,
    "holds beside": set_forms.BESIDE_HOLDS,
    "holds specks": set_forms.SPECKS_HOLD,
    "colour": set_forms.COLOUR,
    "colour of specks": set_forms.SPECKS_COLOUR,
    "shape": set_forms.SHAPE,
    "describe": set_forms.DESCRIBE,
}
BARE, DIRECT = 0.16, 0.5  # shares of key words and of direct questions; the rest follows an ask
PLAINEST = 0.4  # share of key words in training that are the plainest frame, most often the key alone
OPENED, ENDED = 0.22, 0.2  # shares with an opener and with an ending
_CHOICE = re.compile(r"\[([^]]*)\]")
_LEFT_AS_THEY_ARE = ("value",)  # slots that no typing error touches


def expand(pattern: str) -> tuple[str, ...]:
    """All wordings of a pattern: `[a|b] c` gives `a c` and `b c`."""
    parts = _CHOICE.split(pattern)  # fixed text and choices, alternating
    options = [part.split("|") if number % 2 else [part] for number, part in enumerate(parts)]
    return tuple("".join(chosen) for chosen in product(*options))


def _all(patterns: tuple[str, ...]) -> tuple[str, ...]:
    texts = (text for pattern in patterns for wording in expand(pattern) for text in expand(wording.replace("{the}", "[the |]")))
    return tuple(dict.fromkeys(map(_spaced, texts)))


def _spaced(text: str) -> str:
    return re.sub(r" +", " ", text).strip().replace(" ,", ",")


def skeleton(template: str) -> str:
    """What makes a template: its words without articles, case and marks."""
    return " ".join(re.sub(r"[^a-z0-9{}=#&' ]", " ", re.sub(r"\b(the|a|an)\b", " ", template.lower())).split())


@cache
def frames(form: str, split: str, part: str) -> tuple[str, ...]:
    """The frames of a form for a split: `direct`, `bare`, `clause` or `thing`. None of train equals one held out."""
    kind, at = FORMS[form], SPLITS.index(split)
    if part in ("clause", "thing"):
        return _all(kind.clause if part == "clause" else kind.thing)
    own = _all((kind.direct if part == "direct" else kind.bare)[at])
    if split != "train":
        return own
    held_out = {skeleton(text) for other in ("dev", "test") for name in ("direct", "bare") for text in frames(form, other, name)}
    return tuple(text for text in own if skeleton(text) not in held_out)


@cache
def asks(split: str, part: str) -> tuple[str, ...]:
    """The asks of a split that take a `clause` or a `thing`."""
    return _all((CLAUSE_ASKS if part == "clause" else THING_ASKS)[split])


@cache
def around(split: str, part: str) -> tuple[str, ...]:
    """The `openers` or `endings` of a split."""
    return _all((OPENERS if part == "openers" else ENDINGS)[split])


def count_templates(form: str, split: str) -> int:
    """How many templates a form has in a split, openers and endings not counted."""
    asked = sum(len(asks(split, part)) * len(frames(form, split, part)) for part in ("clause", "thing"))
    return asked + len(frames(form, split, "direct")) + len(frames(form, split, "bare"))


@dataclass(frozen=True)
class Spoken:
    """A question as it is typed, its words as they stand in it, and the `template` that it was made from."""

    text: str
    words: Mapping[str, str]
    template: str


def say(rng: random.Random, form: str, split: str, words: Mapping[str, str], image_nouns: tuple[str, ...] = ()) -> Spoken:
    """Ask a form's question with these words (key, value, noun, ...), in a wording of the split.

    `image_nouns` are names of this kind of page ("receipt"), used beside the general ones.
    """
    template, mark = _template(rng, form, split)
    text = respell(rng, template)
    typed = dict(words)
    if rng.random() < MISTYPED:
        name = rng.choice(["", *(name for name in words if name not in _LEFT_AS_THEY_ARE)])
        if name:
            typed[name] = mistype_some(rng, typed[name])
        else:
            text = mistype_some(rng, text)
    case, img = draw_case(rng), rng.choice((*image_nouns, *image_nouns, rng.choice(IMAGE_NOUNS)))
    typed = {name: cased(word, case) for name, word in typed.items()}
    text = _filled(cased(text.replace("{img}", img), case), typed)
    if case == "sentence":
        text = text[0].upper() + text[1:]
    return Spoken(text + draw_mark(rng, mark), typed, template)


def _filled(template: str, words: Mapping[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda slot: words[slot[1].lower()], template)


def _template(rng: random.Random, form: str, split: str) -> tuple[str, str]:
    """A template with its opener and ending, and the mark that closes it."""
    frame, mark = _frame(rng, form, split)
    about_image = "{img}" in frame
    if rng.random() < OPENED:
        opener = rng.choice(around(split, "openers"))
        if not (about_image and "{img}" in opener):
            frame, about_image = f"{opener} {frame}", about_image or "{img}" in opener
    if rng.random() < ENDED:
        ending = rng.choice(around(split, "endings"))
        if not (about_image and "{img}" in ending):
            frame += ending if ending[0] == "," else f" {ending}"
    return frame, mark


def _frame(rng: random.Random, form: str, split: str) -> tuple[str, str]:
    at, bare = rng.random(), frames(form, split, "bare")
    if at < BARE and bare:
        plainest = split == "train" and rng.random() < PLAINEST
        return bare[0] if plainest else rng.choice(bare), rng.choice(("?", "?", ""))
    parts = [part for part in ("clause", "thing") if frames(form, split, part)]
    if at < BARE + DIRECT or not parts:
        return rng.choice(frames(form, split, "direct")), "?"
    part = rng.choice(parts)
    ask = rng.choice(asks(split, part))
    polite = re.match(r"(can|could|will|would|do|are|is|may|have|any|mind|what|how)\b", ask)
    return f"{ask} {rng.choice(frames(form, split, part))}", "?" if polite else "."
