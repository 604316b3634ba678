"""A conversation: equal to one long prompt, every image encoded once, and unharmed by a turn that fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from PIL import Image

from dragonfly.inference import Engine
from tests.inference.conftest import Say

SHORT: dict[str, Any] = {"max_new_tokens": 5}


@contextmanager
def tower_calls(engine: Engine) -> Iterator[list[int]]:
    """Sub-images of each call of the vision tower, beginning with nothing encoded."""
    engine.cache.clear()
    calls: list[int] = []
    tower: Any = engine.model.model.vision_tower

    def count(module: object, args: object, options: dict[str, Any], output: object) -> None:
        calls.append(len(options["pixel_values"]))

    handle = tower.register_forward_hook(count, with_kwargs=True)
    try:
        yield calls
    finally:
        handle.remove()


def test_the_first_turn_is_ask(engine: Engine, images: list[Image.Image]) -> None:
    turn = engine.chat(images[0], system="Be brief.").ask("What?", **SHORT)
    answer = engine.ask(images[0], "What?", system="Be brief.", **SHORT)
    assert (turn.token_ids, turn.prompt_tokens, turn.layouts) == (answer.token_ids, answer.prompt_tokens, answer.layouts)
    assert turn.confidence == pytest.approx(answer.confidence, rel=1e-4)


def test_an_image_is_encoded_once(engine: Engine, images: list[Image.Image]) -> None:
    with tower_calls(engine) as calls:
        chat = engine.chat(images[0])
        assert calls == [29]  # 1 low, 4 mid, 24 high
        chat.ask("What?", **SHORT)
        chat.ask("And?", **SHORT)
        assert calls == [29]
        last = chat.ask("And this?", images[1], **SHORT)
        assert calls == [29, 29]
        engine.ask(images[:2], "Which?", **SHORT)
        assert calls == [29, 29]  # whoever asks
    assert [layout.size for layout in last.layouts] == [(64, 96), (120, 40)]
    with tower_calls(engine) as calls:
        engine.ask(images, "Which?", **SHORT)
    assert sum(calls) == 3 * 29


def test_later_turns_read_the_whole_conversation(engine: Engine, images: list[Image.Image], say: Say) -> None:
    chat = engine.chat(images[0])
    with say("A cat."):
        first = chat.ask("What?", max_new_tokens=20)
    second = chat.ask("Sure?", **SHORT)
    turn = (
        "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nSure?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    added = engine.tokenizer("A cat." + turn, add_special_tokens=False)["input_ids"]
    assert second.prompt_tokens == first.prompt_tokens + len(added)
    assert [message["role"] for message in chat.messages] == ["user", "assistant"] * 2


@pytest.mark.parametrize("fault", ["image", "options", "placeholder", "generation"])
def test_a_turn_that_fails_changes_nothing(
    engine: Engine, images: list[Image.Image], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = engine.chat(images[0])
    reference = engine.chat(images[0])
    question = "What?"
    arguments: dict[str, Any] = {"images": images[1]}
    if fault == "image":
        arguments = {"images": ["no-such.png"]}
    elif fault == "options":
        arguments["top_p"] = 2
    elif fault == "placeholder":
        question = "<image>?"
    with monkeypatch.context() as patch:
        if fault == "generation":
            patch.setattr(engine.model, "generate", _broken)
        with pytest.raises((ValueError, RuntimeError), match=r"does not exist|top_p|control token|out of memory"):
            chat.ask(question, **arguments)
    assert (chat.messages, chat.images) == ([], [])
    for question in ("What?", "And?"):
        assert chat.ask(question, **SHORT).token_ids == reference.ask(question, **SHORT).token_ids


def _broken(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("out of memory")
