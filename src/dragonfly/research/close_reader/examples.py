# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""What a close reader learns from: prompts of a lens with their answers, many questions behind the same views.

Where the views hold what is asked, the answer is the answer; where close-ups are shown and none holds it, it is "not in the
picture"; a comparison's is the number of the part that holds it. What lies in a view by half is not asked.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from dragonfly.lens.grid import Grid
from dragonfly.research.synthetic import ABSENT
from dragonfly.vision.layout import Box

from .pages import Asked, Page
from .prompts import Prompt, Prompts, choosing, share

SHOWN, HIDDEN = 0.95, 0.2
"""Of a box, the share from which it counts as shown in a view, and the share up to which it does not."""

BUDGETS, ALONE, SEARCH = (100, 130, 220), (30, 220), 512
"""Visual tokens that prompts are made under, drawn evenly: with close-ups from the least to what grows from the second to the
last in the course of training, and of a whole image alone; and those of a search."""

WHOLE, COMPARE = 0.05, 0.1
"""Shares of the pages that are shown as a whole alone, and that are searched; the others are shown with close-ups."""

MOST, MOST_COMPARED = 12, 5
"""Questions behind the same views, at most; those of comparisons are long."""


@dataclass(frozen=True)
class Target:
    """A question as its prompt words it, and the answer.

    Args:
        kind: shown, hidden, whole or compare.
        views: which views of the prompt hold the answer, counted from 0, where it is told to look closer.
    """

    question: str
    answer: str
    kind: str
    views: tuple[int, ...] = ()


@dataclass(frozen=True)
class Example:
    """Views once, then every question by itself.

    Args:
        inputs: ids (1, length), pixel_values and image_sizes of the prompt of the first question.
        shared: how many ids come before the first question's own.
        tails: ids of each question, its answer and the end of the turn, in the order of `targets`.
        answers: how many of them are the answer's.
    """

    inputs: dict[str, Tensor]
    shared: int
    tails: list[list[int]]
    answers: list[int]
    targets: list[Target]


def examples(prompts: Prompts, page: Page, rng: random.Random, grown: float = 1.0) -> Iterator[Example]:
    """What one page teaches, as drawn; `grown` is how far budgets have grown, 0 to 1."""
    image, draw = page.image, rng.random()
    if draw < WHOLE:
        yield from _asked(prompts, prompts.whole(image, rng.randint(*ALONE)), [_as_it_is(one) for one in page.questions], rng)
    elif draw < WHOLE + COMPARE:
        guides = [one.box for one in page.questions if one.box]
        for prompt, parts in prompts.compared(image, rng.choice(guides), SEARCH) if guides else ():
            yield from _asked(prompts, prompt, _compared(page.questions, parts), rng, MOST_COMPARED)
    else:
        least, first, last = BUDGETS
        max_tokens = rng.randint(least, round(first + grown * (last - first)))
        grid, most = prompts.grid(image, max_tokens)
        areas = _areas(image, grid, page.questions, rng.randint(1, most), rng) if grid else []
        if areas:
            prompt, boxes = prompts.closer(image, areas, max_tokens)
            yield from _asked(prompts, prompt, _closer(page.questions, boxes), rng)


def _as_it_is(one: Asked) -> Target:
    return Target(one.text, one.answer, "whole")


def _closer(questions: Sequence[Asked], boxes: Sequence[Box]) -> list[Target]:
    """The answers of what is shown, and as many questions, or one, about what is not."""
    shown, hidden = list[Target](), list[Target]()
    for one in questions:
        seen = [share(one.box, box) if one.box else 0.0 for box in boxes]
        if max(seen) >= SHOWN:
            views = tuple(number for number, held in enumerate(seen, start=1) if held >= SHOWN)  # 0 is the whole image
            shown.append(Target(one.text, one.answer, "shown", views))
        elif max(seen) <= HIDDEN:
            hidden.append(Target(one.text, ABSENT, "hidden"))
    return [*shown, *hidden[: max(1, len(shown) // 2)]]


def _compared(questions: Sequence[Asked], parts: Sequence[Box]) -> list[Target]:
    """The number of the part that holds each question's evidence, of those that lie in one."""
    found = list[Target]()
    for one in questions:
        held = [share(one.box, part) for part in parts] if one.box else [0.0]
        if max(held) >= SHOWN:
            part = int(np.argmax(held))
            found.append(Target(choosing(one.text), str(1 + part), "compare", (part,)))
    return found


def _areas(image: Image.Image, grid: Grid, questions: Sequence[Asked], count: int, rng: random.Random) -> list[Box]:
    """Areas of up to `count` close-ups: around some of the evidence, and windows anywhere or where the page is full of detail."""
    boxes = list(dict.fromkeys(one.box for one in questions if one.box))
    rng.shuffle(boxes)
    evidence = boxes[: rng.randint(0 if rng.random() < 0.15 else 1, count)]
    areas: list[Box] = [grid.area(grid.covering(box)) for box in evidence]
    scores = np.array([rng.random() for _ in range(grid.cells[0] * grid.cells[1])]).reshape(grid.cells)
    if rng.random() < 0.6:
        scores += 4 * _ranks(grid.pixel_scores(image, (64, 64), "detail"))
    for block in grid.top_windows(scores, 2 * count):
        area = grid.area(block)
        if len(areas) < count and all(share(area, other) == 0 for other in areas):
            areas.append(area)
    return list(dict.fromkeys(areas))[:count]


def _ranks(scores: np.ndarray) -> np.ndarray:
    """The scores' places among each other, 0 to 1."""
    order = scores.reshape(-1).argsort().argsort()
    return order.reshape(scores.shape) / max(1, order.size - 1)


def _asked(prompts: Prompts, prompt: Prompt, targets: list[Target], rng: random.Random, most: int = MOST) -> Iterator[Example]:
    """The example of a prompt with its questions in a drawn order; none without questions."""
    if not targets:
        return
    targets = rng.sample(targets, min(len(targets), most))
    recorder, tokenizer = prompts.recorder, prompts.recorder.processor.tokenizer
    inputs = dict(recorder.inputs(prompt, targets[0].question))
    tails, answers = list[list[int]](), list[int]()
    for target in targets:
        answer = [*tokenizer(target.answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        tails.append([*recorder.tail(prompt, target.question), *answer])
        answers.append(len(answer))
    shared = inputs["input_ids"].shape[1] - (len(tails[0]) - answers[0])
    yield Example(inputs, shared, tails, answers, targets)
