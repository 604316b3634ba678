"""Which characters are answers under templates of any kind, and whose words ask about which image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from dragonfly.turns import (
    Marks,
    TurnError,
    answer_spans,
    conversation_questions,
    image_questions,
    moved,
    read_marks,
    text_questions,
    tokens_in,
)

IMAGE = "<image>"
CONTROLS = ("<e>", "<s>", "<t>")


def content(message: Any) -> str:
    said = message["content"]
    return said if isinstance(said, str) else "".join(IMAGE if part["type"] == "image" else part["text"] for part in said)


def template(
    turn: Callable[[Any, bool], str] | None = None, header: str = "[assistant]", end: str = "<e>\n", begin: str = "<s>"
) -> Callable[[Sequence[Any], bool], str]:
    """`[role]words<e>` and a newline, or what `turn` makes of a message and whether it is the last answer."""
    write = turn or (lambda message, last: f"[{message['role']}]{content(message)}{end}")

    def render(messages: Sequence[Any], prompt: bool) -> str:
        answer = messages[-1]["role"] == "assistant"
        said = "".join(write(message, answer and message is messages[-1]) for message in messages)
        return begin + said + (header if prompt else "")

    return render


def talk(*texts: str) -> list[dict[str, Any]]:
    return [{"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(texts)]


def found(render: Any, messages: Sequence[Any], controls: Sequence[str] = CONTROLS, eos: str | None = None) -> list[str]:
    text, spans = answer_spans(render, messages, read_marks(render, controls, eos))
    return [text[start:end] for start, end in spans]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("q", "a"), ["a<e>"]),
        (("q", "a", "r", "b é ∑"), ["a<e>", "b é ∑<e>"]),
        (("q", ""), ["<e>"]),
        (("yes", "yes", "yes", "yes"), ["yes<e>", "yes<e>"]),
        (("q", "[assistant]a[user]q"), ["[assistant]a[user]q<e>"]),
        (("q", " a \n"), [" a \n<e>"]),
        (("", "a"), ["a<e>"]),
        (("<b>", "</b> <table><td>1</td>"), ["</b> <table><td>1</td><e>"]),
    ],
)
def test_an_answer_is_found_with_its_end(texts: tuple[str, ...], expected: list[str]) -> None:
    assert found(template(), talk(*texts)) == expected


def test_blanks_at_the_edges_may_be_trimmed() -> None:
    trims = template(lambda message, _: f"[{message['role']}]{content(message).strip()}<e>")
    assert found(trims, talk(" q ", " a\n", "\n", " b b ")) == ["a<e>", "b b<e>"]


def test_what_the_template_writes_before_an_answer_has_to_be_generated() -> None:
    def turn(message: Any, last: bool) -> str:
        block = "<t>\n" if last else ""
        return f"[{message['role']}]{block}{content(message)}<e>\n"

    marks = read_marks(template(turn), CONTROLS)
    assert (marks.header, marks.lead, marks.end) == ("<e>\n[assistant]", "<t>\n", "<e>")
    assert found(template(turn), talk("q", "a", "r", "b")) == ["a<e>", "<t>\nb<e>"]


def test_thoughts_may_be_moved_or_left_out() -> None:
    def turn(message: Any, last: bool) -> str:
        thought, closed, said = content(message).rpartition("</t>")
        written = f"<t>\n{thought.removeprefix('<t>').strip()}\n</t>\n\n" if closed and last else ""
        return f"[{message['role']}]{written}{said.strip()}<e>\n"

    talked = talk("q", "<t>why</t>a", "r", "<t>so</t>b")
    assert found(template(turn), talked, ("<e>",)) == ["a<e>", "<t>\nso\n</t>\n\nb<e>"]


def test_a_system_message_may_be_merged_with_the_question_or_left_out() -> None:
    def merged(messages: Sequence[Any], prompt: bool) -> str:
        told = content(messages[0]) + "\n\n" if messages[0]["role"] == "system" else ""
        rest = [message for message in messages if message["role"] != "system"]
        return told + template()(rest, prompt)

    told = [{"role": "system", "content": "be kind"}, *talk("q", "a")]
    assert found(merged, told) == ["a<e>"]
    assert found(lambda messages, prompt: template()([m for m in messages if m["role"] != "system"], prompt), told) == ["a<e>"]


def test_images_stand_anywhere() -> None:
    def parts(*pieces: str | None) -> list[dict[str, str]]:
        return [{"type": "image"} if piece is None else {"type": "text", "text": piece} for piece in pieces]

    talked = [
        {"role": "user", "content": parts(None, "q", None)},
        {"role": "assistant", "content": parts("see ", None, "!")},
        {"role": "user", "content": parts(None)},
        {"role": "assistant", "content": parts(None)},
    ]
    assert found(template(), talked) == ["see <image>!<e>", "<image><e>"]


def test_the_end_is_where_generation_stops() -> None:
    two = template(end="<t><e>\n")
    assert read_marks(two, CONTROLS).end == "<t>"
    assert read_marks(two, CONTROLS, "<e>").end == "<e>"
    assert found(two, talk("q", "a", "r", "b"), eos="<e>") == ["a<t><e>", "b<t><e>"]
    last = template(lambda message, last: f"[{message['role']}]{content(message)}<t>" + ("<e>" if last else ""))
    assert found(last, talk("q", "a", "r", "b"), eos="<e>") == ["a<t>", "b<t>"]


@pytest.mark.parametrize(
    ("render", "message"),
    [
        (template(header="", end="<e>", begin=""), None),
        (template(header="", end=""), "adds nothing for add_generation_prompt"),
        (template(end="[end]"), r"ends an answer with '\[end\]', where generation cannot stop"),
        (template(end=""), "writes nothing after an answer, where generation cannot stop"),
        (template(header="[assistant]think:"), r"asks for an answer with .*think:' but writes '.*\[assistant\]' before one"),
        (template(lambda message, _: f"[{message['role']}]<e>"), "does not write down what is said"),
    ],
)
def test_templates_that_cannot_be_trained_are_refused(render: Any, message: str | None) -> None:
    if message is None:  # the end of the question is where an answer begins
        assert read_marks(render, CONTROLS).header == "<e>"
        return
    with pytest.raises(ValueError, match=message) as caught:
        read_marks(render, CONTROLS)
    assert not isinstance(caught.value, TurnError)


def test_conversations_that_cannot_be_verified_are_refused() -> None:
    loud = template(lambda message, _: f"[{message['role']}]{content(message).upper()}<e>\n")
    with pytest.raises(TurnError, match="changes the words"):
        found(loud, talk("q", "a"))
    short = template(
        lambda message, last: f"[{message['role']}]{content(message)}<e>\n" if last or message["content"] != "a" else ""
    )
    with pytest.raises(TurnError, match="changes the words"):
        found(short, talk("q", "a", "r", "b"))
    other = template(lambda message, last: f"[{message['role']}]{content(message)}{'<e>' if last else '<t>'}")
    with pytest.raises(TurnError, match=r"writes '<t>\[user\]' after the answer in message 2, without the end of turn '<e>'"):
        found(other, talk("q", "a", "r", "b"), eos="<e>")
    earlier = template(
        lambda message, last: f"[{message['role']}]{'think:' if last else ''}{content(message)}<e>",
        header="[assistant]think:",
    )
    assert found(earlier, talk("q", "a")) == ["a<e>"]
    with pytest.raises(TurnError, match=r"before the answer in message 2, and generation is given '<e>\[assistant\]think:'"):
        found(earlier, talk("q", "a", "r", "b"))


def test_spans_move_with_what_replaces_placeholders() -> None:
    assert moved([(0, 1), (4, 9)], [((1, 2), (1, 11)), ((5, 6), (15, 25))]) == [(0, 1), (13, 28)]


def test_tokens_that_begin_in_a_span() -> None:
    offsets = [(0, 0), (0, 2), (2, 4), (4, 6), (6, 6), (6, 9), (9, 9)]
    assert tokens_in(offsets, [(3, 8)]) == [0, 0, 0, 1, 1, 1, 0]
    assert tokens_in(offsets, [(2, 3), (6, 7)]) == [0, 0, 1, 0, 1, 1, 0]
    assert tokens_in(offsets, []) == [0] * 7


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("<image>what?", ["what?"]),
        ("<image>\nwhat? ", ["what?"]),
        ("what is this: <image>", ["what is this:"]),
        ("<image>a<image>b", ["a", "b"]),
        ("<image><image> which one?", ["which one?", "which one?"]),
        ("first <image>\n second <image>", ["second", "second"]),
        ("<image>", [""]),
        ("no image", []),
    ],
)
def test_the_users_words_after_an_image(words: str, expected: list[str]) -> None:
    assert image_questions(words, IMAGE, len(expected)) == expected


def test_images_before_everything_share_the_words() -> None:
    assert image_questions("what?", IMAGE, 2) == ["what?", "what?"]


def asked(text: str, images: int, marks: Marks | None = None, **options: Any) -> list[str]:
    return text_questions(text, IMAGE, images, marks or read_marks(template(), CONTROLS), **options)


def test_the_users_words_in_a_rendered_text() -> None:
    render = template()
    told = [{"role": "system", "content": "be kind"}]
    assert asked(render([*told, *talk("<image>a?", "no.", "b?")], True), 1) == ["a?\nb?"]
    assert asked(render(talk("<image>a?", "x", "<image>b?", "y"), False), 2) == ["a?", "b?"]
    assert asked(render(talk("<image>a?"), False), 1) == ["a?"]
    assert asked("<image><image>" + render(talk("what?", "that"), False), 2) == ["what?", "what?"]
    assert asked("<s><image> plain words", 1, bos="<s>") == ["plain words"]


def test_another_templates_markup_is_refused() -> None:
    with pytest.raises(ValueError, match="this text has '<t>' outside of it; use that chat template"):
        asked("<t>user\n<image>what?<t>assistant\nthat", 1, special=["<e>", "<t>"])


def test_the_users_words_in_messages() -> None:
    first = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "how many?"}]}]
    later = [{"role": "system", "content": "x"}, *first, *talk("", "two <image_or_not>", "why?")[1:]]
    assert conversation_questions(first, IMAGE) == ["how many?"]
    assert conversation_questions(later, IMAGE) == ["how many?\nwhy?"]
    assert conversation_questions(later, IMAGE, last_only=True) == ["why?"]
    both = [*later, {"role": "assistant", "content": "so"}, first[0]]
    assert conversation_questions(both, IMAGE) == ["how many?\nwhy?", "how many?"]
    assert conversation_questions(both, IMAGE, last_only=True) == ["how many?", "how many?"]
    answered = [*first, {"role": "assistant", "content": [{"type": "image"}]}]
    assert conversation_questions(answered, IMAGE) == ["how many?", "how many?"]
