"""Ids and labels from one rendering: what is trained is the answers, to the token, and never an image or padding."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dragonfly.data import IGNORE_INDEX, BadSample, ImageRef, encode, image_mask, supervise, to_messages

from .fakes import TEMPLATE, image, make_processor, sample

TALL, WIDE = image(4, 8), image(8, 4)  # two and three sub-images of 3 tokens and a separator: 8 and 12 tokens
REF = ImageRef("x")
HEADER = len("<|start|>assistant<|stop|>") - len("<|start|><|stop|>") + 2  # bytes, and two control tokens


@pytest.fixture(scope="module")
def processor() -> Any:
    return make_processor()


def trained_text(processor: Any, example: dict[str, Any]) -> str:
    labels = example["labels"]
    return processor.tokenizer.decode(labels[labels != IGNORE_INDEX])


def test_answers_are_trained_with_their_end_of_turn(processor: Any) -> None:
    row = sample("<image>What?", "A kite", "Where is <image>?", "Über dem Fluß", images=(REF, REF))
    example = encode(processor, to_messages(row), [WIDE, TALL])
    assert trained_text(processor, example) == "A kite<|eot|>Über dem Fluß<|eot|>"
    trained = example["labels"] != IGNORE_INDEX
    assert torch.equal(example["labels"][trained], example["input_ids"][trained])
    assert int((example["input_ids"] == processor.image_token_id).sum()) == 15
    assert example["pixel_values"].shape == (2, 3, 3, 2, 2)
    assert example["num_truncated"] == 0
    assert {tuple(example[key].shape) for key in ("input_ids", "labels", "attention_mask")} == {(len(trained),)}


def test_all_trains_everything_after_begin_but_the_images(processor: Any) -> None:
    row = sample("<image>What?", "A kite", images=(REF,))
    example = encode(processor, to_messages(row), [TALL], train_on="all")
    expected = "<|start|>user<|stop|>What?<|eot|><|start|>assistant<|stop|>A kite<|eot|>"
    assert trained_text(processor, example) == expected
    assert example["labels"][0] == IGNORE_INDEX


def test_an_image_in_an_answer_is_not_trained(processor: Any) -> None:
    example = encode(processor, to_messages(sample("Show", "Here: <image>!", images=(REF,))), [TALL])
    assert trained_text(processor, example) == "Here: !<|eot|>"


def test_text_only_brings_no_images(processor: Any) -> None:
    example = encode(processor, to_messages(sample("Hi", "Hello")), [])
    assert set(example) == {"input_ids", "attention_mask", "labels", "num_truncated"}
    assert trained_text(processor, example) == "Hello<|eot|>"


def test_only_the_first_begin_counts_and_a_tokenizer_without_one_trains_all() -> None:
    ids = torch.tensor([7, 8, 7, 8, 1, 5, 1, 6])
    known = {"image_token_id": 7, "separator_token_id": 8, "assistant_mask": None}
    assert supervise(ids, bos_token_id=1, **known).tolist() == [-100] * 5 + [5, 1, 6]
    assert supervise(ids[4:], bos_token_id=None, **known).tolist() == [1, 5, 1, 6]
    assert supervise(ids[5:6], bos_token_id=1, **known).tolist() == [5]


def test_an_image_block_is_image_tokens_and_the_separators_between() -> None:
    ids = torch.tensor([8, 5, 7, 7, 8, 7, 8, 8, 5, 8, 5])
    assert image_mask(ids, 7, 8).int().tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0]
    assert image_mask(ids, 7, None).int().tolist() == [0, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0]


def test_a_limit_drops_whole_trailing_turns_with_their_images(processor: Any) -> None:
    row = sample("<image>a", "b", "<image>c", "d", "e", "f", images=(REF, REF))
    length = len(encode(processor, to_messages(row), [TALL, WIDE])["input_ids"])
    last = len("e") + 1 + len("user") + 2 + HEADER + len("f") + 1
    for limit, dropped in ((length, 0), (length - 1, 1), (length - last, 1), (length - last - 1, 2)):
        cut = encode(processor, to_messages(row), [TALL, WIDE], max_length=limit)
        images = [TALL, WIDE] if dropped < 2 else [TALL]
        alone = encode(processor, to_messages(row)[: 6 - 2 * dropped], images)
        assert {**alone, "num_truncated": dropped}.keys() == cut.keys()
        assert cut["num_truncated"] == dropped
        assert all(torch.equal(cut[key], alone[key]) for key in cut if key != "num_truncated")
        assert len(cut["input_ids"]) <= limit


def test_all_is_limited_alike(processor: Any) -> None:
    messages = to_messages(sample("<image>a", "b", "c", "d", images=(REF,)))
    cut = encode(processor, messages, [TALL], train_on="all", max_length=50)
    assert cut["num_truncated"] == 1
    assert trained_text(processor, cut).endswith("b<|eot|>")


def test_dropping_every_image_leaves_a_text_row(processor: Any) -> None:
    cut = encode(processor, to_messages(sample("a", "b", "<image>c", "d", images=(REF,))), [TALL], max_length=30)
    assert set(cut) == {"input_ids", "attention_mask", "labels", "num_truncated"}
    assert cut["num_truncated"] == 1


def test_a_first_turn_that_does_not_fit_is_refused(processor: Any) -> None:
    messages = to_messages(sample("<image>a", "b", "c", "d", images=(REF,)))
    first = len(encode(processor, messages[:2], [TALL])["input_ids"])
    assert encode(processor, messages, [TALL], max_length=first)["num_truncated"] == 1
    with pytest.raises(BadSample, match=f"the first turn takes {first} tokens, max_length is {first - 1}") as caught:
        encode(processor, messages, [TALL], max_length=first - 1)
    assert caught.value.reason == "too-long"


@pytest.mark.parametrize("token", ["<image>", "<sep>", "<|eot|>", "<|start|>"])
def test_text_cannot_forge_an_image_or_a_turn(processor: Any, token: str) -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": f"a{token}b"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "c"}]},
    ]
    with pytest.raises(BadSample, match="holds the control token") as caught:
        encode(processor, messages, [])
    assert caught.value.reason == "control-token"


def test_images_and_placeholders_must_agree(processor: Any) -> None:
    messages = to_messages(sample("<image>a", "b", images=(REF,)))
    with pytest.raises(BadSample, match="1 image placeholders, 0 images"):
        encode(processor, messages, [])
    with pytest.raises(BadSample, match="1 image placeholders, 2 images"):
        encode(processor, messages, [TALL, TALL])


def test_a_template_without_marks_is_refused_where_they_are_needed() -> None:
    bare = make_processor(TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", ""))
    messages = to_messages(sample("a", "b"))
    with pytest.raises(ValueError, match=r"marks 0 answers where the conversation has 1; put {% generation %}"):
        encode(bare, messages, [])
    assert trained_text(bare, encode(bare, messages, [], train_on="all")).endswith("b<|eot|>")


def test_unknown_supervision_is_refused(processor: Any) -> None:
    with pytest.raises(ValueError, match="train_on is 'answers'; accepted: assistant, all"):
        encode(processor, to_messages(sample("a", "b")), [], train_on="answers")  # pyright: ignore[reportArgumentType]


def test_the_messages_handed_in_are_left_as_they_were(processor: Any) -> None:
    messages = to_messages(sample("<image>a", "b", images=(REF,)))
    encode(processor, messages, [TALL])
    assert messages == to_messages(sample("<image>a", "b", images=(REF,)))


GOLDEN = Path(os.environ.get("DRAGONFLY_GOLDEN", Path(__file__).parents[3] / "shared" / "golden" / "set_a"))


@pytest.mark.skipif(not (GOLDEN / "MANIFEST.json").is_file(), reason="the recorded cases are not here")
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_all_gives_the_labels_that_the_released_weights_were_trained_with(version: str) -> None:
    document = json.loads((GOLDEN / "MANIFEST.json").read_text())[version]
    vocabulary = json.loads((GOLDEN / version / "checkpoint" / "tokenizer.json").read_text())["added_tokens"]
    ids = {token["content"]: token["id"] for token in vocabulary}
    cases = [name for name, case in document["cases"].items() if case["kind"] == "train"]
    assert cases
    for name in cases:
        arrays = np.load(GOLDEN / version / document["cases"][name]["file"])
        for row, attended, recorded in zip(
            *(torch.from_numpy(arrays[key]).long() for key in ("input_ids", "attention_mask", "labels")), strict=True
        ):
            labels = supervise(
                row,
                assistant_mask=None,
                bos_token_id=ids["<|begin_of_text|>"],
                image_token_id=ids["<|reserved_special_token_0|>"],
                separator_token_id=ids["<|reserved_special_token_1|>"],
            )
            # The recording supervises padding, a fault that is not reproduced: only tokens that are there agree.
            assert torch.equal(labels[attended == 1], recorded[attended == 1]), name
