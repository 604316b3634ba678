"""Examples of different lengths as one batch: pads and stacks, nothing else.

Promises that masks come from lengths and never from pad ids (the pad token may be the end-of-text token), that
padding is never supervised, and that images keep the order of the rows that they belong to.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from dragonfly.vision.inputs import IMAGE_INPUTS

from .encoding import IGNORE_INDEX, SEQUENCE_KEYS

_IMAGE_PADS = {one.name: one.pad for one in IMAGE_INPUTS if one.pad is not None}


@dataclass(frozen=True)
class Collator:
    """Batches what `encoding.encode` returns.

    Gives input_ids, attention_mask, labels, each (rows, tokens), and the per-image tensors joined on dim 0:
    pixel_values (num_images, num_sub_images, 3, R, R), zero-padded in dim 1 where counts differ; num_sub_images
    (num_images,) then, and where the examples have it; sub_image_regions likewise padded with -3. Rows without images
    bring no image rows; a batch without any has no pixel_values. What is not a tensor (`num_truncated`) is for people
    and stays out. `more` names further tensors with one value per token that examples have, each with its padding.
    """

    pad_token_id: int
    padding_side: Literal["left", "right"] = "right"
    pad_to_multiple_of: int = 1
    more: Mapping[str, int] = field(default_factory=dict[str, int])

    def __post_init__(self) -> None:
        if self.padding_side not in ("left", "right"):
            raise ValueError(f"padding_side is {self.padding_side!r}; accepted: left, right")
        if self.pad_to_multiple_of < 1:
            raise ValueError(f"pad_to_multiple_of is {self.pad_to_multiple_of}; give at least 1")

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        return {**self._sequences(examples), **joined_images(examples, {*SEQUENCE_KEYS, *self.more})}

    def _sequences(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        lengths = [len(example["input_ids"]) for example in examples]
        width = -(-max(lengths) // self.pad_to_multiple_of) * self.pad_to_multiple_of
        masked = [
            {**example, "attention_mask": torch.ones(n, dtype=torch.long)} for example, n in zip(examples, lengths, strict=True)
        ]
        pads = dict.fromkeys(SEQUENCE_KEYS, 0) | {"input_ids": self.pad_token_id, "labels": IGNORE_INDEX, **self.more}
        batch = {}
        for key in [key for key in pads if key in masked[0]]:
            batch[key] = torch.full((len(masked), width), pads[key], dtype=masked[0][key].dtype)
            for row, example in enumerate(masked):
                length = lengths[row]
                batch[key][row, slice(0, length) if self.padding_side == "right" else slice(width - length, width)] = example[key]
        return batch


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
