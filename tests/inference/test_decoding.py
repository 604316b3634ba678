"""Faster ways to decode give the answers of the usual one."""

from __future__ import annotations

from typing import Any

import pytest

from dragonfly.inference import Engine, Options
from tests import tiny

ROWS: list[Any] = [
    (tiny.image(), "one two one two one two one two one"),
    ([tiny.image(seed=1), tiny.image(70, 200)], "What, what, what?"),
    (None, "a b a b a b a b"),
]
FASTER: list[dict[str, Any]] = [{"prompt_lookup": 4}, {"static_cache": True}]


@pytest.fixture(scope="module")
def engine() -> Engine:
    settings = tiny.config(preset="low-only")
    model = tiny.model(settings)
    model.lm_head.weight.data[settings.image_token_id] = 0  # as no trained model does, this one would speak of an image's place
    return Engine(model, tiny.processor(settings))


@pytest.mark.parametrize("faster", FASTER, ids=lambda one: next(iter(one)))
@pytest.mark.parametrize("more", [{"max_new_tokens": 24}, {"max_new_tokens": 24, "stop": ("e", "o")}], ids=["plain", "stop"])
def test_greedy_answers_are_equal_whole_in_a_batch_and_streamed(engine: Engine, faster: Any, more: Any) -> None:
    usual = engine.ask_batch(ROWS, **more)
    for one, other in zip(engine.ask_batch(ROWS, **more, **faster), usual, strict=True):
        assert (one.text, one.token_ids, one.finish) == (other.text, other.token_ids, other.finish)
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
    for row, answer in zip(ROWS, usual, strict=True):
        assert "".join(engine.stream(*row, **more, **faster)) == answer.text


def test_prompt_lookup_asks_the_model_less_often() -> None:
    settings = tiny.config(preset="low-only")
    model = tiny.model(settings)
    engine, calls = Engine(model, tiny.processor(settings)), list[int]()
    model.lm_head.weight.data.zero_()  # says the first token for ever: what stands in the answer is guessed from it
    usual = engine.ask(None, "Go on.", max_new_tokens=24)
    model.model.language_model.register_forward_pre_hook(lambda *_: calls.append(1))
    assert engine.ask(None, "Go on.", max_new_tokens=24, prompt_lookup=6).token_ids == usual.token_ids
    assert len(calls) < 12


@pytest.mark.parametrize("wrong", [{"prompt_lookup": 3, "temperature": 0.5}, {"prompt_lookup": 3, "static_cache": True}])
def test_what_does_not_go_together_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="prompt_lookup guesses what greedy search says"):
        Options(**wrong)


def test_they_are_off_unless_asked_for() -> None:
    assert Options().decoding == {}
    with pytest.raises(ValueError, match="prompt_lookup must be an integer of at least 0, got -1"):
        Options(prompt_lookup=-1)
