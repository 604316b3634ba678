"""Padding comes from lengths, images keep their rows, and what differs between images is padded or refused."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dragonfly.data import IGNORE_INDEX, Collator


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
