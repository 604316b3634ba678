"""What a score must beat before it says anything about seeing: the majority answer, a random option, no image, another image.

All are functions of the questions alone and give the same result every time.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..metrics.choices import LETTERS
from ..metrics.text import normalize_vqa
from ..question import Question


@dataclass(frozen=True)
class Majority:
    """The most frequent answer, and the split in which it was counted ("train split" or "evaluated split")."""

    answer: str
    origin: str


def majority(evaluated: Sequence[Question], train: Sequence[Question] | None) -> Majority:
    """The most frequent answer of the train split where there is one, else of the evaluated questions themselves.

    Answers are counted after normalisation, ties go to the first in the alphabet; the spelling is the commonest one.
    """
    answers = [question.answers[0] for question in train or evaluated]
    forms = Counter(normalize_vqa(answer) for answer in answers)
    best = min(forms, key=lambda form: (-forms[form], form))
    spellings = Counter(answer for answer in answers if normalize_vqa(answer) == best)
    spelling = min(spellings, key=lambda answer: (-spellings[answer], answer))
    return Majority(spelling, "train split" if train else "evaluated split")


def random_options(questions: Sequence[Question]) -> list[str] | None:
    """The letter of an option of each question, drawn from its id alone; None where a question has no options."""
    if not all(question.options for question in questions):
        return None
    return [LETTERS[random.Random(question.id).randrange(len(question.options))] for question in questions]


def without_images(questions: Sequence[Question]) -> list[Question]:
    """The blind baseline's questions: the same without their images."""
    return [replace(question, images=()) for question in questions]


def with_shuffled_images(questions: Sequence[Question], seed: int = 0) -> list[Question] | None:
    """The shuffled-image baseline's questions: each with the images of another group; None where all share one group.

    The groups are put in a random order and each takes the images of the next, so none keeps its own.
    """
    images: dict[str, tuple[str | bytes, ...]] = {}
    for question in questions:
        if question.images:
            images.setdefault(question.group, question.images)
    if len(images) < 2:
        return None
    order = list(images)
    random.Random(seed).shuffle(order)
    following = dict(zip(order, [*order[1:], order[0]], strict=True))
    return [
        replace(question, images=images[following[question.group]]) if question.images else question for question in questions
    ]
