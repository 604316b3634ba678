"""Questions that tell each other's answers never share a conversation."""

from typing import Any

from dragonfly.data import ImageRef, Message, Part, Sample
from dragonfly.data.grouping import apart

IMAGE = (ImageRef(path="a.png"),)


def asked(name: str, question: str, answer: str, *boxes: tuple[float, float, float, float]) -> Sample:
    messages = (Message("user", (Part("image"), Part("text", question))), Message("assistant", (Part("text", answer),)))
    return Sample(name, "test", IMAGE, messages, evidence=(boxes,) if boxes else ())


def names(parts: Any) -> list[str]:
    return ["".join(row.id for row in part) for part in parts]


def test_the_same_place_twice_is_two_conversations() -> None:
    here, there = (0.0, 0.0, 9.0, 9.0), (20.0, 0.0, 29.0, 9.0)
    rows = [asked("a", "Is it open?", "yes", here), asked("b", "Is it shut?", "no", here), asked("c", "Is it warm?", "no", there)]
    assert names(apart(rows, 8)) == ["ac", "b"]


def test_an_answer_that_stands_in_another_turn_is_kept_from_it() -> None:
    rows = [asked("a", "What is the tax?", "47"), asked("b", "Is the fee 47?", "no"), asked("c", "Which field says 9?", "fee")]
    # 47 is a's answer and b's question; "fee" is c's answer and b's question; a and c tell each other nothing.
    assert names(apart(rows, 8)) == ["ac", "b"]


def test_stock_answers_and_whole_images_go_anywhere() -> None:
    boxes = [(10.0 * n, 0.0, 10.0 * n + 9, 9.0) for n in range(3)]
    rows = [
        asked("a", "What is the tax?", "not in the picture"),
        asked("b", "What is the fee?", "not in the picture"),
        asked("c", "How many fields are there?", "3", *boxes),
        asked("d", "Read the tip.", "52", boxes[0]),
        asked("e", "Is there a tip?", "yes"),
    ]
    assert names(apart(rows, 8)) == ["abcde"]
    assert names(apart(rows, 2)) == ["ab", "cd", "e"]
