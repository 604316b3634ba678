"""The objective `read`: the tower learns to name what stands in each of its patches.

A sample's `meta["marks"]` is a list of {"box": [left, top, right, bottom] in source pixels, "label": text}: characters and
shapes. A linear head over the tower's tokens tells the label of the mark that covers each patch's centre. The head
belongs to training: it is saved with checkpoints and left out of the final model. Knows no language model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from dragonfly.data import IGNORE_INDEX, Mixture, Sample
from dragonfly.imaging import load_picture
from dragonfly.vision.layout import SubImageLayout
from dragonfly.vision.spec import EncoderSpec

BACKGROUND = 0  # the class of patches that no mark covers


class Reader(nn.Module):
    """A vision tower and a linear head over its tokens."""

    def __init__(self, tower: nn.Module, hidden: int, classes: int) -> None:
        super().__init__()
        self.vision_tower = tower
        self.head = nn.Linear(hidden, classes)

    def forward(self, pixel_values: Tensor, labels: Tensor, num_items_in_batch: Any = None, **_: Any) -> dict[str, Tensor]:
        """Sub-images (n, 3, R, R) and classes (n, tokens) -> the mean cross-entropy over what is not ignored.

        With `num_items_in_batch`, the sum over it: what several batches of one step share.
        """
        tokens = self.vision_tower(pixel_values=pixel_values).last_hidden_state
        logits = self.head(tokens).flatten(0, 1).float()
        total = nn.functional.cross_entropy(logits, labels.flatten(), ignore_index=IGNORE_INDEX, reduction="sum")
        count = (labels != IGNORE_INDEX).sum() if num_items_in_batch is None else num_items_in_batch
        return {"loss": total / count, "logits": logits}


class PatchDataset(Dataset[dict[str, Tensor]]):
    """Samples as sub-images with a class for each token; everything is encoded, nothing is selected."""

    def __init__(self, samples: Sequence[Sample] | Mixture, processor: Any, classes: Mapping[str, int]) -> None:
        self.samples, self.classes = samples, classes
        self.image_processor = processor.image_processor
        self.encoder = {**self.image_processor.encoder, "selection": {"policy": "all"}}
        self.spec = EncoderSpec.from_dict(self.encoder)

    def __len__(self) -> int:
        return len(self.samples)

    def length(self, index: int) -> int:
        return 1

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        sample = self.samples[index]
        if len(sample.images) != 1:
            raise ValueError(f"objective 'read': sample {sample.id!r} has {len(sample.images)} pictures; it takes one")
        picture = load_picture(sample.images[0].source, self.image_processor.picture_policy).image
        inputs = self.image_processor(images=[picture], encoder=self.encoder, return_tensors="pt")
        labels = patch_labels(inputs["layouts"][0], self.spec, marks_of(sample), self.classes)
        return {"pixel_values": inputs["pixel_values"][0], "labels": labels}


def collate(examples: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The sub-images of all examples one after another, and their classes."""
    return {key: torch.cat([example[key] for example in examples]) for key in ("pixel_values", "labels")}


def marks_of(sample: Sample) -> list[tuple[tuple[float, float, float, float], str]]:
    """A sample's marks as (box, label). ValueError where they are absent or badly made."""
    try:
        return [(tuple(map(float, mark["box"])), str(mark["label"])) for mark in sample.meta["marks"]]  # pyright: ignore[reportReturnType]
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"objective 'read' needs meta['marks'], a list of {{box, label}}; sample {sample.id!r} of {sample.source!r} has none"
        ) from None


def label_classes(samples: Iterable[Sample]) -> dict[str, int]:
    """A class for every label that occurs, in alphabetical order, from 1."""
    labels = sorted({label for sample in samples for _, label in marks_of(sample)})
    return {label: number for number, label in enumerate(labels, start=BACKGROUND + 1)}


def patch_labels(
    layout: SubImageLayout,
    spec: EncoderSpec,
    marks: Sequence[tuple[tuple[float, float, float, float], str]],
    classes: Mapping[str, int],
) -> Tensor:
    """(sub_images, tokens) classes: of the smallest mark that covers a patch's centre; prefix tokens are ignored."""
    side = spec.patch_side
    boxes = torch.tensor(layout.boxes, dtype=torch.float64)  # (sub_images, 4)
    steps = (torch.arange(side, dtype=torch.float64) + 0.5) / side
    xs = boxes[:, 0:1] + (boxes[:, 2:3] - boxes[:, 0:1]) * steps  # (sub_images, side)
    ys = boxes[:, 1:2] + (boxes[:, 3:4] - boxes[:, 1:2]) * steps
    labels = torch.full((len(boxes), side, side), BACKGROUND)
    for (left, top, right, bottom), label in sorted(marks, key=_area, reverse=True):
        inside = ((ys >= top) & (ys < bottom))[:, :, None] & ((xs >= left) & (xs < right))[:, None, :]
        labels[inside] = classes[label]
    prefix = torch.full((len(boxes), spec.num_prefix_tokens), IGNORE_INDEX)
    return torch.cat([prefix, labels.flatten(1)], dim=1)


def _area(mark: tuple[tuple[float, float, float, float], str]) -> float:
    left, top, right, bottom = mark[0]
    return (right - left) * (bottom - top)
