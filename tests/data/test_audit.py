"""The audit passes what is right and catches each silent mistake when it is put back on purpose."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from dragonfly.data import IGNORE_INDEX, Collator, ImageRef, answer_marks, audit, audit_batch, encode, show, to_messages

from .fakes import TEMPLATE, image, make_processor, sample

REF = ImageRef("x")
Example = dict[str, Any]


@pytest.fixture(scope="module")
def processor() -> Any:
    return make_processor()


@pytest.fixture(scope="module")
def known(processor: Any) -> dict[str, Any]:
    return {
        "image_token_id": processor.image_token_id,
        "separator_token_id": processor.separator_token_id,
        "marks": answer_marks(processor),
    }


@pytest.fixture
def example(processor: Any) -> Example:
    row = sample("<image>What?", "A kite", "And <image>?", "A boat", images=(REF, REF))
    return encode(processor, to_messages(row), [image(8, 4), image(4, 8)])


def test_marks_are_told_from_the_template(processor: Any) -> None:
    marks = answer_marks(processor)
    assert marks.header == "<|eot|><|start|>assistant<|stop|>"
    assert marks.stops == {processor.tokenizer.convert_tokens_to_ids("<|eot|>")}
    with pytest.raises(ValueError, match=r"ends an answer with '\[end\]', where generation cannot stop"):
        answer_marks(make_processor(TEMPLATE.replace("<|eot|>", "[end]")))


def test_a_right_example_has_no_faults(processor: Any, example: Example, known: dict[str, Any]) -> None:
    assert audit(example, num_image_tokens=[12, 8], **known) == []
    assert audit(example, **known) == []
    whole = encode(processor, to_messages(sample("<image>a", "b", images=(REF,))), [image()], train_on="all")
    assert audit(whole, train_on="all", num_image_tokens=[12], **known) == []
    inside = encode(processor, to_messages(sample("a", "b <image> c", images=(REF,))), [image()])
    assert audit(inside, num_image_tokens=[12], **known) == []
    first = encode(processor, to_messages(sample("a", "<image>c", images=(REF,))), [image()])
    assert audit(first, num_image_tokens=[12], **known) == []


def shifted(e: Example) -> Example:
    return {**e, "labels": torch.roll(e["labels"], -1)}


def shifted_mask(e: Example) -> Example:
    return {**e, "labels": torch.where(torch.roll(e["labels"] != IGNORE_INDEX, 1), e["input_ids"], IGNORE_INDEX)}


def shifted_mask_back(e: Example) -> Example:
    return {**e, "labels": torch.where(torch.roll(e["labels"] != IGNORE_INDEX, -1), e["input_ids"], IGNORE_INDEX)}


def on_the_question(e: Example) -> Example:
    labels = e["labels"].clone()
    labels[19:25] = e["input_ids"][19:25]  # "What?" and its end, after begin, the user's header (6), the image (12)
    return {**e, "labels": labels}


def on_the_header(e: Example) -> Example:
    labels = e["labels"].clone()
    start = int((labels != IGNORE_INDEX).nonzero()[0])
    labels[start - 1] = e["input_ids"][start - 1]
    return {**e, "labels": labels}


def nothing_trained(e: Example) -> Example:
    return {**e, "labels": torch.full_like(e["labels"], IGNORE_INDEX)}


def end_untrained(e: Example) -> Example:
    labels = e["labels"].clone()
    labels[-1] = IGNORE_INDEX
    return {**e, "labels": labels}


def first_end_untrained(e: Example) -> Example:
    labels = e["labels"].clone()
    labels[(labels != IGNORE_INDEX).nonzero()[len("A kite")]] = IGNORE_INDEX
    return {**e, "labels": labels}


def separator_trained(e: Example) -> Example:
    labels = e["labels"].clone()
    labels[10] = e["input_ids"][10]
    return {**e, "labels": labels}


def image_trained(e: Example) -> Example:
    labels = e["labels"].clone()
    labels[8] = e["input_ids"][8]
    return {**e, "labels": labels}


def without(position: int) -> Any:
    def cut(e: Example) -> Example:
        return {**e, **{k: torch.cat([e[k][:position], e[k][position + 1 :]]) for k in ("input_ids", "labels")}} | {
            "attention_mask": e["attention_mask"][1:]
        }

    return cut


def images_dropped(e: Example) -> Example:
    return {k: v for k, v in e.items() if k != "pixel_values"}


def one_image_dropped(e: Example) -> Example:
    return {**e, "pixel_values": e["pixel_values"][:1]}


def lengths_differ(e: Example) -> Example:
    return {**e, "labels": e["labels"][1:]}


@pytest.mark.parametrize(
    ("mistake", "fault"),
    [
        (shifted, "shift:"),
        (shifted_mask, "question supervised"),
        (shifted_mask, "turn end unsupervised"),
        (shifted_mask_back, "question supervised"),
        (shifted_mask_back, "turn end unsupervised"),
        (on_the_question, "question supervised"),
        (nothing_trained, "no supervision"),
        (end_untrained, "turn end unsupervised"),
        (on_the_header, "question supervised"),
        (first_end_untrained, "turn end unsupervised"),
        (image_trained, "image supervised: 1"),
        (separator_trained, "image supervised: 1"),
        (without(8), "image run cut: 19 image tokens, the layouts promise 20"),
        (images_dropped, "images dropped: 0 rows of pixel_values for 2 images"),
        (one_image_dropped, "images dropped: 1 rows"),
        (lengths_differ, "shift:"),
    ],
)
def test_each_mistake_is_caught(example: Example, known: dict[str, Any], mistake: Any, fault: str) -> None:
    faults = audit(mistake(example), num_image_tokens=[12, 8], **known)
    assert any(found.startswith(fault) for found in faults), faults


def test_training_on_everything_is_a_question_supervised_unless_asked_for(processor: Any, known: dict) -> None:
    example = encode(processor, to_messages(sample("a", "b")), [], train_on="all")
    assert audit(example, **known)[0].startswith("question supervised: the labels from token 1 ")
    assert audit(example, train_on="all", **known) == []


def test_images_without_layouts_are_still_missed(example: Example, known: dict[str, Any]) -> None:
    (fault,) = audit(images_dropped(example), **known)
    assert fault == "images dropped: 0 rows of pixel_values for 20 image tokens"


@pytest.mark.parametrize("side", ["left", "right"])
def test_batches(processor: Any, example: Example, known: dict[str, Any], side: Any) -> None:
    text = encode(processor, to_messages(sample("a", "b")), [])
    pad = processor.tokenizer.pad_token_id
    batch: dict[str, Any] = Collator(pad, padding_side=side)([text, example])
    promised = [[], [12, 8]]
    assert audit_batch(batch, promised, **known) == []

    from_ids = batch["labels"].clone()
    from_ids[0][batch["attention_mask"][0] == 0] = pad
    faults = audit_batch({**batch, "labels": from_ids}, promised, **known)
    count = int((batch["attention_mask"] == 0).sum())
    assert faults == [f"row 0: padding supervised: {count} labels on padding"]

    dropped = {k: v for k, v in batch.items() if k != "pixel_values"}
    assert audit_batch(dropped, promised, **known) == ["images dropped: 0 rows of pixel_values for 2 images"]
    assert audit_batch(batch, [[12, 8], []], **known) == [
        "row 0: image run cut: 0 image tokens, the layouts promise 20",
        "row 1: image run cut: 20 image tokens, the layouts promise 0",
    ]
    assert audit_batch(batch, promised[:1], **known) == ["rows: 2 in the batch, 1 expected"]


def test_an_answer_ends_in_a_token_at_which_generation_stops(processor: Any, example: Example, known: dict[str, Any]) -> None:
    other = replace(known["marks"], stops=frozenset({processor.tokenizer.convert_tokens_to_ids("<|stop|>")}))
    faults = audit(example, num_image_tokens=[12, 8], **{**known, "marks": other})
    assert [fault.partition(":")[0] for fault in faults] == ["turn end unsupervised"] * 2
    whole = encode(processor, to_messages(sample("a", "b")), [], train_on="all")
    assert audit(whole, train_on="all", **{**known, "marks": other})[0].startswith("turn end unsupervised")


def test_blanks_after_the_end_belong_to_no_answer(processor: Any) -> None:
    spaced = make_processor(TEMPLATE.replace("<|eot|>{% endgeneration", "<|eot|>\n{% endgeneration"))
    ids = {"image_token_id": spaced.image_token_id, "separator_token_id": spaced.separator_token_id}
    known = {**ids, "marks": answer_marks(spaced)}
    messages = to_messages(sample("a", "b"))
    assert audit(encode(spaced, messages, [], train_on="all"), train_on="all", **known) == []
    assert audit(encode(spaced, messages, []), **known)[0].startswith("turn end unsupervised")


def test_show_colours_every_token(processor: Any, example: Example) -> None:
    batch: dict[str, Any] = Collator(processor.tokenizer.pad_token_id, pad_to_multiple_of=128)([example])
    text = show(processor, {key: batch[key][0] for key in ("input_ids", "attention_mask", "labels")})
    pads = int((batch["attention_mask"] == 0).sum())
    assert text.plain == (
        "<|begin|><|start|>user<|stop|>[image x 12]What?<|eot|><|start|>assistant<|stop|>A kite<|eot|>"
        f"<|start|>user<|stop|>And [image x 8]?<|eot|><|start|>assistant<|stop|>A boat<|eot|>[pad x {pads}]"
    )
    coloured = [(text.plain[span.start : span.end], span.style) for span in text.spans]
    assert [piece for piece, style in coloured if style == "bold green"] == ["A kite<|eot|>", "A boat<|eot|>"]
    assert [style for piece, style in coloured if piece.startswith("[image")] == ["blue", "blue"]
    assert coloured[-1] == (f"[pad x {pads}]", "dim")
