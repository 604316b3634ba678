"""A prompt that begins like one before is read on from there, and gives the same answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dragonfly.inference import Answer, Engine
from tests import tiny

LONG: dict[str, Any] = {"max_new_tokens": 12}


@pytest.fixture
def pair() -> tuple[Engine, Engine]:
    """One model: read from the beginning, and read on."""
    fresh, reusing = (Engine(tiny.model(), tiny.processor()) for _ in range(2))
    reusing.reuse_prompts = True
    assert reusing._fits_together  # which is tried once
    return fresh, reusing


def read(engine: Engine) -> list[int]:
    """Lengths of what the language model reads from now on."""
    lengths: list[int] = []

    def note(module: object, args: object, options: dict[str, Any]) -> None:
        lengths.append(options["inputs_embeds"].shape[1])

    engine.model.model.language_model.register_forward_pre_hook(note, with_kwargs=True)
    return lengths


def check_same(one: Answer, other: Answer) -> None:
    assert (one.text, one.token_ids, one.prompt_tokens, one.finish) == (
        other.text,
        other.token_ids,
        other.prompt_tokens,
        other.finish,
    )
    assert one.logprobs == pytest.approx(other.logprobs, rel=1e-4, abs=1e-4)


def test_questions_on_one_image_read_it_once(pair: tuple[Engine, Engine]) -> None:
    fresh, reusing = pair
    image, questions = tiny.image(), ["What is it?", "What colour?", "What is it?", "Where?"]
    lengths = read(reusing)
    for question in questions:
        check_same(reusing.ask(image, question, **LONG), fresh.ask(image, question, **LONG))
    prefills = [length for length in lengths if length > 1]
    assert prefills[0] > 306 and max(prefills[1:]) < 60  # 17 sub-images of 18 tokens


def test_a_chat_reads_every_turn_once(pair: tuple[Engine, Engine]) -> None:
    chats = [engine.chat(tiny.image(), system="Be brief.") for engine in pair]
    lengths = read(pair[1])
    for question, images in (("What?", None), ("And?", tiny.image(seed=1)), ("Both?", None), ("A longer question, why?", None)):
        one, other = (chat.ask(question, images, **LONG) for chat in chats)
        check_same(one, other)
    prefills = [length for length in lengths if length > 1]
    assert prefills[0] > 306 and prefills[1] > 306 and max(prefills[2:]) < 100


def test_another_image_or_an_own_choice_is_read_anew(pair: tuple[Engine, Engine]) -> None:
    fresh, reusing = pair
    lengths = read(reusing)
    for image in (tiny.image(), tiny.image(seed=1), [tiny.image(seed=1), tiny.image()], tiny.image(200, 900)):
        check_same(reusing.ask(image, "What?", **LONG), fresh.ask(image, "What?", **LONG))
    assert min(length for length in lengths if length > 1) > 300  # the third shares its first image, and reads its second


def test_under_policy_question_the_choice_is_read_anew() -> None:
    settings = tiny.config("v1")
    settings.encoder = settings.spec.with_selection(policy="question").to_dict()
    fresh, reusing = (Engine(tiny.model(settings), tiny.processor(settings)) for _ in range(2))
    reusing.reuse_prompts = True
    for question in ("What is it?", "What colour?"):
        check_same(reusing.ask(tiny.image(), question, **LONG), fresh.ask(tiny.image(), question, **LONG))


def test_a_batch_between_is_no_harm(pair: tuple[Engine, Engine]) -> None:
    fresh, reusing = pair
    rows: list[Any] = [(tiny.image(), "What?"), (None, "How many are there?")]
    for engine in pair:
        engine.ask(tiny.image(), "What?", **LONG)
    for one, other in zip(reusing.ask_batch(rows, **LONG), fresh.ask_batch(rows, **LONG), strict=True):
        check_same(one, other)
    check_same(reusing.ask(tiny.image(), "Why?", **LONG), fresh.ask(tiny.image(), "Why?", **LONG))


def test_it_is_off_unless_asked_for(saved_model: Path, images: list[Image.Image], engine: Engine) -> None:
    engine.ask(images[0], "What?", max_new_tokens=2)
    assert not engine.reuse_prompts and not len(engine.prefixes)


def test_a_batch_reads_its_image_once(pair: tuple[Engine, Engine]) -> None:
    fresh, reusing = pair
    rows: list[Any] = [(tiny.image(), question) for question in ("What is it?", "What colour?", "Where, and how many?")]
    lengths = read(reusing)
    for one, other in zip(reusing.ask_batch(rows, **LONG), fresh.ask_batch(rows, **LONG), strict=True):
        check_same(one, other)
    prefills = [length for length in lengths if length > 1]
    assert prefills[0] > 306 and max(prefills[1:]) < 60


def test_a_stream_and_seeds_are_as_without(pair: tuple[Engine, Engine]) -> None:
    drawn: dict[str, Any] = {"max_new_tokens": 8, "temperature": 1.3, "seed": 5}
    for question in ("What is it?", "What else?"):
        one, other = (engine.stream(tiny.image(), question, **drawn) for engine in pair)
        assert "".join(one) == "".join(other)
        assert one.answer is not None and other.answer is not None
        check_same(one.answer, other.answer)


def test_a_model_with_a_window_reads_all() -> None:
    settings = tiny.config(head="mistral")
    fresh, reusing = (Engine(tiny.model(settings), tiny.processor(settings)) for _ in range(2))
    reusing.reuse_prompts = True
    for question in ("What is it?", "What colour?"):
        check_same(reusing.ask(tiny.image(), question, **LONG), fresh.ask(tiny.image(), question, **LONG))
    assert not len(reusing.prefixes)
