"""What each sub-image contributed to an answer: the log-probability that the answer loses when the sub-image is left out.

And whether such a ranking is worth anything: deletion and insertion curves against random orders, and how often the greatest
contribution lies where the evidence is. The answer explained is the model's own, true or not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dragonfly.data import Manifest
from dragonfly.evaluation import describe_model
from dragonfly.evaluation.intervals import interval
from dragonfly.evaluation.scorers import mean
from dragonfly.files import result_header, sha256
from dragonfly.inference import Answer, Engine, SubImageScore
from dragonfly.inference.engine import EncodedImage
from dragonfly.inference.occlusion import Place, answer_logprobs
from dragonfly.vision.layout import Box
from dragonfly.vision.spec import LevelName

from .evidence import needed, read_located
from .evidence_recall import Progress


@dataclass(frozen=True)
class Contribution:
    """One sub-image that the language model was given.

    Args:
        image: the number of the image.
        level: low, mid or high.
        index: raster index within its level.
        box: source box.
        place: its place among those given, for `answer_logprobs`.
        value: log-probability that the answer loses without it, in nats; below 0 the answer gains.
    """

    image: int
    level: LevelName
    index: int
    box: Box
    place: Place
    value: float


@dataclass(frozen=True)
class Why:
    """An answer's log-probability with all sub-images, and each one's contribution, greatest first."""

    logprob: float
    contributions: tuple[Contribution, ...]

    def high(self) -> list[Contribution]:
        """Of the high level alone, greatest first; equal ones in order."""
        return [one for one in self.contributions if one.level == "high"]

    def scored(self, image: int, selection: Sequence[SubImageScore]) -> tuple[SubImageScore, ...]:
        """An image's selection with contributions as scores; what was left out has the least of all, for it gave nothing."""
        values = {one.index: one.value for one in self.high() if one.image == image}
        least = min(values.values(), default=0.0)
        return tuple(replace(item, score=values.get(item.index, least)) for item in selection)

    def to_dict(self) -> dict[str, Any]:
        """The form that JSON holds."""
        keys = ("image", "level", "index", "box", "value")
        rows = [{key: getattr(one, key) for key in keys} for one in self.contributions]
        return {"logprob": self.logprob, "contributions": [{**row, "box": list(row["box"])} for row in rows]}


def explain(engine: Engine, images: Sequence[EncodedImage], question: str, answer: Answer, system: str | None = None) -> Why:
    """Leave out every sub-image once. ValueError for an answer without tokens or a question without images."""
    given = [one for number, image in enumerate(images) for one in _given(number, image)]
    if not given:
        raise ValueError("there is no image, so no sub-image contributed anything")
    left_out = [(), *([one.place] for one in given)]
    whole, *without = answer_logprobs(engine, images, question, answer.token_ids, left_out, system=system)
    valued = [replace(one, value=whole - lost) for one, lost in zip(given, without, strict=True)]
    return Why(whole, tuple(sorted(valued, key=lambda one: -one.value)))


def _given(number: int, image: EncodedImage) -> list[Contribution]:
    """The sub-images of an image in the order in which the language model gets them."""
    layout = image.layout
    kept = [item.index for item in image.selection if item.kept]
    found: list[Contribution] = []
    for level in layout.levels:
        for index in kept if level.name == "high" else range(level.num_sub_images):
            found.append(Contribution(number, level.name, index, level.box(index), (number, len(found)), 0.0))
    return found


def areas(
    engine: Engine, images: Sequence[EncodedImage], question: str, answer: Answer, orders: Sequence[Sequence[Place]]
) -> list[tuple[float, float]]:
    """(deletion, insertion) for each order: the mean probability of an answer's token while sub-images go, or come, in order.

    Deletion leaves out the first 0, 1, ... all; insertion puts back the first 0, 1, ... all of what is left out. A good order
    deletes low and inserts high. Only the sub-images of the order are touched.
    """
    rows: list[Sequence[Place]] = []
    for order in orders:
        rows += [order[:count] for count in range(len(order) + 1)]  # deletion
        rows += [order[count:] for count in range(len(order) + 1)]  # insertion
    found = answer_logprobs(engine, images, question, answer.token_ids, rows)
    values = [math.exp(value / len(answer.token_ids)) for value in found]
    results: list[tuple[float, float]] = []
    for order in orders:
        size = len(order) + 1
        results.append((sum(values[:size]) / size, sum(values[size : 2 * size]) / size))
        values = values[2 * size :]
    return results


def curves(
    engine: Engine,
    data: str | Path,
    *,
    limit: int | None = None,
    draws: int = 4,
    max_new_tokens: int = 16,
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """Deletion, insertion and pointing over a manifest with evidence, each beside `draws` random orders.

    The random orders are seeded by the question's place. Pointing counts the questions of whose evidence something is kept and
    something else too; its chance is the share of the kept that hold evidence. ValueError where there is no high level.
    """
    rows: dict[str, list[list[float]]] = {"deletion": [], "insertion": [], "pointing": []}
    groups: dict[str, list[str]] = {name: [] for name in rows}
    questions = read_located(data, limit)
    for number, question in enumerate(questions):
        progress(number, len(questions))
        images = [engine.focus(image, question.text) for image in engine.encode([question.image])]
        answer = engine.ask(question.image, question.text, max_new_tokens=max_new_tokens)
        high = explain(engine, images, question.text, answer).high()
        if not high:
            raise ValueError(f"model '{engine.name}' was given no high sub-image of {question.id}, so there is no order to judge")
        ranked = [one.place for one in high]
        rng = np.random.default_rng(number)
        orders = [ranked, *([ranked[i] for i in rng.permutation(len(ranked))] for _ in range(draws))]
        own, *chance = areas(engine, images, question.text, answer, orders)
        for column, name in enumerate(("deletion", "insertion")):
            rows[name].append([own[column], float(np.mean([one[column] for one in chance])), 1.0])
            groups[name].append(question.group)
        holding = {one.index for one in high} & needed(images[0].layout, question.evidence)
        if 0 < len(holding) < len(high):
            rows["pointing"].append([float(high[0].index in holding), len(holding) / len(high), 1.0])
            groups["pointing"].append(question.group)
    progress(len(questions), len(questions))
    return {
        "kind": "curves",
        **result_header(),
        "model": describe_model(engine),
        "data": {
            "sha256": sha256(Manifest.open(data).path),
            "questions": len(questions),
            "images": len(set(groups["deletion"])),
        },
        "draws": draws,
        **{name: _beside(rows[name], groups[name]) for name in rows},
    }


def _beside(rows: list[list[float]], groups: list[str]) -> dict[str, Any] | None:
    """{ours, random, difference, low, high, n}; None where no question counts."""
    if not rows:
        return None
    table = np.array(rows)
    sums = table.sum(axis=0)
    ours, random = float(sums[0] / sums[2]), float(sums[1] / sums[2])
    found = interval(table, groups, lambda drawn: mean(drawn[..., [0, 2]]) - mean(drawn[..., [1, 2]]))
    low, high = (None, None) if found is None else (round(found[0], 6), round(found[1], 6))
    values = {"ours": round(ours, 6), "random": round(random, 6), "difference": round(ours - random, 6)}
    return {**values, "low": low, "high": high, "n": len(rows)}
