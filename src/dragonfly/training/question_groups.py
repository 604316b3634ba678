"""Which questions on one image may share a conversation.

Grouped as turns, an earlier question and its answer stand in a later one's prompt. "Is the tax 47?", "yes" tells what the tax
is: a model trained on such conversations learns to copy, scores well in training and, asked alone, knows nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dragonfly.data import PLACES, Sample

STOCK = {"yes", "no"}
SHORT = 3
"""Words at most of an answer that is looked for in other turns; longer ones are stock phrases or descriptions."""


@dataclass(frozen=True)
class Said:
    """What a row says, its short answers, and the few places it is about."""

    words: frozenset[str]
    answers: tuple[frozenset[str], ...]
    places: frozenset[object]


def apart(group: Sequence[Sample], most: int) -> list[list[Sample]]:
    """The group in parts of at most `most` rows that tell each other nothing; each row is in the first part that takes it."""
    parts: list[list[tuple[Sample, Said]]] = []
    for row in group:
        said = _said(row)
        part = next((part for part in parts if len(part) < most and not any(telling(said, own) for _, own in part)), None)
        if part is None:
            parts.append(part := [])
        part.append((row, said))
    return [[row for row, _ in part] for part in parts]


def telling(first: Said, second: Said) -> bool:
    """Whether one tells the other's answer: they are about the same place, or an answer's words all occur in the other."""
    if first.places & second.places:
        return True
    return any(answer <= second.words for answer in first.answers) or any(answer <= first.words for answer in second.answers)


def _said(row: Sample) -> Said:
    boxes = frozenset(box for turn in row.evidence for box in turn)
    answers = [_words(message.text) for message in row.messages if message.role == "assistant"]
    short = tuple(answer for answer in answers if len(answer) <= SHORT and not answer <= STOCK)
    every = frozenset[str]().union(*(_words(message.text) for message in row.messages))
    return Said(every, short, boxes if len(boxes) <= PLACES else frozenset())


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))
