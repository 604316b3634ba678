"""Whether `ask --why` ranks sub-images better than chance: deletion and insertion curves, and pointing, beside random orders."""

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
    """The areas under the deletion and the insertion curve of each order of sub-images.

    A curve's points are the mean probability (0 to 1) of an answer's tokens while 0, 1, ... all sub-images of the order are left
    out (deletion), or all but the first 0, 1, ... all (insertion); its area is the mean of its points. A good order has a small
    deletion and a large insertion area. Sub-images outside the order stay.

    Returns:
        (deletion, insertion) per order.
    """
    left_out: list[Sequence[Place]] = []
    for order in orders:
        left_out += [order[:count] for count in range(len(order) + 1)]  # deletion
        left_out += [order[count:] for count in range(len(order) + 1)]  # insertion
    logprobs = answer_logprobs(engine, images, question, answer.token_ids, left_out)
    points = [math.exp(value / len(answer.token_ids)) for value in logprobs]
    results: list[tuple[float, float]] = []
    for order in orders:
        size = len(order) + 1
        results.append((sum(points[:size]) / size, sum(points[size : 2 * size]) / size))
        points = points[2 * size :]
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

    Pointing is the share of questions whose greatest contribution comes from a sub-image with evidence, over the questions for
    which some kept high sub-images hold evidence and some do not; its chance is the share of those that hold it.

    Args:
        engine: a model that keeps high sub-images.
        data: a manifest with evidence.
        limit: at most so many questions.
        draws: random orders per question, seeded by the question's number.
        max_new_tokens: of each answer.
        progress: called with (done, total) questions.

    Returns:
        The content of a result file of kind `curves`.

    Raises:
        ValueError: where no high sub-image is kept, or the data has no evidence.
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
            raise ValueError(f"model '{engine.name}' kept no high sub-image of {question.id}, so there is no order to measure")
        ranked = [one.place for one in high]
        rng = np.random.default_rng(number)
        orders = [ranked, *([ranked[i] for i in rng.permutation(len(ranked))] for _ in range(draws))]
        own, *random = areas(engine, images, question.text, answer, orders)
        for column, name in enumerate(("deletion", "insertion")):
            rows[name].append([own[column], float(np.mean([one[column] for one in random])), 1.0])
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
        **{name: _against_random(rows[name], groups[name]) for name in rows},
    }


def _against_random(rows: list[list[float]], groups: list[str]) -> dict[str, Any] | None:
    """Means of (ours, random, weight) rows and their difference with its 95 % interval; None without rows."""
    if not rows:
        return None
    table = np.array(rows)
    sums = table.sum(axis=0)
    ours, random = float(sums[0] / sums[2]), float(sums[1] / sums[2])
    ends = interval(table, groups, lambda drawn: mean(drawn[..., [0, 2]]) - mean(drawn[..., [1, 2]]))
    low, high = (None, None) if ends is None else (round(ends[0], 6), round(ends[1], 6))
    values = {"ours": round(ours, 6), "random": round(random, 6), "difference": round(ours - random, 6)}
    return {**values, "low": low, "high": high, "n": len(rows)}
