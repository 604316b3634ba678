"""Examples of different lengths as one batch: packs, pads and stacks, nothing else.

Promises that masks come from lengths and never from pad ids (the pad token may be the end-of-text token), that
padding is never supervised, and that images stand in the order of the rows that they belong to.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from dragonfly.vision.inputs import IMAGE_INPUTS

from .encoding import IGNORE_INDEX, SEQUENCE_KEYS

POSITIONS = "position_ids"
_IMAGE_PADS = {one.name: one.pad for one in IMAGE_INPUTS if one.pad is not None}


@dataclass(frozen=True)
class Collator:
    """Batches what `encoding.encode` returns.

    Gives input_ids, attention_mask, labels, each (rows, tokens), and the per-image tensors joined on dim 0:
    pixel_values (num_images, num_sub_images, 3, R, R), zero-padded in dim 1 where counts differ; num_sub_images
    (num_images,) then, and where the examples have it; sub_image_regions likewise padded with -3. Rows without images
    bring no image rows; a batch without any has no pixel_values. What is not a tensor (`num_truncated`) is for people
    and stays out. `more` names further tensors with one value per token that examples have, each with its padding.

    With `packing`, rows share sequences of at most so many tokens (`packed`; padding is on the right), and position_ids
    (sequences, tokens) begin at 0 with every row: that is how a model tells rows apart, which is given no attention_mask then.
    Padding has position 0. The first token of a row has no label: the token before it is another row's.
    """

    pad_token_id: int
    padding_side: Literal["left", "right"] = "right"
    pad_to_multiple_of: int = 1
    packing: int | None = None
    more: Mapping[str, int] = field(default_factory=dict[str, int])

    def __post_init__(self) -> None:
        if self.padding_side not in ("left", "right"):
            raise ValueError(f"padding_side is {self.padding_side!r}; accepted: left, right")
        if self.pad_to_multiple_of < 1:
            raise ValueError(f"pad_to_multiple_of is {self.pad_to_multiple_of}; give at least 1")
        if self.packing is not None and (self.packing < 1 or self.padding_side != "right"):
            raise ValueError(f"packing is {self.packing}, padding_side {self.padding_side!r}; give at least 1 token, and 'right'")

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        if self.packing is None:
            sequences = [[_masked(example)] for example in examples]
        else:
            lengths = [len(example["input_ids"]) for example in examples]
            sequences = [[_placed(_masked(examples[row])) for row in rows] for rows in packed(lengths, self.packing)]
        ordered = [example for sequence in sequences for example in sequence]
        return {**self._sequences(sequences), **joined_images(ordered, {*SEQUENCE_KEYS, POSITIONS, *self.more})}

    def _sequences(self, sequences: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Tensor]:
        lengths = [sum(len(example["input_ids"]) for example in sequence) for sequence in sequences]
        width = -(-max(lengths) // self.pad_to_multiple_of) * self.pad_to_multiple_of
        pads = dict.fromkeys((*SEQUENCE_KEYS, POSITIONS), 0)
        pads |= {"input_ids": self.pad_token_id, "labels": IGNORE_INDEX, **self.more}
        batch = {}
        for key in [key for key in pads if key in sequences[0][0]]:
            batch[key] = torch.full((len(sequences), width), pads[key], dtype=sequences[0][0][key].dtype)
            for number, (sequence, length) in enumerate(zip(sequences, lengths, strict=True)):
                place = slice(0, length) if self.padding_side == "right" else slice(width - length, width)
                batch[key][number, place] = torch.cat([example[key] for example in sequence])
        return batch


def packed(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Which rows share a sequence of at most `most` tokens; a longer row has one of its own.

    As few sequences as first-fit decreasing needs; rows go to the shortest of so many where that keeps to `most`, so that lengths
    are alike. Within one, rows keep their order.
    """
    longest_first = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    sequences: list[list[int]] = []
    used: list[int] = []
    for row in longest_first:
        place = next((at for at, tokens in enumerate(used) if tokens + lengths[row] <= most), len(used))
        if place == len(used):
            sequences.append([])
            used.append(0)
        sequences[place].append(row)
        used[place] += lengths[row]
    even: list[list[int]] = [[] for _ in used]
    filled = [0] * len(used)
    for row in longest_first:
        place = filled.index(min(filled))
        even[place].append(row)
        filled[place] += lengths[row]
    return [sorted(rows) for rows in (even if max(filled) <= max(used) else sequences)]


def row_lengths(batch: Mapping[str, Any]) -> list[int]:
    """Tokens of every row of a batch, packed or not, padding left out."""
    real = batch["attention_mask"].bool()
    if POSITIONS not in batch:
        return real.sum(dim=1).tolist()
    rows = (batch[POSITIONS] == 0).flatten().cumsum(dim=0)
    return rows[real.flatten()].unique_consecutive(return_counts=True)[1].tolist()


def _masked(example: Mapping[str, Any]) -> Mapping[str, Any]:
    """The example with a mask of its length, whatever mask a processor gave."""
    return {**example, "attention_mask": torch.ones(len(example["input_ids"]), dtype=torch.long)}


def _placed(example: Mapping[str, Any]) -> Mapping[str, Any]:
    """The example as one of several in a sequence."""
    labels = example["labels"].clone()
    labels[0] = IGNORE_INDEX
    return {**example, "labels": labels, POSITIONS: torch.arange(len(labels))}


def joined_images(examples: Sequence[Mapping[str, Any]], sequence_keys: Collection[str] = ()) -> dict[str, Tensor]:
    """The per-image tensors of all rows, joined; ValueError where an image lacks what the others have."""
    with_images = [_counted(example) for example in examples if example.get("pixel_values") is not None]
    if not with_images:
        return {}
    tensors = (key for example in with_images for key, value in example.items() if isinstance(value, Tensor))
    keys = dict.fromkeys(key for key in tensors if key not in sequence_keys)
    batch = {}
    for key in keys:
        if any(len(example.get(key, ())) != len(example["pixel_values"]) for example in with_images):
            raise ValueError(f"{key!r} must have one row per image in every example; make all with one processor")
        batch[key] = _joined([example[key] for example in with_images], key)
    given = any("num_sub_images" in example for example in examples)  # an encoder under which images may differ: the model asks
    if not given and len(set(batch["num_sub_images"].tolist())) == 1:
        del batch["num_sub_images"]
    return batch


def _counted(example: Mapping[str, Any]) -> dict[str, Any]:
    """The example with `num_sub_images`, which a processor leaves out where all images are alike."""
    pixels = example["pixel_values"]
    return {"num_sub_images": torch.full((len(pixels),), pixels.shape[1], dtype=torch.long), **example}


def _joined(tensors: Sequence[Tensor], key: str) -> Tensor:
    """Tensors joined on dim 0, padded in dim 1 to the widest."""
    if len({tensor.shape[1:] for tensor in tensors}) == 1:
        return torch.cat(list(tensors))
    if key not in _IMAGE_PADS or len({tensor.shape[2:] for tensor in tensors}) > 1:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
        raise ValueError(f"{key!r} cannot be stacked: {shapes}; the images come from different processors")
    width = max(tensor.shape[1] for tensor in tensors)
    joined = tensors[0].new_full((sum(map(len, tensors)), width, *tensors[0].shape[2:]), _IMAGE_PADS[key])
    start = 0
    for tensor in tensors:
        joined[start : start + len(tensor), : tensor.shape[1]] = tensor
        start += len(tensor)
    return joined
