"""A language model's own chat template is used as it is: images, labels, ends, under the formats of many families."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from dragonfly.data import IGNORE_INDEX, BadSample, answer_marks, audit, encode
from dragonfly.data.encoding import runs
from dragonfly.models import DragonflyImageProcessor, DragonflyProcessor
from dragonfly.models.chat_templates import chat_template_for, joined_chat_template, project_template
from tests import tiny
from tests.templates import CHATML, FAMILIES, GEMMA, Family, tokenizer


def processor(family: Family, template: str | None = None, **changes: Any) -> DragonflyProcessor:
    settings = tiny.config(**changes)
    images = DragonflyImageProcessor(encoder=settings.encoder, preset=settings.preset)
    return DragonflyProcessor(images, tokenizer(family, template))


@pytest.fixture(params=FAMILIES, scope="module")
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]


@pytest.fixture(scope="module")
def made(family: Family) -> DragonflyProcessor:
    return processor(family)


def say(role: str, *parts: str | None) -> dict[str, Any]:
    """A message; None is an image."""
    return {"role": role, "content": [{"type": "image"} if part is None else {"type": "text", "text": part} for part in parts]}


TALK = [
    say("user", None, "What is this?"),
    say("assistant", "A kite é"),
    say("user", "Where?", None, "there?"),
    say("assistant", "No\n\nYes"),
]
HARD = [
    say("user", "Yes?"),
    say("assistant", "Yes"),
    say("user", None),
    say("assistant", ""),
    say("user", "USER: what"),
    say("assistant", " ASSISTANT: USER: Yes? \n"),
    say("user", "<table>", None),
    say("assistant", "<b>x</b>\n"),
]


def trained(made: DragonflyProcessor, messages: list[Any], **options: Any) -> tuple[dict[str, Any], list[str]]:
    """An example and the text of each stretch that is trained."""
    images = [tiny.image(seed=seed) for seed in range(str(messages).count("'image'"))]
    example = encode(made, messages, images, **options)
    stretches = [example["input_ids"][start:end] for start, end in runs(example["labels"] != IGNORE_INDEX)]
    return example, [made.tokenizer.decode(ids) for ids in stretches]


@pytest.mark.parametrize("messages", [TALK, HARD], ids=["plain", "hard"])
def test_answers_are_trained_to_where_generation_stops(made: DragonflyProcessor, family: Family, messages: list[Any]) -> None:
    example, texts = trained(made, messages)
    answers = ["".join(part["text"] for part in message["content"]) for message in messages if message["role"] == "assistant"]
    ends = [text[: -len(family.end)] if text.endswith(family.end) else None for text in texts]
    ends = [end if end is None else end.removesuffix("<|END_RESPONSE|>") for end in ends]
    said = [end if end is None or index < len(ends) - 1 else end.removeprefix(family.lead) for index, end in enumerate(ends)]
    assert [text and text.strip() for text in said] == [answer.strip() for answer in answers]
    ids: dict[str, Any] = {"image_token_id": made.image_token_id, "separator_token_id": made.separator_token_id}
    assert audit(example, marks=answer_marks(made), **ids) == []
    assert made.tokenizer.convert_tokens_to_ids(family.end) in made.stop_ids()
    assert made.turn_marks().lead == family.lead


def test_what_stands_before_an_answer_is_what_generation_is_given(made: DragonflyProcessor) -> None:
    text, spans = made.answers(TALK)
    for turns, (start, _) in zip((TALK[:1], TALK[:3]), spans, strict=True):
        assert text[:start] == made.apply_chat_template(turns, add_generation_prompt=True)


def test_a_system_message(made: DragonflyProcessor, family: Family) -> None:
    messages = [say("system", "Be brief."), *TALK]
    if family.system == "refused":
        with pytest.raises(BadSample, match="the chat template refuses the conversation: no system message here"):
            trained(made, messages)
        return
    example, texts = trained(made, messages)
    assert len(texts) == 2 and all(text.endswith(family.end) for text in texts)
    assert "Be brief." in made.tokenizer.decode(example["input_ids"])


def test_the_language_models_own_text_and_one_bos(made: DragonflyProcessor, family: Family) -> None:
    parts = [say("user", "q"), say("assistant", "a")]
    strings = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    own = made.tokenizer.apply_chat_template(parts if family is FAMILIES["parts"] else strings, tokenize=False)
    bos = family.bos or ""
    for messages in (parts, strings):
        text = made.apply_chat_template(messages)
        assert text in (own, bos + own) and (not family.adds_bos or text.startswith(bos))
        ids = made.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"][0]
        again = made(text=text)["input_ids"][0]
        assert ids == again == made.tokenizer(text, add_special_tokens=False)["input_ids"]
        if family.adds_bos:
            assert ids[:2].count(made.tokenizer.bos_token_id) == 1


def test_images_stand_where_the_conversation_puts_them(made: DragonflyProcessor) -> None:
    for parts in ((None, "q"), ("q", None), ("first", None, "second", None), (None, None)):
        text = made.apply_chat_template([say("user", *parts)])
        joined = "".join("<image>" if part is None else part for part in parts)
        assert joined in text and text.count("<image>") == parts.count(None)


def test_the_mask_of_a_batch_is_that_of_its_rows(made: DragonflyProcessor) -> None:
    options: dict[str, Any] = {
        "tokenize": True,
        "return_dict": True,
        "return_tensors": "pt",
        "return_assistant_tokens_mask": True,
    }
    rows = [
        [{**m, "content": [{**p, "image": tiny.image()} if p["type"] == "image" else p for p in m["content"]]} for m in row]
        for row in (TALK, HARD[:2])
    ]
    for side in ("left", "right"):
        batch = made.apply_chat_template(rows, processor_kwargs={"padding": True, "padding_side": side}, **options)
        assert batch["assistant_masks"].shape == batch["input_ids"].shape
        for row, ids, mask, present in zip(
            rows, batch["input_ids"], batch["assistant_masks"], batch["attention_mask"].bool(), strict=True
        ):
            alone = made.apply_chat_template(row, **options)
            assert torch.equal(ids[present], alone["input_ids"][0])
            assert torch.equal(mask[present], alone["assistant_masks"][0]) and not mask[~present].any()


def test_saved_and_loaded(tmp_path: Any) -> None:
    made = processor(FAMILIES["chatml"])
    made.save_pretrained(tmp_path)
    loaded = DragonflyProcessor.from_pretrained(tmp_path)
    assert loaded.chat_template == made.chat_template == loaded.tokenizer.chat_template
    assert (
        loaded.apply_chat_template(TALK)
        == made.apply_chat_template(TALK)
        == loaded.tokenizer.apply_chat_template(TALK, tokenize=False)
    )
    assert made.tokenizer.pad_token == "<|im_end|>"


def test_other_fields_of_a_message_reach_the_template() -> None:
    named = CHATML.replace("m.content +", "(m.name | default('')) + m.content +")
    made = processor(FAMILIES["chatml"], named)
    assert "<|im_start|>user\nIda<image>q<|im_end|>" in made.apply_chat_template([{**say("user", None, "q"), "name": "Ida"}])


def test_thoughts_in_an_answer() -> None:
    made = processor(FAMILIES["thinking"])
    talk = [*TALK[:1], say("assistant", "<think>\nr\n</think>\n\na"), say("user", "q"), say("assistant", "<think>s</think>b")]
    assert trained(made, talk)[1] == ["a<|im_end|>", "<think>\ns\n</think>\n\nb<|im_end|>"]


def test_a_token_that_begins_in_the_prompt_is_not_trained() -> None:
    made = processor(FAMILIES["chatml"])
    example, texts = trained(made, [say("user", "q"), say("assistant", "\nYes")])
    assert "ĊĊ" in made.tokenizer.convert_ids_to_tokens(example["input_ids"].tolist())
    assert texts == ["Yes<|im_end|>"]


def test_generation_marks_that_say_otherwise_are_not_followed() -> None:
    marked = GEMMA.replace("m.content | trim +", "m.content | trim -}}{% generation %}{{-")
    marked = marked.replace("'<end_of_turn>\\n' -}}", "'<end_of_turn>\\n' -}}{% endgeneration %}")
    made = processor(FAMILIES["gemma"], marked)
    assert trained(made, TALK[:2])[1] == ["A kite é<end_of_turn>"]


def test_which_template_a_tokenizer_gets(tmp_path: Any) -> None:
    chatml = FAMILIES["chatml"]
    bare = tokenizer(chatml)
    bare.chat_template = None
    assert chat_template_for(tiny.tokenizer(), "<image>") == project_template("<image>", False)
    assert chat_template_for(bare, "<image>") is None
    with pytest.raises(ValueError, match=r"has no chat template.*init_from.chat_template=FILE"):
        joined_chat_template(bare, "<image>", None)
    with pytest.raises(ValueError, match=r"chat template '.*nothing.jinja' cannot be read \(FileNotFoundError\)"):
        joined_chat_template(bare, "<image>", str(tmp_path / "nothing.jinja"))
    (tmp_path / "own.jinja").write_text(CHATML)
    named = joined_chat_template(bare, "<image>", str(tmp_path / "own.jinja"))
    assert named == chat_template_for(tokenizer(chatml), "<image>") and named.endswith(CHATML)
    several = tokenizer(chatml)
    several.chat_template = {"default": CHATML, "tool_use": "{{ messages }}"}
    assert chat_template_for(several, "<image>") == named
    own = copy.copy(tiny.tokenizer())
    own.chat_template = CHATML
    assert chat_template_for(own, "<image>", block_first=True) == project_template("<image>", True)
    with pytest.raises(ValueError, match="does not write down what a user says"):
        chat_template_for(bare, "<image>", given="{{ messages | length }}")


def test_an_end_of_turn_that_is_no_token_is_refused() -> None:
    made = processor(FAMILIES["tulu"], CHATML)
    with pytest.raises(ValueError, match=r"ends an answer with '<\|im_end\|>\\n', where generation cannot stop"):
        encode(made, [say("user", "q"), say("assistant", "a")], [])


def test_questions_are_the_words_of_the_messages() -> None:
    spec = tiny.config().spec.with_selection(policy="question", scope="image", keep=5)
    made = processor(FAMILIES["gemma, merged"], encoder=spec.to_dict())
    example, _ = trained(made, [say("system", "Be brief."), *TALK])
    rows = zip(example["question_ids"], example["question_mask"].bool(), strict=True)
    asked = [made.tokenizer.decode(ids[mask]) for ids, mask in rows]
    assert asked == ["What is this?\nWhere?", "there?"]
    text = made.apply_chat_template(TALK, add_generation_prompt=False)
    assert made.questions_in([tiny.image(), tiny.image()], [text]) == asked


def test_a_template_that_begins_to_think_is_told_not_to() -> None:
    thought = "{{- '<think>\\n' if enable_thinking | default(true) else '' -}}"
    thinks = CHATML.replace("assistant\\n' -}}{%- endif", "assistant\\n' -}}" + thought + "{%- endif")
    made = processor(FAMILIES["chatml"], thinks)
    assert trained(made, TALK)[1] == ["A kite é<|im_end|>", "No\n\nYes<|im_end|>"]
    asked = made.apply_chat_template(TALK[:1], add_generation_prompt=True)
    assert asked.endswith("<|im_start|>assistant\n")
    assert made.apply_chat_template(TALK[:1], add_generation_prompt=True, enable_thinking=True) == asked + "<think>\n"
    always = CHATML.replace("assistant\\n' -}}{%- endif", "assistant\\n<think>' -}}{%- endif")
    with pytest.raises(ValueError, match=r"asks for an answer with '.*<think>' but writes '.*assistant\\n' before one"):
        trained(processor(FAMILIES["chatml"], always), TALK)
