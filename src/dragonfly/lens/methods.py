"""Where to look closer: every method is a score for each cell of the image, and what it needs to give one.

The close-ups are the windows of the greatest score that do not overlap. `downsample`, `random`, `centre` and `oracle` are
controls: nothing is worth its calls that does not beat the first three at equal cost, and nothing can beat the last.

Sources: `attention` after ViCrop (arXiv 2502.17422), the attention of the answer's first token relative to that for a neutral
prompt; `search` after ZoomEye (arXiv 2411.16044), a tree of parts that is opened where the model is most confident. Both are our
own, under a budget that those do not have: a search compares the parts of a node in one call. `gate`: close-ups only where the
answer about the whole image is not sure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from PIL import Image

from dragonfly.lens.grid import Block, Grid, Scores
from dragonfly.lens.plan import Needs
from dragonfly.lens.reader import NEUTRAL
from dragonfly.vision.layout import Box, Size


class Sight(Protocol):
    """What a method may look at: the image, its grid, and the model through calls that the plan allows."""

    image: Image.Image
    grid: Grid
    whole_size: Size
    question: str
    evidence: Sequence[Box] | None
    seed: int

    @property
    def close_ups(self) -> int:
        """How many close-ups the answer is given."""
        ...

    def attention(self, question: str) -> Scores:
        """One call: how the model attends to the whole image, at any resolution (rows, cols)."""
        ...

    def compare(self, blocks: Sequence[Block]) -> Scores:
        """One call: how likely the model finds each of the blocks to show what is needed; they sum to 1."""
        ...

    def can_compare(self) -> bool:
        """Whether the plan has a comparison left."""
        ...


@dataclass(frozen=True)
class Choice:
    """The blocks to look at, and the score of each cell (rows, cols) where there is one."""

    blocks: list[Block]
    scores: Scores | None = None


@dataclass(frozen=True)
class Method:
    """A way of choosing close-ups: what it does, what it needs, and the function; `choose` None shows the whole image alone."""

    about: str
    choose: Callable[[Sight], Choice] | None
    needs: Needs = field(default_factory=Needs)


def _windows(sight: Sight, scores: Scores) -> Choice:
    return Choice(sight.grid.top_windows(scores, sight.close_ups), scores)


def _residual(sight: Sight) -> Choice:
    return _windows(sight, sight.grid.pixel_scores(sight.image, sight.whole_size, "residual"))


def _detail(sight: Sight) -> Choice:
    return _windows(sight, sight.grid.pixel_scores(sight.image, sight.whole_size, "detail"))


def _attention(sight: Sight) -> Choice:
    asked, neutral = sight.attention(sight.question), sight.attention(NEUTRAL)
    return _windows(sight, spread(asked / np.maximum(neutral, 1e-8), sight.grid))


def spread(values: Scores, grid: Grid) -> Scores:
    """A map of the whole image at any resolution as a score per cell: the mean over it, or interpolated where it is finer."""
    across = grid.cells[1] * grid.cell[1] / grid.size[1] * values.shape[1]  # the last cells may reach beyond the image
    down = grid.cells[0] * grid.cell[0] / grid.size[0] * values.shape[0]
    wide = np.pad(values, ((0, 1 + int(down) - values.shape[0]), (0, 1 + int(across) - values.shape[1])), mode="edge")
    drawn = Image.fromarray(wide.astype(np.float32))
    found = drawn.resize((grid.cells[1], grid.cells[0]), Image.Resampling.BILINEAR, box=(0, 0, across, down))
    return np.asarray(found, dtype=np.float64)


def _search(sight: Sight) -> Choice:
    """Open the most likely part, compare its quarters, and so on; a cell's score is what all parts that hold it were given.

    Within a part that was not opened all cells are equal, and what the whole image does not show decides.
    """
    scores = np.zeros(sight.grid.cells)
    waiting = [(1.0, sight.grid.whole)]
    while waiting and sight.can_compare():
        likely, block = max(waiting, key=lambda one: one[0])  # the first of equals
        waiting.remove((likely, block))
        parts = _parts(block, sight.grid)
        if len(parts) < 2:
            continue
        for part, share in zip(parts, sight.compare(parts), strict=True):
            scores[part.top : part.bottom, part.left : part.right] += likely * float(share)
            waiting.append((likely * float(share), part))
    unseen = sight.grid.pixel_scores(sight.image, sight.whole_size, "residual")
    return _windows(sight, scores + 1e-6 * unseen / max(float(unseen.max()), 1e-12))  # between equals, nothing else


def _parts(block: Block, grid: Grid) -> list[Block]:
    """The quarters of a block that is larger than a close-up."""
    rows, columns = grid.window
    return block.quarters() if block.bottom - block.top > rows or block.right - block.left > columns else []


def _random(sight: Sight) -> Choice:
    checksum = np.asarray(sight.image.resize((16, 16))).tobytes()
    rng = np.random.default_rng([sight.seed, *checksum])
    return _windows(sight, rng.random(sight.grid.cells))


def _centre(sight: Sight) -> Choice:
    rows, columns = (np.arange(count) - (count - 1) / 2 for count in sight.grid.cells)
    return _windows(sight, -np.hypot(rows[:, None], columns[None, :]))


def _oracle(sight: Sight) -> Choice:
    """Blocks that hold the evidence whole, reduced where it is large; where there are more boxes than close-ups, one for all."""
    if not sight.evidence:
        raise ValueError("method 'oracle' needs the boxes of the evidence: evidence=[(left, top, right, bottom), ...]")
    edges = list(zip(*sight.evidence, strict=True))
    boxes = list(sight.evidence)
    if len(boxes) > sight.close_ups:
        boxes = [(min(edges[0]), min(edges[1]), max(edges[2]), max(edges[3]))]
    return Choice(list(dict.fromkeys(sight.grid.covering(box) for box in boxes)))


METHODS: dict[str, Method] = {
    "residual": Method("what the whole image at its size does not show", _residual),
    "detail": Method("where the pixels vary most", _detail),
    "attention": Method("where the model attends for this question more than for any", _attention, Needs(looks=2)),
    "search": Method("parts of parts, opened where the model is most confident", _search, Needs(compares=True)),
    "gate": Method("residual, where the answer about the whole image is unsure", _residual, Needs(answers=2)),
    "downsample": Method("control: the whole image alone, with all tokens", None, Needs(close_ups=False)),
    "random": Method("control: anywhere, by the seed and the image", _random),
    "centre": Method("control: the middle", _centre),
    "oracle": Method("control: the evidence that is given", _oracle),
}
