"""A sample that passes `validate` can be rendered; each way of being wrong has its own reason."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragonfly.data import BadSample, ImageRef, Message, Part, Sample, group_questions, to_messages, validate

from .fakes import sample, turns

A, B = ImageRef("a.png"), ImageRef(bytes=b"b", group="patient-1")


@pytest.mark.parametrize(
    "good",
    [
        sample("hello", "yes"),
        sample("<image>what?", "a kite", images=(A,)),
        sample("one <image> two <image>", "a", "more", "b", images=(A, B), evidence=((), ((0.0, 0.0, 1.5, 2.0),))),
        Sample("s", "t", (), (Message("system", (Part("text", "be brief"),)), *turns("q", "a"))),
        sample("q", "look: <image>", images=(A,)),
    ],
)
def test_good_samples_pass(good: Sample) -> None:
    validate(good)


@pytest.mark.parametrize(
    ("bad", "reason", "detail"),
    [
        (sample(), "empty-conversation", "no messages"),
        (sample("<image>q", "a"), "placeholder-without-image", "1 image placeholders but 0 images"),
        (sample("q", "a", images=(A,)), "image-without-placeholder", "1 images but 0 image placeholders"),
        (sample("q", " \n", "q", "a"), "empty-answer", "assistant turn 0"),
        (sample("q", "<image>", images=(A,)), "empty-answer", "assistant turn 0"),
        (sample("q"), "role-order", "an answer last"),
        (sample("q", "a", "q"), "role-order", "user assistant user;"),
        (Sample("s", "t", (), turns("q", "a")[::-1]), "role-order", "assistant user;"),
        (Sample("s", "t", (), (*turns("q", "a"), Message("system", ()))), "role-order", "user assistant system"),
        (Sample("s", "t", (), (Message("system", ()),)), "role-order", "system;"),
        (Sample("s", "t", (), (Message("human", ()), *turns("q", "a"))), "unknown-role", "'human'; accepted: system"),
        (Sample("s", "t", (), (Message("user", (Part("video"),)), *turns("q", "a")[1:])), "unknown-part", "'video'"),  # pyright: ignore[reportArgumentType]
        (sample("q", "a", evidence=((), ())), "evidence-count", "evidence for 2 turns but 1 answers"),
    ],
)
def test_each_fault_has_its_reason(bad: Sample, reason: str, detail: str) -> None:
    with pytest.raises(BadSample, match=detail) as caught:
        validate(bad)
    assert caught.value.reason == reason


def test_an_image_is_a_path_or_bytes() -> None:
    with pytest.raises(ValueError, match="exactly one of path and bytes; got neither"):
        ImageRef()
    with pytest.raises(ValueError, match="exactly one of path and bytes; got both"):
        ImageRef("a", b"a")
    assert (ImageRef("a").source, ImageRef(bytes=b"").source) == ("a", b"")


def test_messages_are_in_the_chat_template_form() -> None:
    assert to_messages(sample("see <image> here", "yes", images=(A,))) == [
        {
            "role": "user",
            "content": [{"type": "text", "text": "see "}, {"type": "image"}, {"type": "text", "text": " here"}],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "yes"}]},
    ]


def test_a_sample_is_plain_and_the_place_is_not_part_of_it() -> None:
    one = sample("<image>q", "a", images=(A,), meta={"kind": "label"}, place=("f.jsonl", 3))
    assert json.loads(json.dumps(dataclasses.asdict(one)))["images"] == [
        {"path": "a.png", "bytes": None, "group": None, "view": ""}
    ]
    assert one == dataclasses.replace(one, place=("g.jsonl", 4))


def test_group_questions_shows_the_images_once_and_keeps_every_turn() -> None:
    box = ((1.0, 2.0, 3.0, 4.0),)
    rows = [
        sample("<image>q0", "a0", images=(A,), name="0", evidence=(box,), meta={"licence": "x", "kind": "p"}),
        sample("q1 <image>", "a1", "q1b", "a1b", images=(A,), name="1", meta={"licence": "x", "kind": "q"}),
        sample("<image>q2", "a2", images=(A,), name="2", meta={"licence": "x"}),
    ]
    grouped = group_questions(rows, seed=5)
    validate(grouped)
    assert grouped == group_questions(rows, seed=5)
    assert {group_questions(rows, seed=seed).id for seed in range(20)} > {grouped.id}
    assert [message.num_images for message in grouped.messages] == [1, 0, 0, 0, 0, 0, 0, 0]
    answers = [message.text for message in grouped.messages if message.role == "assistant"]
    assert sorted(answers) == ["a0", "a1", "a1b", "a2"]
    assert answers.index("a1b") == answers.index("a1") + 1
    assert grouped.evidence[answers.index("a0")] == box
    assert sum(map(len, grouped.evidence)) == 1
    assert grouped.meta == {"licence": "x"}


@given(st.integers(1, 6), st.integers(0, 9))
def test_group_questions_is_always_valid_and_complete(count: int, seed: int) -> None:
    rows = [sample(f"<image>q{i}", f"a{i}", images=(A,), name=str(i)) for i in range(count)]
    grouped = group_questions(rows, seed=seed)
    validate(grouped)
    pairs = [(grouped.messages[i].text, grouped.messages[i + 1].text) for i in range(0, 2 * count, 2)]
    assert sorted(pairs) == [(f"q{i}", f"a{i}") for i in range(count)]


def test_group_questions_refuses_what_is_not_about_one_image() -> None:
    one = sample("<image>q", "a", images=(A,), name="one")
    with pytest.raises(ValueError, match="'two' is not about the images of 'one'"):
        group_questions([one, sample("<image>q", "a", images=(B,), name="two")])
    spoken = Sample("two", "t", (A,), (Message("system", (Part("text", "hi"),)), *one.messages))
    with pytest.raises(ValueError, match="'two' has another system message than 'one'"):
        group_questions([one, spoken])
    with pytest.raises(ValueError, match="at least one"):
        group_questions([])
