"""Questions on the same images as turns of one conversation: the images are encoded once for all of them.

As turns, an earlier question and its answer stand in a later one's prompt. "Is the tax 47?", "yes" tells what the tax is: a model
trained on such conversations learns to copy, scores well in training and, asked by itself, knows nothing. So questions that tell
each other's answers never share a conversation, unless training hides the turns from each other.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dragonfly.vision.layout import Box

from .sample import Message, Part, Sample

STOCK = {"yes", "no"}
SHORT = 3
"""Words at most of an answer that is looked for in other turns; longer ones are stock phrases or descriptions."""

PLACES = 2
"""Boxes of evidence at most of a question about a place; one about more of the image tells no single place's answer."""

ABOUT = "about"
"""In `Sample.meta`: for each answer, as with evidence, the words of its question that name what is asked about."""


def grouped(rows: Iterable[Sample], most: int, *, turns_seen: bool = True) -> list[Sample]:
    """Questions on the same images as conversations of at most `most` of them, in a drawn order.

    Rows without images, or with another system message than the last on theirs, stay as they are.

    Args:
        turns_seen: whether a turn sees the earlier ones; questions that tell each other's answers are then kept apart.
    """
    groups: dict[object, list[Sample]] = {}
    for number, row in enumerate(rows):
        system = row.messages[0].text if row.messages[0].role == "system" else None
        groups.setdefault((row.images, system) if row.images else number, []).append(row)
    divide = apart if turns_seen else _in_order
    return [group_questions(part, seed=at) for group in groups.values() for at, part in enumerate(divide(group, most))]


def group_questions(samples: Sequence[Sample], *, seed: int = 0) -> Sample:
    """Several questions on the same images as turns of one conversation, in an order drawn from `seed`.

    The images go once, before the first question; a system message must be shared by all. The turns of one sample
    stay together and in order. ValueError when the samples are not about the same images or have other systems.
    """
    if not samples:
        raise ValueError("group_questions got no samples; give at least one")
    for sample in samples[1:]:
        if sample.images != samples[0].images:
            raise ValueError(f"group_questions: {sample.id!r} is not about the images of {samples[0].id!r}; group them per image")
        if _system(sample) != _system(samples[0]):
            raise ValueError(f"group_questions: {sample.id!r} has another system message than {samples[0].id!r}")
    order = list(samples)
    random.Random(seed).shuffle(order)
    if len(order) == 1:
        return order[0]
    turns = [_without_images(message) for sample in order for message in _turns(sample)]
    images = tuple(Part("image") for _ in samples[0].images)
    turns[0] = Message(turns[0].role, images + turns[0].content)
    return Sample(
        id="+".join(sample.id for sample in order),
        source=samples[0].source,
        images=samples[0].images,
        messages=(*_system(samples[0]), *turns),
        evidence=_grouped_evidence(order),
        meta=_common_meta(order),
        place=samples[0].place,
    )


@dataclass(frozen=True)
class Content:
    """What a row says, its short answers, and the few places it is about."""

    words: frozenset[str]
    answers: tuple[frozenset[str], ...]
    places: frozenset[object]


def apart(group: Sequence[Sample], most: int) -> list[list[Sample]]:
    """The group in parts of at most `most` rows that tell each other nothing; each row is in the first part that takes it."""
    parts: list[list[tuple[Sample, Content]]] = []
    for row in group:
        content = _content(row)
        part = next((part for part in parts if len(part) < most and not any(telling(content, own) for _, own in part)), None)
        if part is None:
            parts.append(part := [])
        part.append((row, content))
    return [[row for row, _ in part] for part in parts]


def telling(first: Content, second: Content) -> bool:
    """Whether one tells the other's answer: they are about the same place, or an answer's words all occur in the other."""
    if first.places & second.places:
        return True
    return any(answer <= second.words for answer in first.answers) or any(answer <= first.words for answer in second.answers)


def _content(row: Sample) -> Content:
    boxes = frozenset(box for turn in row.evidence for box in turn)
    answers = [_words(message.text) for message in row.messages if message.role == "assistant"]
    short = tuple(answer for answer in answers if len(answer) <= SHORT and not answer <= STOCK)
    every = frozenset[str]().union(*(_words(message.text) for message in row.messages))
    return Content(every, short, boxes if len(boxes) <= PLACES else frozenset())


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def _in_order(group: Sequence[Sample], most: int) -> list[Sequence[Sample]]:
    return [group[at : at + most] for at in range(0, len(group), most)]


def _system(sample: Sample) -> tuple[Message, ...]:
    return tuple(message for message in sample.messages[:1] if message.role == "system")


def _turns(sample: Sample) -> Iterator[Message]:
    return (message for message in sample.messages if message.role != "system")


def _without_images(message: Message) -> Message:
    return Message(message.role, tuple(part for part in message.content if part.type == "text"))


def _grouped_evidence(samples: Sequence[Sample]) -> tuple[tuple[Box, ...], ...]:
    if not any(sample.evidence for sample in samples):
        return ()
    none = [tuple(() for m in sample.messages if m.role == "assistant") for sample in samples]
    return tuple(boxes for sample, empty in zip(samples, none, strict=True) for boxes in sample.evidence or empty)


def _common_meta(samples: Sequence[Sample]) -> dict[str, Any]:
    """What is true of every grouped sample; the rest would be said of turns that it does not hold for."""
    first, rest = samples[0].meta, samples[1:]
    common = {k: v for k, v in first.items() if all(k in other.meta and other.meta[k] == v for other in rest)}
    if all(ABOUT in sample.meta for sample in samples):
        common[ABOUT] = [words for sample in samples for words in sample.meta[ABOUT]]
    return common
