from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import dragonfly
from dragonfly.data import ImageRef, Message, Part, Sample
from dragonfly.evaluation.controls import attribution
from dragonfly.inference import Engine
from dragonfly.inference.occlusion import answer_logprobs
from dragonfly.research.synthetic import SPECS, make_image
from tests import tiny
from tests.research.lab import small


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(tiny.model(), tiny.processor())


@pytest.fixture(scope="module")
def asked(engine: Engine) -> tuple[Any, Any]:
    images = [tiny.image(96, 64, seed=1), tiny.image(64, 96, seed=2)]
    return engine.encode(images), engine.ask(images, "What?", max_new_tokens=3)


def test_areas_are_means_of_the_curves(engine: Engine, asked: tuple[Any, Any]):
    images, answer = asked
    order = [(0, 5), (0, 9)]
    sets = [[], [(0, 5)], order, order, [(0, 9)], []]
    found = [
        math.exp(value / len(answer.token_ids)) for value in answer_logprobs(engine, images, "What?", answer.token_ids, sets)
    ]
    (areas,) = attribution.areas(engine, images, "What?", answer, [order])
    assert areas == pytest.approx((sum(found[:3]) / 3, sum(found[3:]) / 3), abs=1e-6)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Values to read, where the answer is one sub-image's: what the bundled model was made for."""
    folder, rows = tmp_path_factory.mktemp("pages"), []
    for index in range(8):
        page = make_image(SPECS["nano"], "dev", 11_500_000, index)
        page.image.save(folder / f"{index}.png")
        question = next(one for one in page.questions if one.kind in ("read", "count"))
        messages = (
            Message("user", (Part("image"), Part("text", question.text))),
            Message("assistant", (Part("text", question.answer),)),
        )
        rows.append(Sample(str(index), "pages", (ImageRef(path=str(folder / f"{index}.png")),), messages, (question.evidence,)))
    return small.manifest(folder / "m", rows)


@pytest.mark.slow
def test_on_the_bundled_model_the_ranking_beats_random_orders(pages: Path):
    engine = dragonfly.load(device="cpu", overrides=["model.selection.keep=3"])  # an order needs more than the two it keeps
    found = attribution.curves(engine, pages, draws=2, max_new_tokens=4)
    deletion, insertion = found["deletion"], found["insertion"]
    assert deletion["n"] == insertion["n"] == 8
    assert deletion["ours"] < deletion["random"] - 0.02
    assert insertion["ours"] > insertion["random"] + 0.02


def test_what_the_bundled_model_looks_at_first_holds_the_evidence():
    engine, held = dragonfly.load(device="cpu"), []
    for index in range(12):
        page = make_image(SPECS["nano"], "dev", 11_500_000, index)
        for question in [one for one in page.questions if one.kind == "read"][:2]:
            answer = engine.ask(page.image, question.text, max_new_tokens=1)
            kept = max((one for one in answer.selections[0] if one.kept), key=lambda one: one.score or 0.0).box
            left, top, right, bottom = question.evidence[0]
            held.append(kept[0] <= (left + right) / 2 < kept[2] and kept[1] <= (top + bottom) / 2 < kept[3])
    assert len(held) >= 12 and sum(held) / len(held) > 0.7  # by chance one of 24
