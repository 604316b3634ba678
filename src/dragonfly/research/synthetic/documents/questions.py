"""Questions about the entries of a document: every answer is what the page prints, or follows from it.

A key is asked for by names that no other entry of the page has; the owner of a value only where the page prints that value once;
what is absent only where nothing on the page is called so.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dragonfly.vision.layout import Box

from ..document_questions import ABSENT, Question
from ..language import say
from . import content
from .concepts import Concept
from .sheet import Entry, Run, Sheet, runs_box

WANTED = ("company", "date", "total")
"""Concepts that people ask for first: two of three pages that have them are asked for each."""

CELLS = ("cell", "price")
_TOKEN = re.compile(r"[a-z0-9]+(?:[.,:/-][0-9]+)*")


@dataclass(frozen=True)
class Topic:
    """How people speak of a kind of page.

    Args:
        thing: what a page of it is.
        nouns: what people call it.
        entry, entries: what a key with its value is called.
        row, rows: what a row of its table is called.
        measures: the columns that rows are compared by; none are all.
        concepts: what its keys may mean.
    """

    thing: str
    nouns: tuple[str, ...]
    entry: str = "entry"
    entries: str = "entries"
    row: str = "row"
    rows: str = "rows"
    measures: tuple[str, ...] = ("value",)
    concepts: Mapping[str, Concept] = field(default_factory=dict[str, Concept])


@dataclass
class Asker:
    """Makes questions about a document; see `ask_document`."""

    rng: random.Random
    sheet: Sheet
    boxes: Sequence[Box]
    topic: Topic
    split: str

    def __post_init__(self) -> None:
        keys = Counter(entry.key for entry in self.sheet.entries if entry.form not in CELLS)
        self.fields = [entry for entry in self.sheet.entries if entry.form not in CELLS and keys[entry.key] == 1]
        rows = Counter((entry.key, entry.col) for entry in self.sheet.entries if entry.form in CELLS)
        self.cells = [entry for entry in self.sheet.entries if entry.form in CELLS and rows[entry.key, entry.col] == 1]
        shared = Counter(name for entry in self.fields for name in set(entry.names))
        self.names = {id(entry): tuple(name for name in entry.names if shared[name] == 1) for entry in self.fields}
        self.fields = [entry for entry in self.fields if self.names[id(entry)]]
        self.text = _joined(" ".join(span.label for span in self.sheet.spans if span.kind == "line"))

    def question(self, kind: str, form: str, answer: str, about: Sequence[Entry] = (), **words: str) -> Question:
        """A question in a wording of the grammar; the entries that it is `about` are its evidence, key box and value box.

        The box that the answer is read from stands last.
        """
        spoken = say(self.rng, form, self.split, words, self.topic.nouns)
        shown = spoken.text.lower()
        named = [
            word for name, word in spoken.words.items() if name not in ("noun", "nouns", "measure") and word.lower() in shown
        ]
        runs = [
            one
            for entry in about
            for one in ((entry.value_runs, entry.key_runs) if answer == entry.key else (entry.key_runs, entry.value_runs))
            if one
        ]
        evidence = [runs_box(self.boxes, one) for one in runs]
        caps = [entry.cap for entry in about or self.sheet.entries]
        return Question(
            kind, form, spoken.text, answer, tuple(dict.fromkeys(evidence)), round(min(caps), 2), tuple(dict.fromkeys(named))
        )

    def name(self, entry: Entry) -> str:
        return self.rng.choice(self.names[id(entry)])

    def once(self, entry: Entry) -> bool:
        """Whether the page prints this value once, so that it has one owner."""
        return self.text.count(_joined(entry.value)) == 1

    def mentioned(self, text: str) -> bool:
        return _joined(text) in self.text

    def some(self, options: Sequence[Entry], count: int) -> list[Entry]:
        return self.rng.sample(options, min(count, len(options)))


def _joined(text: str) -> str:
    """The words and numbers of a text between two blanks each, so that one text is found in another whole or not at all."""
    return f" {'  '.join(_TOKEN.findall(text.lower()))} "


def ask_document(rng: random.Random, sheet: Sheet, boxes: Sequence[Box], topic: Topic, split: str) -> tuple[Question, ...]:
    """Questions about a page in random order; of two with the same words and different answers neither."""
    asker = Asker(rng, sheet, boxes, topic, split)
    found = [question for make in (_values, _owners, _absences, _yes_no, _comparisons, _counts) for question in make(asker)]
    answers: dict[str, set[str]] = {}
    for question in found:
        answers.setdefault(question.text.lower(), set()).add(question.answer)
    first = {question.text.lower(): question for question in reversed(found)}
    asked = [question for text, question in first.items() if len(answers[text]) == 1]
    asked.sort(key=found.index)
    rng.shuffle(asked)
    return tuple(asked)


def _values(asker: Asker) -> Iterator[Question]:
    first = [entry for entry in asker.fields if entry.concept in WANTED and asker.rng.random() < 0.67]
    others = [entry for entry in asker.fields if entry not in first]
    for entry in (*first, *asker.some(others, 6 - len(first))):
        yield asker.question("read", entry.form, entry.value, [entry], key=asker.name(entry))
    for entry in asker.some(asker.cells, 3 if asker.fields else 6):
        yield asker.question("read", entry.form, entry.value, [entry], row=_row(entry), col=entry.col)


def _row(entry: Entry) -> str:
    return entry.names[0] if entry.names else entry.key.lower()


def _owners(asker: Asker) -> Iterator[Question]:
    topic = asker.topic
    fields = [entry for entry in asker.fields if entry.key and asker.once(entry)]
    cells = [entry for entry in asker.cells if asker.once(entry) and len(entry.value) > 1]
    for entry in asker.some(fields, 5) + asker.some(cells, 3 if fields else 6):
        if entry.form in CELLS:
            yield asker.question(
                "next to", "cell owner", entry.key, [entry], value=entry.value, col=entry.col, noun=topic.row, nouns=topic.rows
            )
        else:
            yield asker.question("next to", "owner", entry.key, [entry], value=entry.value, noun=topic.entry, nouns=topic.entries)


def _missing(asker: Asker) -> list[str]:
    """Names of concepts that the page does not have and whose names and keys it does not mention."""
    present = {entry.concept for entry in asker.sheet.entries}
    missing = [
        concept
        for name, concept in asker.topic.concepts.items()
        if name not in present and not any(asker.mentioned(text) for text in (*concept.names, *concept.printed))
    ]
    asker.rng.shuffle(missing)
    return [asker.rng.choice(concept.names) for concept in missing]


def _absences(asker: Asker) -> Iterator[Question]:
    for name in _missing(asker)[2:5]:
        yield asker.question("absent", "value", ABSENT, key=name)
    for entry in asker.some(asker.cells, 1 if asker.fields else 2):
        yield asker.question("absent", entry.form, ABSENT, row=_other_row(asker, entry), col=entry.col)
    topic, fields = asker.topic, [entry for entry in asker.fields if entry.key and entry.form not in ("date", "time")]
    if fields:
        value = _other_digits(asker, asker.rng.choice(fields).value)
        if value:
            yield asker.question("absent", "owner", ABSENT, value=value, noun=topic.entry, nouns=topic.entries)


def _other_row(asker: Asker, entry: Entry) -> str:
    """The name of a row such as the table has, but which it has not."""
    names = content.WORDS.get(f"rows {entry.concept}", ())
    free = [name for name in names if not asker.mentioned(name)]
    if free:
        return asker.rng.choice(free).lower()
    make = content.item if entry.concept == "item" else content.sample
    while asker.mentioned(name := make(asker.rng, asker.split)):
        pass
    return name.lower()


def _other_digits(asker: Asker, value: str) -> str:
    """The value with other digits, as no part of the page reads; nothing where it has no digits."""
    for _ in range(20):
        changed = re.sub(r"\d", lambda digit: asker.rng.choice("0123456789"), value)
        if changed != value and not asker.mentioned(changed) and not re.search(r"(^|\D)0\d", changed):
            return changed
    return ""


def _yes_no(asker: Asker) -> Iterator[Question]:
    """As many yes as no of each form."""
    missing = _missing(asker)[:2]
    keyed = [entry for entry in asker.fields if entry.key]
    for entry, name in zip(asker.some(keyed, 2), missing, strict=False):
        present = asker.name(entry)
        yield asker.question("yes/no", "present", "yes", [entry], key=present, an=_with_article(present))
        yield asker.question("yes/no", "present", "no", key=name, an=_with_article(name))
    for entry in asker.some(asker.cells, 0 if keyed else 2):
        for answer, name, about in (("yes", _row(entry), [entry]), ("no", _other_row(asker, entry), [])):
            yield asker.question(
                "yes/no", "present", answer, about, key=name, an=_with_article(name) if entry.concept == "item" else name
            )
    for form, entries in (("holds", keyed), ("cell holds", asker.cells)):
        right, wrong = asker.some(entries, 1), asker.some(entries, 1)
        other = next((_wrong_value(asker, entry, entries) for entry in wrong), "")
        if not other:
            continue
        for answer, entry, value in (("yes", right[0], right[0].value), ("no", wrong[0], other)):
            words = {"row": _row(entry), "col": entry.col} if form == "cell holds" else {"key": asker.name(entry)}
            yield asker.question("yes/no", form, answer, [entry], value=value, **words)


def _with_article(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _wrong_value(asker: Asker, entry: Entry, entries: Sequence[Entry]) -> str:
    """A value that is not this entry's: in half of the cases another's of the page, of the same kind."""
    others = [
        other.value for other in entries if (other.form, other.col) == (entry.form, entry.col) and other.value != entry.value
    ]
    if others and asker.rng.random() < 0.5:
        return asker.rng.choice(others)
    if entry.form in ("date", "time"):  # other digits would be no date
        return asker.rng.choice(others) if others else ""
    return _other_digits(asker, entry.value) or (asker.rng.choice(others) if others else "")


def _comparisons(asker: Asker) -> Iterator[Question]:
    topic, rng = asker.topic, asker.rng
    groups: dict[str, list[Entry]] = {}
    for entry in (*asker.fields, *asker.cells):
        if entry.number is not None:
            groups.setdefault(entry.col or entry.form, []).append(entry)
    pairs = [(col, asker.some(entries, 2)) for col, entries in groups.items() if len(entries) > 1]
    for col, (a, b) in rng.sample(pairs, min(2, len(pairs))):
        assert a.number is not None and b.number is not None
        if a.number == b.number:
            continue
        form = rng.choice(("larger", "smaller"))
        answer = a if (a.number > b.number) == (form == "larger") else b
        names = [f"{col} of {_row(entry)}" if entry.form in CELLS else asker.name(entry) for entry in (a, b)]
        yield asker.question("compare", form, answer.key, [a, b], a=names[0], b=names[1])
    measure = rng.choice(
        sorted({entry.col for entry in asker.cells if entry.number is not None and entry.col in topic.measures}) or [""]
    )
    column = [entry for entry in asker.cells if entry.col == measure]
    if len(column) > 2:
        form = rng.choice(("most", "least"))
        ranked = sorted(column, key=lambda entry: entry.number or 0.0, reverse=form == "most")
        if ranked[0].number != ranked[1].number and len(column) == len(_rows(asker)):
            yield asker.question("compare", form, ranked[0].key, ranked[:1], noun=topic.row, nouns=topic.rows, measure=measure)


def _rows(asker: Asker) -> list[Entry]:
    """The first cell of every row of the page's table."""
    rows: dict[tuple[Run, ...], Entry] = {}
    for entry in asker.sheet.entries:
        if entry.form in CELLS:
            rows.setdefault(entry.key_runs, entry)
    return list(rows.values())


def _counts(asker: Asker) -> Iterator[Question]:
    topic, rows = asker.topic, _rows(asker)
    about = f"a {topic.thing}"
    if rows:
        noun = topic.rows if len(rows) != 1 else topic.row
        about += f" with {len(rows)} {noun}"
        counted = [Entry("cell", "", "", row.key_runs, (), cap=row.cap) for row in rows]
        yield asker.question("count", "count", str(len(rows)), counted, nouns=topic.rows)
    if asker.rng.random() < 0.5:
        yield asker.question("describe", "describe", about, asker.some(asker.sheet.entries, 1))
