"""Whose words ask about which picture."""

from __future__ import annotations

import pytest

from dragonfly.models.question_text import picture_questions
from tests import tiny

IMAGE = "<image>"


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
        ("no picture", []),
        (turn("system", "be kind") + turn("user", "<image>a?") + turn("assistant", "no.") + turn("user", "b?"), ["a?\nb?"]),
        (turn("user", "<image>a?") + turn("assistant", "x") + turn("user", "<image>b?") + turn("assistant", "y"), ["a?", "b?"]),
        (turn("user", "<image>a?") + "<|start_header_id|>assistant<|end_header_id|>\n\n", ["a?"]),
    ],
)
def test_the_users_words_after_a_picture(text: str, expected: list[str]) -> None:
    assert picture_questions(text, IMAGE, len(expected)) == expected


def test_pictures_before_everything_share_the_text() -> None:
    text = "<image><image>" + turn("user", "what?") + turn("assistant", "that")
    assert picture_questions(text, IMAGE, 2) == ["what?", "what?"]


def test_another_templates_markup_is_refused() -> None:
    text = "<|im_start|>user\n<image>what?<|im_end|>\n<|im_start|>assistant\nthat"
    with pytest.raises(ValueError, match=r"this text has '<\|im_start\|>' outside of it; use the processor's own chat template"):
        picture_questions(text, IMAGE, 1, ["<|im_start|>", "<|im_end|>"])


def test_the_chat_template_is_read_as_it_is_written() -> None:
    processor = tiny.processor()
    messages = [*tiny.conversation("how many?"), {"role": "assistant", "content": "two"}, *tiny.conversation("why?", 0)]
    text = processor.apply_chat_template(messages, add_generation_prompt=True)
    assert processor.questions([tiny.picture()], text) == ["how many?\nwhy?"]
