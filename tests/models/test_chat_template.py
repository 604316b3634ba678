"""The chat template: one rendering for training and inference, images in order, and a mask that covers answers alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests import tiny

IMAGE = tiny.SPECIAL.index("<image>")


def image(seed: int = 0) -> dict[str, Any]:
    return {"type": "image", "image": tiny.image(seed=seed)}


def say(role: str, *parts: Any) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]}


def encode(conversations: list[Any], block_first: bool = False, padding_side: str = "right", **options: Any) -> Any:
    processor = tiny.processor(block_first=block_first)
    out = processor.apply_chat_template(
        conversations,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        return_assistant_tokens_mask=True,
        processor_kwargs={"padding": True, "padding_side": padding_side, **options},
    )
    return processor, out


def render(conversation: list[Any], block_first: bool = False, **options: Any) -> str:
    return tiny.processor(block_first=block_first).apply_chat_template(conversation, **options)


def test_the_text_of_a_conversation() -> None:
    text = render([say("system", "s"), say("user", {"type": "image"}, "q"), say("assistant", "a")])
    start, middle, end = "<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>"
    parts = [f"{start}{role}{middle}{body}{end}" for role, body in (("system", "s"), ("user", "<image>q"), ("assistant", "a"))]
    assert text == "<|begin_of_text|>" + "".join(parts)


def test_strings_and_lists_of_parts_are_the_same() -> None:
    plain = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    assert render(plain) == render([say("user", "q"), say("assistant", "a")])


def test_generation_prompt() -> None:
    assert render([say("user", "q")], add_generation_prompt=True) == render([say("user", "q")]) + (
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_one_bos_whoever_tokenizes() -> None:
    _, out = encode([[say("user", "q"), say("assistant", "a")]])
    assert (out["input_ids"] == 0).sum() == 1


def test_block_first_hoists_images_in_order() -> None:
    conversation = [say("user", "q", {"type": "image"}), say("assistant", "a"), say("user", {"type": "image"}, "r")]
    text = render(conversation, block_first=True)
    assert text.startswith("<image><image><|begin_of_text|>") and text.count("<image>") == 2
    hoisted = [say("user", image(1), "q"), say("assistant", "a"), say("user", "r", image(2))]
    processor, out = encode([hoisted], block_first=True)
    expected = processor.image_processor([tiny.image(seed=1), tiny.image(seed=2)], return_tensors="pt")
    assert torch.equal(out["pixel_values"], expected["pixel_values"])


def answers(processor: Any, out: Any, row: int) -> str:
    return processor.tokenizer.decode(out["input_ids"][row][out["assistant_masks"][row].bool()])


@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("block_first", [False, True])
def test_the_mask_covers_answers_and_nothing_else(padding_side: str, block_first: bool) -> None:
    conversations = [
        [
            say("user", image(), "one?"),
            say("assistant", "first"),
            say("user", "two?", image(1), image(2)),
            say("assistant", "second é"),
        ],
        [say("system", "be brief"), say("user", "no image"), say("assistant", "third")],
    ]
    processor, out = encode(conversations, block_first, padding_side)
    assert answers(processor, out, 0) == "first<|eot_id|>second é<|eot_id|>"
    assert answers(processor, out, 1) == "third<|eot_id|>"
    assert not (out["assistant_masks"].bool() & (out["input_ids"] == IMAGE)).any()
    assert out["pixel_values"].shape[0] == 3


def test_batches_without_images() -> None:
    processor, out = encode([[say("user", "q"), say("assistant", "a")], [say("user", "qq"), say("assistant", "bb")]])
    assert [answers(processor, out, row) for row in (0, 1)] == ["a<|eot_id|>", "bb<|eot_id|>"]
    assert "pixel_values" not in out


def test_truncation_that_cuts_an_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"[Mm]ismatch"):
        encode([[say("user", image(), "q"), say("assistant", "a")]], truncation=True, max_length=100)


def test_options_of_a_recipe_pass_through() -> None:
    _, out = encode([[say("user", image(), "q"), say("assistant", "a")]], pad_to_multiple_of=64)
    assert out["input_ids"].shape[1] % 64 == 0
