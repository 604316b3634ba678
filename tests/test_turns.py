"""Whose words ask about which image."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dragonfly
from dragonfly.turns import image_questions
from tests import tiny

IMAGE = "<image>"
SCRATCH = Path(dragonfly.__file__).parent / "research" / "curriculum" / "scratch.jinja"


def turn(role: str, text: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<image>what?", ["what?"]),
        ("<image>\nwhat? ", ["what?"]),
        ("what is this: <image>", ["what is this:"]),
        ("<image>a<image>b", ["a", "b"]),
        ("<image><image> which one?", ["which one?", "which one?"]),
        ("first <image>\n second <image>", ["second", "second"]),
        ("<image>", [""]),
        ("no image", []),
        (turn("system", "be kind") + turn("user", "<image>a?") + turn("assistant", "no.") + turn("user", "b?"), ["a?\nb?"]),
        (turn("user", "<image>a?") + turn("assistant", "x") + turn("user", "<image>b?") + turn("assistant", "y"), ["a?", "b?"]),
        (turn("user", "<image>a?") + "<|start_header_id|>assistant<|end_header_id|>\n\n", ["a?"]),
    ],
)
def test_the_users_words_after_an_image(text: str, expected: list[str]) -> None:
    assert image_questions(text, IMAGE, len(expected)) == expected


def test_images_before_everything_share_the_text() -> None:
    text = "<image><image>" + turn("user", "what?") + turn("assistant", "that")
    assert image_questions(text, IMAGE, 2) == ["what?", "what?"]


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("<|im_start|>user\n<image>what?<|im_end|>\n<|im_start|>assistant\nthat", "<|im_start|>"),
        ("<|user|>\n<image>what?<|end|>\n<|assistant|>\nthat<|end|>", "<|end|>"),
    ],
)
def test_another_templates_markup_is_refused(text: str, token: str) -> None:
    with pytest.raises(
        ValueError, match=f"this text has '{re.escape(token)}' outside of it; use the processor's own chat template"
    ):
        image_questions(text, IMAGE, 1, ["<|im_start|>", "<|im_end|>", "<|end|>"])


def short(*turns: str) -> str:
    """Turns as a model made from scratch writes them: the role alone opens one, the end of text closes an answer."""
    roles = ("<|user|>", "<|assistant|>")
    return "".join(f"{roles[n % 2]}{text}{'<|eot_id|>' if n % 2 else ''}" for n, text in enumerate(turns))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (short("<image>a?") + "<|assistant|>", ["a?"]),
        (short("<image>a?", "no."), ["a?"]),
        (short("<image>a?", "no.", "b?", "yes."), ["a?\nb?"]),
        (short("<image>a?", "x", "<image>b?", "y"), ["a?", "b?"]),
        ("<|system|>be kind" + short("<image>a?", "x"), ["a?"]),
        ("<image>" + short("a?", "x"), ["a?"]),
        (turn("user", "<image>what is <|user|>?") + turn("assistant", "a token"), ["what is <|user|>?"]),
    ],
)
def test_the_users_words_where_the_role_alone_opens_a_turn(text: str, expected: list[str]) -> None:
    assert image_questions(text, IMAGE, len(expected), ["<|eot_id|>", "<|pad|>"]) == expected


@pytest.mark.parametrize(("template", "of_a_chat"), [(None, "how many?\nwhy?"), (SCRATCH.read_text(encoding="utf-8"), "why?")])
def test_each_of_the_projects_templates_is_read_as_it_is_written(template: str | None, of_a_chat: str) -> None:
    processor = tiny.processor()
    processor.chat_template = template or processor.chat_template
    first = tiny.conversation("how many?")
    later = [*first, {"role": "assistant", "content": "two"}, *tiny.conversation("why?", 0)]
    asked = {
        processor.apply_chat_template(first, add_generation_prompt=True): "how many?",
        processor.apply_chat_template(later, add_generation_prompt=True): of_a_chat,
        processor.apply_chat_template([*later, {"role": "assistant", "content": "so"}]): "how many?\nwhy?",
    }
    assert [processor.questions([tiny.image()], text) for text in asked] == [[question] for question in asked.values()]
    assert ("<|start_header_id|>" in next(iter(asked))) == (template is None)
