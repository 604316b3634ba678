"""Streamed text joined is the answer's text, whatever the tokens' edges."""

from __future__ import annotations

import re
from typing import Any

import pytest
from PIL import Image

from dragonfly.inference import Engine
from tests.inference.conftest import Say


def test_joined_pieces_are_the_answer(engine: Engine, images: list[Image.Image]) -> None:
    options: dict[str, Any] = {"max_new_tokens": 16}
    for sampling in ({}, {"temperature": 1.2, "seed": 3}):
        stream = engine.stream(images[0], "What is it?", system="Be brief.", **options, **sampling)
        assert stream.answer is None
        text = "".join(stream)
        answer = engine.ask(images[0], "What is it?", system="Be brief.", **options, **sampling)
        assert stream.answer is not None
        assert (text, stream.answer.token_ids) == (answer.text, answer.token_ids)
        assert stream.answer.selections == answer.selections


def test_letters_come_whole(engine: Engine, say: Say) -> None:
    text = "naïve 日本語 🦋 ok"
    with say(text):
        pieces = list(engine.stream(None, "What?", max_new_tokens=60))
    assert pieces == list(text)  # one piece per letter, though 🦋 is four tokens


def test_bytes_that_are_no_letter_are_not_lost(engine: Engine, say: Say) -> None:
    with say("ab🦋"):
        stream = engine.stream(None, "What?", max_new_tokens=4)  # ends within the letter
        assert "".join(stream) == "ab\ufffd"
    assert stream.answer is not None and stream.answer.text == "ab\ufffd"


@pytest.mark.parametrize(
    ("said", "stop", "heard"),
    [("one STOP two", ("STOP",), "one "), ("one STO two", ("STOP",), "one STO two"), ("one STO", ("STOP",), "one STO"),
     ("größe 🦋🦋 mehr", ("🦋🦋",), "größe "), ("aaab", ("aab",), "a"), ("xyz", ("z", "yzzz"), "xy")],
)  # fmt: skip
def test_no_piece_of_a_stop_string_is_shown(engine: Engine, say: Say, said: str, stop: tuple[str, ...], heard: str) -> None:
    with say(said):
        stream = engine.stream(None, "What?", max_new_tokens=60, stop=stop)
        shown = ""
        for piece in stream:
            shown += piece
            assert heard.startswith(shown)
    assert shown == heard
    assert stream.answer is not None and stream.answer.text == heard


def test_a_fault_before_and_during_generation_reaches_the_reader(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="max_new_tokens"):
        engine.stream(None, "What?", max_new_tokens=0)
    with pytest.raises(ValueError, match=re.escape("does not exist")):
        engine.stream("no-such.png", "What?")

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(engine.model, "generate", broken)
    stream = engine.stream(None, "What?")
    with pytest.raises(RuntimeError, match="out of memory"):
        list(stream)
    assert list(stream) == []  # and does not wait for ever when asked again
