"""Questions that share a picture are trained exactly as if each were its own row."""

from typing import Any

import pytest
import torch

from dragonfly.data import Collator
from dragonfly.data.branches import encode_alone
from dragonfly.data.faults import BadSample
from dragonfly.data.labels import IGNORE_INDEX, encode
from tests import tiny

QUESTIONS = [("what is red", "a green one"), ("where", "left"), ("what is red and blue", "two"), ("what", "left of it")]


def said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": text}]}


def conversation(pictures: int = 1, system: bool = False, turns: Any = QUESTIONS) -> list[dict[str, Any]]:
    messages = [message for question, answer in turns for message in (said("user", question), said("assistant", answer))]
    messages[0]["content"] = [{"type": "image"}] * pictures + [{"type": "text", "text": "a page \n"}] + messages[0]["content"]
    return [said("system", "look"), *messages] if system else messages


def alone(messages: list[dict[str, Any]], turn: int) -> list[dict[str, Any]]:
    """One turn of a conversation with the pictures of its first, written out by hand."""
    system, rest = messages[: len(messages) % 2], messages[len(messages) % 2 :]
    asked = {"role": "user", "content": rest[0]["content"][:-1] + rest[2 * turn]["content"][-1:]}
    return [*system, asked, rest[2 * turn + 1]]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(("pictures", "system"), [(1, False), (2, True), (0, False)])
def test_a_branch_is_its_own_row(pictures: int, system: bool, attention: str) -> None:
    settings = tiny.config("v1")
    processor, model = tiny.processor(settings), tiny.model(settings).eval()
    model.config.get_text_config()._attn_implementation = attention
    images = [tiny.picture(60, 90, seed=7 + n) for n in range(pictures)]
    messages = conversation(pictures, system)
    packed = encode_alone(processor, messages, images)
    other = encode_alone(processor, conversation(pictures, system, QUESTIONS[:2]), images)  # shorter: this row is padded
    collate = Collator(0)
    with torch.no_grad():
        together = model(**{key: value for key, value in collate([packed, other]).items() if key != "labels"}).logits
    shared = packed["branches"] == 0
    for turn in range(len(QUESTIONS)):
        single = encode(processor, alone(messages, turn), images)
        own = packed["branches"] == turn + 1
        assert torch.equal(torch.cat([packed["input_ids"][shared], packed["input_ids"][own]]), single["input_ids"])
        assert torch.equal(torch.cat([packed["labels"][shared], packed["labels"][own]]), single["labels"])
        with torch.no_grad():
            expected = model(**{key: value for key, value in collate([single]).items() if key != "labels"}).logits[0]
        for row, one in ((0, packed), (1, other)):
            if turn < int(one["branches"].max()):
                mine = (
                    torch.nn.functional.pad(one["branches"], (0, together.shape[1] - len(one["branches"])), value=-1) == turn + 1
                )
                torch.testing.assert_close(together[row][mine], expected[-int(own.sum()) :], atol=2e-5, rtol=1e-4)


def test_the_same_question_twice_is_two_branches() -> None:
    """A duplicated row, and one question with two answers that begin alike."""
    turns = [("where", "left"), ("where", "left"), ("where", "left of it")]
    processor, images = tiny.processor(tiny.config("v1")), [tiny.picture(60, 90)]
    messages = conversation(turns=turns)
    packed = encode_alone(processor, messages, images)
    shared = packed["branches"] == 0
    assert packed["labels"][shared].eq(IGNORE_INDEX).all() and int(packed["branches"].max()) == len(turns)
    for turn in range(len(turns)):
        single, own = encode(processor, alone(messages, turn), images), packed["branches"] == turn + 1
        assert torch.equal(torch.cat([packed["input_ids"][shared], packed["input_ids"][own]]), single["input_ids"])
        assert torch.equal(torch.cat([packed["labels"][shared], packed["labels"][own]]), single["labels"])
        assert packed["labels"][own][0] == IGNORE_INDEX  # what tells the first token of the answer is the branch's own


def test_a_single_question_is_a_row_as_ever() -> None:
    processor, images = tiny.processor(tiny.config("v1")), [tiny.picture(60, 90)]
    one = conversation(turns=QUESTIONS[:1])
    packed, single = encode_alone(processor, one, images), encode(processor, one, images)
    assert torch.equal(packed["input_ids"], single["input_ids"]) and torch.equal(packed["labels"], single["labels"])


def test_what_does_not_fit_is_left_out_whole() -> None:
    processor, images = tiny.processor(tiny.config("v1")), [tiny.picture(60, 90)]
    whole = encode_alone(processor, conversation(), images)
    cut = encode_alone(processor, conversation(), images, max_length=len(whole["input_ids"]) - 1)
    assert cut["num_truncated"] == 1 and cut["branches"].unique().tolist() == [0, 1, 2, 3]
    assert int((cut["labels"] != IGNORE_INDEX).sum()) < int((whole["labels"] != IGNORE_INDEX).sum())
    with pytest.raises(BadSample, match=r"the first question takes \d+ tokens, max_length is 5"):
        encode_alone(processor, conversation(), images, max_length=5)


def test_pictures_that_depend_on_the_question_cannot_be_shared() -> None:
    settings = tiny.config("v1")
    processor = tiny.processor(settings)
    processor.block_first = True
    with pytest.raises(ValueError, match="puts pictures before the begin-of-text token"):
        encode_alone(processor, conversation(), [tiny.picture(60, 90)])
