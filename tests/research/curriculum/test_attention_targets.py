"""What an answer is about is marked where it stands: the question's words, and the sub-images that show the evidence."""

from typing import Any

import pytest
import torch

from dragonfly.data import ImageRef, Message, Part, Sample, group_questions
from dragonfly.data.sample import to_messages
from dragonfly.research.curriculum.attention_supervision import answer_targets, attention_targets
from dragonfly.research.curriculum.shared_prefix import encode_shared_prefix
from dragonfly.vision.layout import make_layout
from tests import tiny

WIDTH, HEIGHT = 96, 64
IMAGE = tiny.image(WIDTH, HEIGHT, seed=3)


def box_of(cell: int) -> Any:
    """The middle of a high sub-image."""
    spec = tiny.processor(tiny.config("v1")).image_processor.spec
    left, top, right, bottom = make_layout((HEIGHT, WIDTH), spec).level_boxes("high")[cell]
    return left + 1, top + 1, right - 1, bottom - 1


def sample(number: int, question: str, about: list[str], boxes: tuple[Any, ...]) -> Sample:
    asked = Message("user", (Part("image"), Part("text", question)))
    return Sample(
        id=str(number),
        source="made",
        images=(ImageRef(path="page.png"),),
        messages=(asked, Message("assistant", (Part("text", "47"),))),
        evidence=(boxes,),
        meta={"about": [about]},
    )


ROWS = [
    sample(0, "Give the Net total", ["net total"], (box_of(5),)),
    sample(1, "How many?", [], tuple(box_of(cell) for cell in range(4))),
    sample(2, "Larger, tax or tip?", ["tax", "tip"], (box_of(2), box_of(20))),
    sample(3, "What is the fee?", ["fee"], ()),
]


@pytest.fixture(scope="module")
def processor() -> Any:
    everything = {**(tiny.config("v1").encoder or {}), "selection": {"policy": "all"}}
    return tiny.processor(tiny.config("v1", encoder=everything))


def marked(processor: Any, rows: list[Sample]) -> tuple[dict[str, Any], list[tuple[str, set[int]]]]:
    """The example, and for each question the words and the high sub-images that carry its bit."""
    one = group_questions(rows, seed=1)
    example = encode_shared_prefix(processor, to_messages(one), [IMAGE], evidence=one.evidence)
    bits = attention_targets(processor, example, one, [IMAGE])
    image = (example["input_ids"] == processor.image_token_id) | (example["input_ids"] == processor.separator_token_id)
    layout = make_layout((HEIGHT, WIDTH), processor.image_processor.spec)
    first = sum(count + 1 for count in layout.token_counts) - 24 * (layout.token_counts[-1] + 1)
    found = []
    for number in range(len(rows)):
        own = (bits >> number) & 1 == 1
        words = processor.tokenizer.decode(example["input_ids"][own & ~image])
        place = image.nonzero()[:, 0].tolist()
        cells = {(place.index(at) - first) // (layout.token_counts[-1] + 1) for at in (own & image).nonzero()[:, 0].tolist()}
        found.append((words, cells))
        within = example["segment_ids"][own & ~image]
        assert (within == (number + 1 if len(rows) > 1 else 0)).all()
    return example, found


def test_words_and_places_of_each_branch(processor: Any) -> None:
    _, found = marked(processor, ROWS)
    order = [message.text for message in group_questions(ROWS, seed=1).messages if message.role == "user"]
    told = dict(zip(order, found, strict=True))
    assert told["Give the Net total"] == ("Net total", {5})
    assert told["How many?"] == ("", set())  # of the whole image
    assert told["Larger, tax or tip?"] == ("taxtip", {2, 20})
    assert told["What is the fee?"] == ("fee", set())


def test_a_question_by_itself_is_the_first_bit(processor: Any) -> None:
    example, found = marked(processor, ROWS[:1])
    assert found == [("Net total", {5})]
    assert example["segment_ids"].max() == 0


def test_a_sub_image_that_shows_three_tenths_of_a_box_is_marked_and_one_that_shows_less_is_not(processor: Any) -> None:
    for left, cells in ((44.9, {8, 9}), (45.1, {9}), (40.9, {8}), (41.1, {8, 9})):  # 31, 29, 71 and 69 % of it left of x = 48
        row = sample(0, "Give the Net total", [], ((left, 20.0, left + 10, 28.0),))
        assert marked(processor, [row])[1][0][1] == cells


def test_every_token_of_the_place_is_marked(processor: Any) -> None:
    example, _ = marked(processor, ROWS[:1])
    bits = attention_targets(processor, example, ROWS[0], [IMAGE])
    layout = make_layout((HEIGHT, WIDTH), processor.image_processor.spec)
    assert int((bits[: -len("Give the Net total")] != 0).sum()) >= layout.token_counts[-1] + 1


def test_an_answers_patches_are_those_that_its_last_box_covers() -> None:
    fine = {**(tiny.config("v1").encoder or {}), "patch_size": 8, "selection": {"policy": "all"}}
    processor = tiny.processor(tiny.config("v1", encoder=fine))
    layout = make_layout((HEIGHT, WIDTH), processor.image_processor.spec)
    side = processor.image_processor.spec.patch_side
    left, top, right, bottom = layout.level_boxes("high")[5]
    quarter = (left + 0.5, top + 0.5, (left + right) / 2 - 0.5, (top + bottom) / 2 - 0.5)  # the patches at its left top
    row = sample(0, "Give the Net total", [], (box_of(9), quarter))
    example = encode_shared_prefix(processor, to_messages(row), [IMAGE], evidence=row.evidence)
    targets = answer_targets(processor, example, row, [IMAGE])
    image = (example["input_ids"] == processor.image_token_id) | (example["input_ids"] == processor.separator_token_id)
    block = image.nonzero()[:, 0].tolist()
    count = layout.token_counts[-1] + 1
    first = len(block) - 24 * count + 5 * count + processor.image_processor.spec.num_prefix_tokens
    expected = {first + row * side + column for row in range(side // 2) for column in range(side // 2)}
    assert {block.index(at) for at in targets.nonzero()[:, 0].tolist()} == expected
    everywhere = sample(1, "How many?", [], tuple(box_of(cell) for cell in range(4)))
    assert not answer_targets(processor, example, everywhere, [IMAGE]).any()
    assert not answer_targets(processor, example, row, []).any()


def test_what_is_left_out_cannot_be_pointed_at() -> None:
    keeps_some = tiny.processor(tiny.config("v1"))
    example = encode_shared_prefix(keeps_some, to_messages(ROWS[0]), [IMAGE])
    with pytest.raises(ValueError, match=r"must see every sub-image or the oracle.s: set model\.selection\.policy=all"):
        attention_targets(keeps_some, example, ROWS[0], [IMAGE])


def test_what_the_oracle_keeps_is_pointed_at_where_it_stands() -> None:
    """Of each question on an image its own evidence, among the sub-images that the evidence of all of them keeps."""
    keeps = {
        **(tiny.config("v1").encoder or {}),
        "patch_size": 8,
        "selection": {"policy": "oracle", "scope": "image", "keep": 5, "order": "place"},
    }
    processor = tiny.processor(tiny.config("v1", encoder=keeps))
    rows = [sample(number, f"question {number}", [], (box_of(cell),)) for number, cell in enumerate((7, 2, 20))]
    one = group_questions(rows, seed=1)
    example = encode_shared_prefix(processor, to_messages(one), [IMAGE], evidence=one.evidence)
    kept = example["selected_high"][0].tolist()
    count = make_layout((HEIGHT, WIDTH), processor.image_processor.spec).token_counts[-1] + 1
    image = (example["input_ids"] == processor.image_token_id) | (example["input_ids"] == processor.separator_token_id)
    high = image.nonzero()[-5 * count :, 0].view(5, count)
    cells = (7, 2, 20)
    asked = [int(message.text.split()[1]) for message in one.messages if message.role == "user"]
    for targets, own in (
        (attention_targets(processor, example, one, [IMAGE]), range(count)),
        (answer_targets(processor, example, one, [IMAGE]), range(processor.image_processor.spec.num_prefix_tokens, count - 1)),
    ):
        for number, name in enumerate(asked):
            marked = ((targets >> number) & 1 == 1) & image
            assert set(marked.nonzero()[:, 0].tolist()) == set(high[kept.index(cells[name])][list(own)].tolist())


def test_at_most_as_many_branches_as_bits(processor: Any) -> None:
    many = group_questions([sample(number, f"question {number}", [], ()) for number in range(64)])
    with pytest.raises(ValueError, match="64 questions on an image; group at most 63"):
        attention_targets(
            processor, {"input_ids": torch.zeros(4, dtype=torch.long), "segment_ids": torch.zeros(4)}, many, [IMAGE]
        )
