"""Whether `ask --why` is to be believed: deletion and insertion curves against random orders, and the pointing game.

The pointing game asks how often the greatest contribution lies where the evidence is. The answer explained is the model's own,
right or wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dragonfly.data import Manifest
from dragonfly.evaluation import describe_model
from dragonfly.evaluation.metrics import mean
from dragonfly.evaluation.statistics import interval
from dragonfly.files import result_header, sha256
from dragonfly.inference import Answer, EncodedImage, Engine
from dragonfly.inference.occlusion import Place, answer_logprobs, explain

from .evidence import needed, read_located
from .evidence_recall import Progress


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
        images = [engine.connect(image, question.text) for image in engine.encode([question.image])]
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
