"""Tokenizer and chat template of models that read pages: questions folded and in whole words, answers spelled as printed."""

from __future__ import annotations

from typing import Any

from dragonfly.models import DragonflyImageProcessor, DragonflyProcessor
from dragonfly.research.curriculum.scratch import READER, SPECIAL, reader_tokenizer
from dragonfly.turns import tokens_in
from tests import tiny


def processor(**selection: Any) -> DragonflyProcessor:
    spec = tiny.config("v1").spec
    spec = spec.with_selection(**selection) if selection else spec
    return DragonflyProcessor(
        DragonflyImageProcessor(encoder=spec.to_dict()), reader_tokenizer(), chat_template=READER.read_text(encoding="utf-8")
    )


def turn(role: str, *content: str) -> dict[str, Any]:
    return {
        "role": role,
        "content": [{"type": "image"} if part == "<image>" else {"type": "text", "text": part} for part in content],
    }


def test_any_text_round_trips_and_digits_stand_alone() -> None:
    tokenizer = reader_tokenizer()
    assert len(tokenizer) == 1024 and tokenizer.convert_ids_to_tokens(list(range(len(SPECIAL)))) == SPECIAL
    for text in ("RM 1,012.50", "Größe: 5 µg\n\t", "No. 12-B", "what is the total amount?", "数 42"):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    pieces = [tokenizer.decode([one]) for one in tokenizer("what is the grand total?", add_special_tokens=False)["input_ids"]]
    assert pieces == ["what", " is", " the", " grand", " total", "?"]
    values = [tokenizer.decode([one]) for one in tokenizer("RM 1250 Total", add_special_tokens=False)["input_ids"]]
    assert values == list("RM 1250 Total")


def test_questions_are_written_in_small_letters_and_answers_as_they_are() -> None:
    conversation = [turn("user", "<image>", "What is the TOTAL?"), turn("assistant", "RM 12.50")]
    text, spans = processor().answers(conversation)
    assert text == "<|begin_of_text|><|user|><image>what is the total?<|assistant|>RM 12.50<|eot_id|>"
    assert [text[start:end] for start, end in spans] == ["RM 12.50<|eot_id|>"]
    output = processor().apply_chat_template(
        [turn("user", "What is the TOTAL?"), turn("assistant", "A b")],
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    said = [one for one, inside in zip(output["input_ids"][0], output["assistant_masks"][0], strict=True) if inside]
    assert reader_tokenizer().decode(said) == "A b<|eot_id|>" and tokens_in([(0, 1)], [(0, 1)]) == [1]


def test_a_follow_up_is_asked_by_itself_of_the_same_images() -> None:
    first = [turn("user", "<image>", "What is the total?"), turn("assistant", "12")]
    made = processor()
    options: dict[str, Any] = {"add_generation_prompt": True, "tokenize": False}
    asked = made.apply_chat_template([*first, turn("user", "And the DATE?")], **options)
    assert asked == made.apply_chat_template([turn("user", "<image>", "and the date?")], **options)
    assert asked == "<|begin_of_text|><|user|><image>and the date?<|assistant|>"
    system = made.apply_chat_template([turn("system", "Be Short."), turn("user", "Why?")], **options)
    assert system == "<|begin_of_text|><|system|>Be Short.<|user|>why?<|assistant|>"


def test_the_question_that_chooses_is_the_one_that_is_read() -> None:
    made = processor(policy="question", scope="image", keep=2)
    assert made.as_written("Total?") == "total?"
    options: dict[str, Any] = {"tokenize": True, "return_dict": True, "add_generation_prompt": True}
    image = tiny.image()
    rows = [
        made.apply_chat_template(
            [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": text}]}], **options
        )
        for text in ("The GRAND Total?", "the grand total?")
    ]
    assert rows[0]["question_ids"].tolist() == rows[1]["question_ids"].tolist()
    by_text = made(
        images=[image],
        text=[made.apply_chat_template([turn("user", "<image>", "The GRAND Total?")], **{**options, "tokenize": False})],
    )
    assert by_text["question_ids"].tolist() == rows[1]["question_ids"].tolist()
    plain = tiny.processor(tiny.config("v1"))
    assert plain.as_written("Total?") == "Total?"
