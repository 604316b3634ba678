# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""What a lens hands its model, written down instead of answered: a model is trained on the very prompts that it is asked with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dragonfly.lens import Lens
from dragonfly.lens.families import Options
from dragonfly.lens.grid import Block, Grid
from dragonfly.lens.reader import CHOOSE, Reader, Said
from dragonfly.vision.layout import Box

Views = Sequence[tuple[str, Image.Image]]


@dataclass(frozen=True)
class Prompt:
    """One call: labelled views, the processor's options, and the visual tokens that they may take."""

    views: Views
    options: Options
    tokens: int


class Recorder(Reader):
    """A reader that keeps every call and answers none. Comparisons are told the way by `way`, the numbers of the right parts."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__(model, processor, "close-reader")
        self.answered: list[Prompt] = []
        self.compared: list[Prompt] = []
        self.way: list[int] = []

    def answer(self, views: Views, question: str, options: Options, tokens: int, max_new_tokens: int) -> Said:
        self.answered.append(Prompt(list(views), options, tokens))
        return Said("", (), (), 0, "stop", torch.zeros(0))

    def choose(self, views: Views, question: str, tokens: int) -> NDArray[np.float64]:
        if len(self.compared) == len(self.way):  # the way has ended; what a lens still opens teaches nothing
            return np.full(len(views), 1 / len(views))
        self.compared.append(Prompt(list(views), self.family.close, tokens))
        return np.eye(len(views))[self.way[len(self.compared) - 1]]

    def inputs(self, prompt: Prompt, question: str) -> Any:
        """What the model is given, as it is given where the question is answered."""
        return self._inputs(prompt.views, question, prompt.options, prompt.tokens)

    def tail(self, prompt: Prompt, question: str) -> list[int]:
        """The ids of a prompt from behind its last view on; those before are the same whatever is asked."""
        text = self._text([label for label, _ in prompt.views], question)
        return self.processor.tokenizer(text.rpartition(self.processor.image_token)[2], add_special_tokens=False)["input_ids"]


class Prompts:
    """The prompts of a lens of this model."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.recorder = Recorder(model, processor)
        self.lenses = {name: Lens((model, processor), method=name) for name in ("oracle", "downsample", "search")}
        for lens in self.lenses.values():
            lens.reader = self.recorder

    def grid(self, image: Image.Image, max_tokens: int) -> tuple[Grid | None, int]:
        """The grid of an image, None where it is shown in full anyway, and how many close-ups the budget allows."""
        plan = self.lenses["oracle"].plan((image.height, image.width), max_tokens=max_tokens)
        return plan.grid, plan.close_ups

    def whole(self, image: Image.Image, max_tokens: int) -> Prompt:
        """The whole image alone."""
        self.recorder.answered.clear()
        self.lenses["downsample"].ask(image, "-", max_tokens=max_tokens)
        return self.recorder.answered[0]

    def closer(self, image: Image.Image, areas: Sequence[Box], max_tokens: int) -> tuple[Prompt, list[Box]]:
        """The whole image with close-ups that hold these areas, and the boxes of the close-ups."""
        self.recorder.answered.clear()
        answer = self.lenses["oracle"].ask(image, "-", max_tokens=max_tokens, evidence=areas)
        return self.recorder.answered[0], [view.box for view in answer.views[1:]]

    def compared(self, image: Image.Image, box: Box, max_tokens: int) -> list[tuple[Prompt, list[Box]]]:
        """The comparisons of a search that finds a box, from the whole image down, each with the boxes of its parts."""
        recorder, lens = self.recorder, self.lenses["search"]
        grid = lens.plan((image.height, image.width), max_tokens=max_tokens).grid
        recorder.compared.clear()
        steps, recorder.way = way(grid, box) if grid else ([], [])
        lens.ask(image, "-", max_tokens=max_tokens)
        shown = zip(recorder.compared, steps, strict=False)  # a plan may end before the way does
        return [(prompt, [grid.area(part) for part in parts]) for prompt, parts in shown if grid]


def way(grid: Grid, box: Box) -> tuple[list[list[Block]], list[int]]:
    """The parts that a search compares at each step, and the number of the one that shows most of a box."""
    steps, numbers, block = list[list[Block]](), list[int](), grid.whole
    while block.bottom - block.top > grid.window[0] or block.right - block.left > grid.window[1]:
        parts = block.quarters()
        steps.append(parts)
        numbers.append(int(np.argmax([share(box, grid.area(part)) for part in parts])))
        block = parts[numbers[-1]]
    return steps, numbers


def share(box: Box, area: Box) -> float:
    """The share of a box that lies in an area."""
    across = max(0.0, min(box[2], area[2]) - max(box[0], area[0]))
    down = max(0.0, min(box[3], area[3]) - max(box[1], area[1]))
    return across * down / ((box[2] - box[0]) * (box[3] - box[1]))


def choosing(question: str) -> str:
    """A question as a comparison asks it."""
    return CHOOSE.format(question)
