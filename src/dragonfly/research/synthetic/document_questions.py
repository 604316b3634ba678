"""Questions about the facts of an image, with their accepted answer and the boxes of its evidence.

Every answer follows from the facts. Questions about something absent are worded like those about something present, and each
form of yes/no question has as many yes as no. A wording of one split occurs in no other, not even with other articles, and `dev`
and `test` use no word that `train` does not use.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from dragonfly.vision.layout import Box

from .facts import Fact, Family, make_value, plural
from .language import say
from .language.grammar import expand
from .language.other_names import OTHER_NOUNS, other_name
from .phrases import PHRASES

ABSENT = "not in the picture"
OTHERWISE = 0.35  # in varied language, the share of words that people have another for which is said by that
HOW_MUCH = 0.4  # and of numbers on receipts and alike that are asked for by "how much"
ARTICLE = re.compile(r"^(a|an|the) ")
KINDS = ("read", "next to", "look", "compare", "count", "yes/no", "absent", "describe")


@dataclass(frozen=True)
class Question:
    """A question with its answer.

    Args:
        kind: one of `KINDS`.
        form: the group of wordings that its wording is from.
        text: the question.
        answer: the one accepted answer.
        evidence: boxes of the facts that answer it, in pixels; empty where it asks about something absent.
        detail_px: height in pixels of the smallest text or speck that it is about.
        about: the words of the question that name what is asked about.
    """

    kind: str
    form: str
    text: str
    answer: str
    evidence: tuple[Box, ...] = ()
    detail_px: float = 0.0
    about: tuple[str, ...] = ()


@dataclass
class Asker:
    """Makes questions about the `facts` of an image, and about `absent` keys, in the wordings of a split.

    `language`: `plain` is a few wordings, `natural` those of the grammar, and `varied` these and more: keys by other names,
    amounts by "how much", and more comparisons.
    """

    rng: random.Random
    facts: Sequence[Fact]
    absent: Sequence[str]
    family: Family
    split: str
    language: str = "plain"

    def question(self, kind: str, form: str, answer: str, about: Sequence[Fact] = (), **words: str) -> Question:
        """A question in a random wording of its form; the facts that it is `about` are its evidence."""
        if self.language == "plain":
            text = self.rng.choice(WORDINGS[form].of(self.split)).format(**words)
        else:
            text, words = self._natural(form, words)
        boxes = [fact.box for fact in about if fact.box is not None]
        evidence = tuple(boxes) if len(boxes) == len(about) else ()
        detail = min(fact.detail_px for fact in about or self.facts)
        shown = text.lower()
        named = tuple(
            dict.fromkeys(ARTICLE.sub("", word) for name, word in words.items() if name != "noun" and word.lower() in shown)
        )
        return Question(
            kind, form, text[0].upper() + text[1:] if self.language == "plain" else text, answer, evidence, detail, named
        )

    def _natural(self, form: str, words: dict[str, str]) -> tuple[str, dict[str, str]]:
        """(question, its words as typed), in a wording of the grammar; every template finds the words it needs."""
        asked = {name: word if name == "an" else ARTICLE.sub("", word) for name, word in words.items()}
        if "an" in asked:
            asked["key"] = ARTICLE.sub("", asked["an"])
        if self.language == "varied":
            asked = self._otherwise(asked)
        if "noun" in asked:
            asked["nouns"] = plural(asked["noun"])
        spoken = say(self.rng, form, self.split, asked, (self.family.thing,))
        return spoken.text, {name: word for name, word in spoken.words.items() if not (name == "nouns" and "noun" in asked)}

    def _otherwise(self, words: dict[str, str]) -> dict[str, str]:
        """The words of a question, some of them others that mean the same."""
        said = dict(words)
        for name in ("key", "a", "b"):
            if name in words and self.rng.random() < OTHERWISE:
                said[name] = other_name(self.rng, words[name], self.family.keys)
        if "an" in words:
            said["an"] = _with_article(said["key"], self.family)
        if "noun" in words and self.rng.random() < OTHERWISE:
            said["noun"] = self.rng.choice(OTHER_NOUNS[words["noun"]])
        if words.get("nouns") == words.get("key") is not None:
            said["nouns"] = said["key"]
        elif words.get("nouns") == plural(self.family.noun) and self.rng.random() < OTHERWISE:
            said["nouns"] = plural(self.rng.choice(OTHER_NOUNS[self.family.noun]))
        return said

    def unseen_value(self) -> str:
        return make_value(self.rng, self.family, self.split, {fact.value for fact in self.facts})

    def some(self, options: Sequence[Fact], count: int) -> list[Fact]:
        return self.rng.sample(options, min(count, len(options)))


def ask(
    rng: random.Random,
    facts: Sequence[Fact],
    absent: Sequence[str],
    family: Family,
    split: str,
    whole: bool = True,
    language: str = "plain",
) -> tuple[Question, ...]:
    """All questions about the facts, in random order; without `whole`, none about the image as a whole."""
    asker = Asker(rng, facts, absent, family, split, language)
    makers: list[Callable[[Asker], Iterator[Question]]] = [_values, _owners, _absences, _comparisons, _yes_no, _looks]
    makers += [_counts, _description] if whole else []
    found = [question for make in makers for question in make(asker)]
    first = {question.text: question for question in reversed(found)}  # one answer each, whatever the wording
    asked = [question for question in found if first[question.text] is question]
    rng.shuffle(asked)
    return tuple(asked)


def _value_form(family: Family) -> tuple[str, str]:
    """(kind, form) of the question for a fact's value."""
    if family.specks:
        return "count", "count"
    return ("next to", "beside") if family.shapes else ("read", "value")


def _values(asker: Asker) -> Iterator[Question]:
    kind, form = _value_form(asker.family)
    for fact in asker.facts:
        yield asker.question(kind, _amount_form(asker, form, fact.value), fact.value, [fact], key=fact.key, nouns=fact.key)


def _amount_form(asker: Asker, form: str, value: str | None = None) -> str:
    """The form that asks for this value, or for one that is not there: in varied language numbers at times by "how much"."""
    if asker.language != "varied" or asker.family.thing not in ("receipt", "table", "chart"):
        return form
    return "money" if (value or asker.unseen_value()).isdigit() and asker.rng.random() < HOW_MUCH else form


def _owners(asker: Asker) -> Iterator[Question]:
    if asker.family.specks:
        return
    form = "owner of shapes" if asker.family.shapes else "owner"
    # Asked in free language, the owner of a value is as common as the value of an owner: rare, it is taken for yes or no.
    count = 1 + len(asker.facts) // 3 if asker.language == "plain" else len(asker.facts)
    for fact in asker.some(asker.facts, count):
        yield asker.question("next to", form, fact.key, [fact], value=fact.value, noun=asker.family.noun)


def _absences(asker: Asker) -> Iterator[Question]:
    _, form = _value_form(asker.family)
    for key in asker.rng.sample(asker.absent, min(len(asker.absent), 1 + len(asker.facts) // 4)):
        yield asker.question("absent", _amount_form(asker, form), ABSENT, key=key, nouns=key)
    if not asker.family.specks and asker.rng.random() < 0.5:
        form = "owner of shapes" if asker.family.shapes else "owner"
        yield asker.question("absent", form, ABSENT, value=asker.unseen_value(), noun=asker.family.noun)


def _comparisons(asker: Asker) -> Iterator[Question]:
    numbers = [fact for fact in asker.facts if fact.number is not None]
    for _ in range(1 if len(numbers) < 3 else 4 if asker.language == "varied" else 2):
        pair = asker.some(numbers, 2)
        if len(pair) == 2 and pair[0].value != pair[1].value:
            form = asker.rng.choice(("larger", "smaller"))
            low, high = sorted(pair, key=lambda fact: fact.number or 0)
            names = [f"the {fact.key}" if asker.family.shapes else fact.key for fact in pair]
            answer = high if form == "larger" else low
            yield asker.question("compare", form, answer.key, pair, a=names[0], b=names[1])


def _yes_no(asker: Asker) -> Iterator[Question]:
    """One question with the answer yes and one with no, of each form."""
    for fact, key in zip(asker.some(asker.facts, 1), asker.rng.sample(asker.absent, 1), strict=False):
        yield asker.question("yes/no", "present", "yes", [fact], an=_with_article(fact.key, asker.family))
        yield asker.question("yes/no", "present", "no", an=_with_article(key, asker.family))
    form = "holds specks" if asker.family.specks else ("holds beside" if asker.family.shapes else "holds")
    pair = asker.some(asker.facts, 2)
    for fact in pair[:1]:
        yield asker.question("yes/no", form, "yes", [fact], key=fact.key, value=fact.value)
    for fact in pair[-1:]:
        yield asker.question("yes/no", form, "no", [fact], key=fact.key, value=_other_value(asker, fact))


def _other_value(asker: Asker, fact: Fact) -> str:
    """A value that is not this fact's; in half of the cases one of another fact of the image."""
    others = [other.value for other in asker.facts if other.value != fact.value]
    if others and asker.rng.random() < 0.5:
        return asker.rng.choice(others)
    while (value := asker.unseen_value()) == fact.value:
        pass
    return value


def _looks(asker: Asker) -> Iterator[Question]:
    """The colour of a shape that occurs once, and the shape of a colour that occurs once."""
    if not asker.family.shapes:
        return
    for place, form in ((1, "colour of specks" if asker.family.specks else "colour"), (0, "shape")):
        named: dict[str, list[Fact]] = {}
        for fact in asker.facts:
            named.setdefault(fact.key.split()[place], []).append(fact)
        single = [facts[0] for facts in named.values() if len(facts) == 1]
        for fact in asker.some(single, 2):
            words = fact.key.split()
            yield asker.question("look", form, words[1 - place], [fact], key=words[place])


def _counts(asker: Asker) -> Iterator[Question]:
    family, facts = asker.family, asker.facts
    yield asker.question("count", "count", str(len(facts)), facts, nouns=plural(family.noun))
    if family.shapes and not family.specks:
        colour = asker.rng.choice(sorted({fact.key.split()[0] for fact in facts}))
        shape = asker.rng.choice(sorted({fact.key.split()[1] for fact in facts}))
        for nouns, word in ((f"{colour} shapes", colour), (plural(shape), shape)):
            about = [fact for fact in facts if word in fact.key.split()]
            yield asker.question("count", "count", str(len(about)), about, nouns=nouns)


def _description(asker: Asker) -> Iterator[Question]:
    count = len(asker.facts)
    yield asker.question("describe", "describe", describe(asker.family, count), asker.facts)


def caption(facts: Sequence[Fact], family: Family) -> Question:
    """What an image is, and a line "key value" for each of its facts, from left to right within bands of their height."""
    height = min((fact.box[3] - fact.box[1] for fact in facts if fact.box), default=1.0)
    in_order = sorted(facts, key=lambda fact: (fact.box[1] // height, fact.box[0]) if fact.box else (0.0, 0.0))
    text = "\n".join([describe(family, len(facts)), *(f"{fact.key} {fact.value}" for fact in in_order)])
    evidence = tuple(fact.box for fact in in_order if fact.box)
    return Question("describe", "caption", "Write down all of it.", text, evidence, min(fact.detail_px for fact in facts))


def describe(family: Family, count: int) -> str:
    """One short sentence: "a receipt with 5 fields"."""
    return f"a {family.thing} with {count} {plural(family.noun, count)}"


def _with_article(key: str, family: Family) -> str:
    if family.specks:
        return key
    return f"{'an' if key[0] in 'aeiou' else 'a'} {key}"


THE = re.compile(r"\bthe ", re.IGNORECASE)


@dataclass(frozen=True)
class Wordings:
    """The wordings of one form of question: patterns for `train`, single wordings for `dev` and `test`.

    Patterns give many wordings, because a small model that knows few takes a new one for the nearest that it knows.
    """

    patterns: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]

    @cached_property
    def train(self) -> tuple[str, ...]:
        """All wordings of the patterns except the held-out ones."""
        held_out = {THE.sub("", wording) for wording in (*self.dev, *self.test)}
        wordings = dict.fromkeys(wording for pattern in self.patterns for wording in expand(pattern))
        return tuple(wording for wording in wordings if THE.sub("", wording) not in held_out)

    def of(self, split: str) -> tuple[str, ...]:
        return {"train": self.train, "dev": self.dev, "test": self.test}[split]


WORDINGS: dict[str, Wordings] = {form: Wordings(*parts) for form, parts in PHRASES.items()}
