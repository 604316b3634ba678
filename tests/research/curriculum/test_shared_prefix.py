"""Questions that share an image are trained exactly as if each were its own row."""

from typing import Any

import pytest
import torch

from dragonfly.data import Collator
from dragonfly.data.encoding import IGNORE_INDEX, encode
from dragonfly.data.errors import BadSample
from dragonfly.research.curriculum.shared_prefix import encode_shared_prefix, shared_prefix_inputs
from tests import tiny

QUESTIONS = [("what is red", "a green one"), ("where", "left"), ("what is red and blue", "two"), ("what", "left of it")]


def said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}


def conversation(images: int = 1, system: bool = False, turns: Any = QUESTIONS) -> list[dict[str, Any]]:
    messages = [message for question, answer in turns for message in (said("user", question), said("assistant", answer))]
    messages[0]["content"] = [{"type": "image"}] * images + [{"type": "text", "text": "a page \n"}] + messages[0]["content"]
    return [said("system", "look"), *messages] if system else messages


def alone(messages: list[dict[str, Any]], turn: int) -> list[dict[str, Any]]:
    """One turn of a conversation with the images of its first, written out by hand."""
    system, rest = messages[: len(messages) % 2], messages[len(messages) % 2 :]
    asked = {"role": "user", "content": rest[0]["content"][:-1] + rest[2 * turn]["content"][-1:]}
    return [*system, asked, rest[2 * turn + 1]]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(("num_images", "system"), [(1, False), (2, True), (0, False)])
def test_a_segment_is_its_own_row(num_images: int, system: bool, attention: str) -> None:
    settings = tiny.config("v1")
    processor, model = tiny.processor(settings), tiny.model(settings).eval()
    model.config.get_text_config()._attn_implementation = attention
    images = [tiny.image(60, 90, seed=7 + n) for n in range(num_images)]
    messages = conversation(num_images, system)
    grouped = encode_shared_prefix(processor, messages, images)
    other = encode_shared_prefix(
        processor, conversation(num_images, system, QUESTIONS[:2]), images
    )  # shorter: this row is padded
    collate = Collator(0, more={"segment_ids": 0})
    with torch.no_grad():
        batch = collate([grouped, other])
        segments = shared_prefix_inputs(batch["segment_ids"], batch["attention_mask"], attention)
        images_of = {"pixel_values", "sub_image_regions"} & batch.keys()
        together = model(batch["input_ids"], **{key: batch[key] for key in images_of}, **segments).logits
    shared = grouped["segment_ids"] == 0
    for turn in range(len(QUESTIONS)):
        single = encode(processor, alone(messages, turn), images)
        own = grouped["segment_ids"] == turn + 1
        assert torch.equal(torch.cat([grouped["input_ids"][shared], grouped["input_ids"][own]]), single["input_ids"])
        assert torch.equal(torch.cat([grouped["labels"][shared], grouped["labels"][own]]), single["labels"])
        with torch.no_grad():
            expected = model(**{key: value for key, value in collate([single]).items() if key != "labels"}).logits[0]
        for row, one in ((0, grouped), (1, other)):
            if turn < int(one["segment_ids"].max()):
                mine = (
                    torch.nn.functional.pad(one["segment_ids"], (0, together.shape[1] - len(one["segment_ids"])), value=-1)
                    == turn + 1
                )
                torch.testing.assert_close(together[row][mine], expected[-int(own.sum()) :], atol=2e-5, rtol=1e-4)


def test_the_same_question_twice_is_two_segments() -> None:
    """A duplicated row, and one question with two answers that begin alike."""
    turns = [("where", "left"), ("where", "left"), ("where", "left of it")]
    processor, images = tiny.processor(tiny.config("v1")), [tiny.image(60, 90)]
    messages = conversation(turns=turns)
    grouped = encode_shared_prefix(processor, messages, images)
    shared = grouped["segment_ids"] == 0
    assert grouped["labels"][shared].eq(IGNORE_INDEX).all() and int(grouped["segment_ids"].max()) == len(turns)
    for turn in range(len(turns)):
        single, own = encode(processor, alone(messages, turn), images), grouped["segment_ids"] == turn + 1
        assert torch.equal(torch.cat([grouped["input_ids"][shared], grouped["input_ids"][own]]), single["input_ids"])
        assert torch.equal(torch.cat([grouped["labels"][shared], grouped["labels"][own]]), single["labels"])
        assert grouped["labels"][own][0] == IGNORE_INDEX  # what tells the first token of the answer is the segment's own


def test_a_single_question_is_a_row_as_ever() -> None:
    processor, images = tiny.processor(tiny.config("v1")), [tiny.image(60, 90)]
    one = conversation(turns=QUESTIONS[:1])
    grouped, single = encode_shared_prefix(processor, one, images), encode(processor, one, images)
    assert torch.equal(grouped["input_ids"], single["input_ids"]) and torch.equal(grouped["labels"], single["labels"])


def test_what_does_not_fit_is_left_out_whole() -> None:
    processor, images = tiny.processor(tiny.config("v1")), [tiny.image(60, 90)]
    whole = encode_shared_prefix(processor, conversation(), images)
    cut = encode_shared_prefix(processor, conversation(), images, max_length=len(whole["input_ids"]) - 1)
    assert cut["num_truncated"] == 1 and cut["segment_ids"].unique().tolist() == [0, 1, 2, 3]
    assert int((cut["labels"] != IGNORE_INDEX).sum()) < int((whole["labels"] != IGNORE_INDEX).sum())
    with pytest.raises(BadSample, match=r"the first question takes \d+ tokens, max_length is 5"):
        encode_shared_prefix(processor, conversation(), images, max_length=5)


def test_images_that_depend_on_the_question_cannot_be_shared() -> None:
    settings = tiny.config("v1")
    processor = tiny.processor(settings)
    processor.block_first = True
    with pytest.raises(ValueError, match="puts images before the begin-of-text token"):
        encode_shared_prefix(processor, conversation(), [tiny.image(60, 90)])
