"""How much each sub-image contributed to an answer, by leaving it out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dragonfly.inference import Engine
from dragonfly.inference.occlusion import answer_logprobs, explain
from tests import tiny


@pytest.fixture(scope="module")
def asked(engine: Engine) -> tuple[Any, Any]:
    images = [tiny.image(96, 64, seed=1), tiny.image(64, 96, seed=2)]
    return engine.encode(images), engine.ask(images, "What?", max_new_tokens=3)


def test_nothing_left_out_is_the_answers_own_probability(engine: Engine, asked: tuple[Any, Any]):
    images, answer = asked
    (whole,) = answer_logprobs(engine, images, "What?", answer.token_ids, [()])
    assert whole == pytest.approx(sum(answer.logprobs), rel=1e-4)


def test_what_is_left_out_is_not_read(engine: Engine, asked: tuple[Any, Any]):
    """Other embeddings under a left-out sub-image change nothing; under one that is read they do."""
    images, answer = asked
    other = images[0].tokens.clone()
    counts = images[0].layout.token_counts
    other[sum(counts[:5]) : sum(counts[:6])] += 1.0  # the first kept high sub-image
    changed = [replace(images[0], tokens=other), images[1]]
    sets = [[(0, 5)], [(0, 6)], [(1, 5)]]
    before = answer_logprobs(engine, images, "What?", answer.token_ids, sets)
    after = answer_logprobs(engine, changed, "What?", answer.token_ids, sets)
    assert after[0] == pytest.approx(before[0], abs=1e-5)
    assert abs(after[1] - before[1]) > 1e-3 and abs(after[2] - before[2]) > 1e-3


def test_batches_do_not_matter(engine: Engine, asked: tuple[Any, Any]):
    images, answer = asked
    sets = [[], [(0, 0)], [(0, 5), (1, 16)], [(1, 2)]]
    one = answer_logprobs(engine, images, "What?", answer.token_ids, sets, batch_size=1)
    assert answer_logprobs(engine, images, "What?", answer.token_ids, sets, batch_size=3) == pytest.approx(one, abs=1e-5)


def test_every_sub_image_that_was_given_is_explained(engine: Engine, asked: tuple[Any, Any]):
    images, answer = asked
    why = explain(engine, images, "What?", answer)
    levels = [(one.image, one.level) for one in why.contributions]
    assert {pair: levels.count(pair) for pair in set(levels)} == {
        (image, level): count for image in (0, 1) for level, count in (("low", 1), ("mid", 4), ("high", 12))
    }
    assert [one.value for one in why.contributions] == sorted((one.value for one in why.contributions), reverse=True)
    kept = {item.index for item in images[1].selection if item.kept}
    assert {one.index for one in why.high() if one.image == 1} == kept
    best = why.contributions[0]
    (without,) = answer_logprobs(engine, images, "What?", answer.token_ids, [[best.place]])
    assert best.value == pytest.approx(why.logprob - without, abs=1e-5)
    assert best.box == images[best.image].layout.level(best.level).box(best.index)


def test_what_is_given_by_score_is_explained_by_score() -> None:
    """The place that is left out is the one at which the language model meets the sub-image that is named."""
    selection = {"policy": "similarity", "scope": "image", "keep": 5, "order": "score"}
    encoder: Any = tiny.config().encoder
    settings = tiny.config(encoder={**encoder, "selection": selection})
    engine = Engine(tiny.model(settings), tiny.processor(settings))
    (image,) = engine.encode([tiny.image(96, 64, seed=1)])
    scored = sorted((one for one in image.selection if one.kept), key=lambda one: one.score or 0.0)
    assert [one.place for one in scored] == list(range(5))
    assert [one.index for one in scored] != sorted(one.index for one in scored)
    why = explain(engine, [image], "What?", engine.ask([tiny.image(96, 64, seed=1)], "What?", max_new_tokens=2))
    assert {one.index: one.place[1] - 5 for one in why.high()} == {one.index: one.place for one in scored}


def test_faults_are_said(engine: Engine, asked: tuple[Any, Any]):
    images, answer = asked
    with pytest.raises(ValueError, match=r"there is no sub-image \(0, 17\); \(image, sub-image\) go up to \(1, 16\)"):
        answer_logprobs(engine, images, "What?", answer.token_ids, [[(0, 17)]])
    with pytest.raises(ValueError, match="the answer has no tokens"):
        answer_logprobs(engine, images, "What?", (), [()])
    with pytest.raises(ValueError, match="there is no image, so no sub-image contributed anything"):
        explain(engine, [], "What?", answer)
