"""Whether `ask --why` ranks sub-images better than chance: deletion and insertion curves, and pointing, beside random orders.

Sub-images are left out after the tower: this tells whose tokens carried the answer. `audit` takes the pixels away.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dragonfly.data import Manifest
from dragonfly.files import result_header, sha256
from dragonfly.inference import Answer, EncodedImage, Engine
from dragonfly.inference.occlusion import Place, answer_logprobs, explain
from dragonfly.vision.scoring import evidence_indices

from ..fingerprint import describe_model
from ..question import Question, from_manifest
from . import told


def read_evidence(data: str | Path, limit: int | None = None) -> list[Question]:
    """The first `limit` questions of a manifest that have evidence (None for all). ValueError where there is none."""
    found: list[Question] = []
    for question in from_manifest(Path(data)):
        if limit is not None and len(found) >= limit:
            break
        if question.evidence and question.images:
            found.append(question)
    if not found:
        raise ValueError(f"{data} has no evidence: no row says which boxes hold its answer; `dragonfly synth` writes such data")
    return found


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
    progress: Callable[[int, int], None] = lambda *_: None,
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
    questions = read_evidence(data, limit)
    for number, question in enumerate(questions):
        progress(number, len(questions))
        images = [engine.connect(image, question.text) for image in engine.encode(question.images[:1])]
        answer = engine.ask(list(question.images[:1]), question.text, max_new_tokens=max_new_tokens)
        high = explain(engine, images, question.text, answer).high()
        if not high:
            raise ValueError(f"model '{engine.name}' kept no high sub-image of {question.id}, so there is no order to measure")
        ranked = [one.place for one in high]
        rng = np.random.default_rng(number)
        orders = [ranked, *([ranked[i] for i in rng.permutation(len(ranked))] for _ in range(draws))]
        own, *random = areas(engine, images, question.text, answer, orders)
        for column, name in enumerate(("deletion", "insertion")):
            rows[name].append([own[column], float(np.mean([one[column] for one in random]))])
            groups[name].append(question.group)
        holding = {one.index for one in high} & evidence_indices(images[0].layout.level_boxes("high"), question.evidence)
        if 0 < len(holding) < len(high):
            rows["pointing"].append([float(high[0].index in holding), len(holding) / len(high)])
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
    """Means of (ours, random) and their difference with its 95 % interval; None without rows."""
    if not rows:
        return None
    ours, random = ([row[side] for row in rows] for side in (0, 1))
    gap = told.difference(ours, random, groups)
    means = {"ours": round(float(np.mean(ours)), 6), "random": round(float(np.mean(random)), 6)}
    return {**means, "difference": gap["value"], "low": gap["low"], "high": gap["high"], "n": len(rows)}
