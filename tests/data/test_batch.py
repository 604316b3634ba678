"""Padding comes from lengths, images keep their rows, and what differs between images is padded or refused."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dragonfly.data import IGNORE_INDEX, Collator
from dragonfly.data.batch import packed, row_lengths


def example(length: int, images: int = 0, subs: int = 2, **more: Any) -> dict[str, Any]:
    ids = torch.arange(1, length + 1)
    row: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids.clone()}
    if images:
        row["pixel_values"] = torch.full((images, subs, 3, 2, 2), float(length))
        row["sub_image_regions"] = torch.zeros(images, subs, dtype=torch.long)
    return {**row, "num_truncated": 0, **more}


@pytest.mark.parametrize("side", ["left", "right"])
def test_rows_are_padded_on_one_side(side: Any) -> None:
    batch = Collator(pad_token_id=3, padding_side=side)([example(3), example(5)])
    pads = {"input_ids": 3, "attention_mask": 0, "labels": IGNORE_INDEX}
    values = {"input_ids": [1, 2, 3], "attention_mask": [1, 1, 1], "labels": [1, 2, 3]}
    for key, pad in pads.items():
        padded = [*values[key], pad, pad] if side == "right" else [pad, pad, *values[key]]
        assert batch[key][0].tolist() == padded
    assert batch["input_ids"][1].tolist() == [1, 2, 3, 4, 5]
    assert set(batch) == set(pads)


def test_a_real_token_that_equals_the_pad_stays_real() -> None:
    """The pad id of the released models is a token that text also ends with."""
    batch = Collator(pad_token_id=3)([example(3), example(4)])
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch["labels"].tolist() == [[1, 2, 3, IGNORE_INDEX], [1, 2, 3, 4]]


def test_width_is_rounded_up() -> None:
    assert Collator(0, pad_to_multiple_of=8)([example(9)])["input_ids"].shape == (1, 16)
    assert Collator(0, pad_to_multiple_of=8)([example(8)])["input_ids"].shape == (1, 8)


def test_text_rows_between_images_bring_no_image_rows() -> None:
    batch = Collator(0)([example(3), example(4, images=2), example(5), example(6, images=1)])
    assert batch["pixel_values"].shape == (3, 2, 3, 2, 2)
    assert batch["pixel_values"][:, 0, 0, 0, 0].tolist() == [4.0, 4.0, 6.0]
    assert "num_sub_images" not in batch


def test_counts_that_differ_are_padded_and_said() -> None:
    rows = [example(3, images=1, subs=3), example(4, images=2, subs=2)]
    batch = Collator(0)(rows)
    assert batch["pixel_values"].shape == (3, 3, 3, 2, 2)
    assert batch["num_sub_images"].tolist() == [3, 2, 2]
    assert batch["pixel_values"][1:, 2].abs().sum() == 0
    assert batch["sub_image_regions"].tolist() == [[0, 0, 0], [0, 0, -3], [0, 0, -3]]


def test_counts_said_by_the_processor_are_kept() -> None:
    """One row's own images may differ already; its padded width is not its count."""
    rows = [example(3, images=2, subs=3, num_sub_images=torch.tensor([3, 2])), example(4, images=1, subs=2)]
    assert Collator(0)(rows)["num_sub_images"].tolist() == [3, 2, 2]
    alike = [example(3, images=2, subs=3, num_sub_images=torch.tensor([2, 2]))]
    assert Collator(0)(alike)["num_sub_images"].tolist() == [2, 2]


def test_counts_that_a_processor_says_stay_where_a_batch_has_all_alike() -> None:
    """A model whose images may differ asks for them in every batch."""
    rows = [example(3 + number, images=1, num_sub_images=torch.tensor([2])) for number in range(2)]
    assert Collator(0)(rows)["num_sub_images"].tolist() == [2, 2]


def test_further_tensors_with_a_row_per_image_go_along() -> None:
    rows = [example(3, images=1, selected_high=torch.tensor([[4, 5]]), image_sizes=torch.tensor([[8, 9]]))]
    rows += [example(3, images=1, selected_high=torch.tensor([[6]]), image_sizes=torch.tensor([[1, 2]]))]
    batch = Collator(0)(rows)
    assert batch["selected_high"].tolist() == [[4, 5], [6, -1]]
    assert batch["image_sizes"].tolist() == [[8, 9], [1, 2]]


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(ValueError, match="'selected_high' must have one row per image in every example"):
        Collator(0)([example(3, images=1, selected_high=torch.tensor([[4]])), example(3, images=1)])
    with pytest.raises(ValueError, match="'selected_high' must have one row per image in every example"):
        Collator(0)([example(3, images=1), example(3, images=1, selected_high=torch.tensor([[4]]))])
    wide = example(3, images=1)
    wide["pixel_values"] = torch.zeros(1, 2, 3, 4, 4)
    with pytest.raises(ValueError, match=r"'pixel_values' cannot be stacked: \(1, 2, 3, 2, 2\), \(1, 2, 3, 4, 4\)"):
        Collator(0)([example(3, images=1), wide])
    with pytest.raises(ValueError, match="padding_side is 'middle'; accepted: left, right"):
        Collator(0, padding_side="middle")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="pad_to_multiple_of is 0"):
        Collator(0, pad_to_multiple_of=0)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.sampled_from(["left", "right"]), st.integers(1, 4))
def test_every_row_can_be_taken_out_again(lengths: list[int], side: Any, multiple: int) -> None:
    rows = [example(length) for length in lengths]
    batch = Collator(1, padding_side=side, pad_to_multiple_of=multiple)(rows)
    for number, row in enumerate(rows):
        there = batch["attention_mask"][number] == 1
        for key in ("input_ids", "labels"):
            assert torch.equal(batch[key][number][there], row[key])
        assert (batch["labels"][number][~there] == IGNORE_INDEX).all()


def test_packed_rows_share_sequences_and_begin_anew_in_each() -> None:
    rows = [example(4), example(2, images=1), example(3, images=2), example(2, images=1)]
    rows[3]["pixel_values"] += 7
    batch = Collator(pad_token_id=7, packing=7)(rows)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 1, 2], [1, 2, 1, 2, 3, 7]]
    none = IGNORE_INDEX
    assert batch["labels"].tolist() == [[none, 2, 3, 4, none, 2], [none, 2, none, 2, 3, none]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 0, 1], [0, 1, 0, 1, 2, 0]]
    assert batch["attention_mask"].tolist() == [[1] * 6, [1] * 5 + [0]]
    assert batch["pixel_values"][:, 0, 0, 0, 0].tolist() == [9.0, 2.0, 3.0, 3.0]  # in the order in which their rows now stand
    assert row_lengths(batch) == [4, 2, 2, 3] and row_lengths(Collator(7)(rows)) == [4, 2, 3, 2]
    assert rows[0]["labels"].tolist() == [1, 2, 3, 4]  # the example itself stays as it was


def test_what_packing_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match="packing is 0, padding_side 'right'; give at least 1 token, and 'right'"):
        Collator(0, packing=0)
    with pytest.raises(ValueError, match="padding_side 'left'"):
        Collator(0, packing=8, padding_side="left")


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 20))
def test_packing_holds_every_row_once_and_no_more_than_it_may(lengths: list[int], most: int) -> None:
    sequences = packed(lengths, most)
    assert sorted(row for rows in sequences for row in rows) == list(range(len(lengths)))
    tokens = [sum(lengths[row] for row in rows) for rows in sequences]
    assert all(total <= most or len(rows) == 1 for rows, total in zip(sequences, tokens, strict=True))
    short = [length for length in lengths if length <= most]
    assert len(sequences) <= len(lengths) - len(short) + 2 * sum(short) / most + 1  # all but one are half full
    assert all(rows == sorted(rows) for rows in sequences)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 20))
def test_every_packed_row_can_be_taken_out_again(lengths: list[int], most: int) -> None:
    rows = [example(length, more=torch.full((length,), number)) for number, length in enumerate(lengths)]
    batch = Collator(0, packing=most, more={"more": -1})(rows)
    for number, row in enumerate(rows):
        there = batch["more"] == number
        assert torch.equal(batch["input_ids"][there], row["input_ids"])
        assert batch["position_ids"][there].tolist() == list(range(lengths[number]))
        assert batch["labels"][there].tolist() == [IGNORE_INDEX, *range(2, lengths[number] + 1)]
    padding = batch["more"] == -1
    assert torch.equal(batch["attention_mask"], (~padding).long()) and bool((batch["labels"][padding] == IGNORE_INDEX).all())
