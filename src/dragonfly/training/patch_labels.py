"""The objective `patch_ocr`: the tower learns to say what stands in each of its patches.

A sample's `meta["text_annotations"]` is a list of {"box": [left, top, right, bottom] in source pixels, "label": text, "kind"}.
Those of kind "word" are spelled: a patch says every character of the word that covers most of it, each in its own slot, so that
one token holds a whole word. Those of kind "char" are found: a patch says the first few whose centres lie in it, which it can
learn before it looks at its neighbours, and on which spelling builds. All other text annotations are named: one class for each
label. Words and names may say what they belong to ("other", and "around", the box of both): a patch of a key then also says its
value. Knows no language model; `patch_ocr_head` holds what is trained.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from dragonfly.data import IGNORE_INDEX, Mixture, Sample
from dragonfly.imaging import load_image
from dragonfly.vision.layout import SubImageLayout
from dragonfly.vision.spec import EncoderSpec

from .options import PatchOcrOptions

NOTHING = 0
"""The class of patches that no annotation covers, and of slots behind a word's end."""

LEAST_COVER = 0.1  # share of a patch that a annotation must cover to be its own
WHOLE = 0.95  # share of a word that must lie in the sub-image: what is cut off cannot be read


@dataclass(frozen=True)
class TextAnnotation:
    """Something drawn: its box in source pixels, what it says, and its kind: "word", "char", anything else is named."""

    box: tuple[float, float, float, float]
    label: str
    kind: str = ""
    other: str = ""
    around: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Classes:
    """What a patch may say: one of `names` (column 0), then `near` characters that lie in it, then `slots` of its word.

    `bound` repeats name and slots for what it belongs to.
    """

    names: tuple[str, ...]
    characters: str
    near: int
    slots: int
    bound: bool = False

    @property
    def sizes(self) -> tuple[int, ...]:
        """Classes of every column; class 0 is nothing."""
        name, character = 1 + len(self.names), 1 + len(self.characters)
        other = (name, *[character] * self.slots) if self.bound else ()
        return (name, *[character] * (self.near + self.slots), *other)

    @property
    def spelled(self) -> slice:
        """The columns of a word's characters."""
        return slice(1 + self.near, 1 + self.near + self.slots)

    @property
    def other(self) -> slice:
        """The columns of what a patch belongs to: name, then characters."""
        return slice(self.spelled.stop, len(self.sizes))

    def belonging(self, text: str) -> list[int]:
        """The classes of `other` for a text: a name, or else spelled."""
        if text in self.names:
            return [1 + self.names.index(text)] + [NOTHING] * self.slots
        return [NOTHING, *self.classes(text, self.slots)]

    def classes(self, text: str, length: int) -> list[int]:
        """The classes of a text's characters, cut or filled up with nothing to `length`."""
        found = [1 + self.characters.index(character) for character in text[:length]]
        return found + [NOTHING] * (length - len(found))


def find_classes(samples: Iterable[Sample], near: int, slots: int, bound: bool = False) -> Classes:
    """Every name and every character that occurs, in order; no columns for what never occurs."""
    labels: dict[str, set[str]] = {"word": set(), "char": set(), "": set()}
    for sample in samples:
        for annotation in text_annotations_of(sample):
            labels.get(annotation.kind, labels[""]).add(annotation.label)
    characters = "".join(sorted(set("".join(labels["word"] | labels["char"]))))
    names = tuple(sorted(labels[""]))
    return Classes(names, characters, near if labels["char"] else 0, slots if labels["word"] else 0, bound)


def text_annotations_of(sample: Sample) -> list[TextAnnotation]:
    """A sample's marks. ValueError where they are absent or badly made."""
    try:
        return [
            TextAnnotation(
                _box(annotation["box"]),
                str(annotation["label"]),
                str(annotation.get("kind", "")),
                str(annotation.get("other", "")),
                around,
            )
            for annotation in sample.meta["text_annotations"]
            for around in [_box(annotation["around"]) if annotation.get("around") else None]
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ValueError(
            f"objective 'patch_ocr' needs meta['text_annotations'], a list of {{box, label}}; "
            f"sample {sample.id!r} of {sample.source!r} has none"
        ) from None


def _box(values: Iterable[Any]) -> tuple[float, float, float, float]:
    left, top, right, bottom = map(float, values)
    return left, top, right, bottom


class PatchDataset(Dataset[dict[str, Tensor]]):
    """Samples as sub-images with classes for each token; everything is encoded, nothing is selected."""

    def __init__(self, samples: Sequence[Sample] | Mixture, processor: Any, classes: Classes, options: PatchOcrOptions) -> None:
        self.samples, self.classes, self.options = samples, classes, options
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
            raise ValueError(f"objective 'patch_ocr': sample {sample.id!r} has {len(sample.images)} images; it takes one")
        image = load_image(sample.images[0].source, self.image_processor.image_policy).image
        inputs = self.image_processor(images=[image], encoder=self.encoder, return_tensors="pt")
        labels = patch_labels(inputs["layouts"][0], self.spec, text_annotations_of(sample), self.classes, self.options.smallest)
        kept = self._kept(labels, index)
        return {"pixel_values": inputs["pixel_values"][0][kept], "labels": labels[kept]}

    def _kept(self, labels: Tensor, index: int) -> Tensor:
        """The sub-images to learn from: all that say something, and a drawn share of the empty ones."""
        says = (labels > NOTHING).flatten(1).any(dim=1)
        draw = random.Random(f"{index}")
        kept = [bool(said) or draw.random() < self.options.empty_share for said in says]
        return torch.tensor(kept if any(kept) else [True] * len(kept))


def collate(examples: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The sub-images of all examples one after another, and their classes."""
    return {key: torch.cat([example[key] for example in examples]) for key in ("pixel_values", "labels")}


def patch_labels(
    layout: SubImageLayout, spec: EncoderSpec, text_annotations: Sequence[TextAnnotation], classes: Classes, smallest: float = 0.0
) -> Tensor:
    """(sub_images, tokens, columns) classes of `Classes`; prefix tokens are ignored.

    A patch says the name, and the word, that cover most of it. A word or character that is lower than `smallest` pixels in
    its sub-image, or not wholly inside, asks nothing of its patches.
    """
    side, columns = spec.patch_side, len(classes.sizes)
    boxes = torch.tensor(layout.boxes, dtype=torch.float64)  # (sub_images, 4)
    labels = torch.full((len(boxes), side, side, columns), NOTHING)
    words = [annotation for annotation in text_annotations if annotation.kind == "word"]
    named = [annotation for annotation in text_annotations if annotation.kind not in ("word", "char")]
    if named:
        cover, place = _cover(boxes, _areas(named), side).max(dim=0)  # (sub_images, side, side)
        said = torch.tensor([1 + classes.names.index(annotation.label) for annotation in named])[place]
        labels[..., 0] = torch.where(cover > LEAST_COVER, said, labels[..., 0])
        _bind(labels, boxes, named, cover, place, spec, classes, smallest)
    if words and classes.slots:
        cover, place = _cover(boxes, _areas(words), side).max(dim=0)
        said = torch.tensor([classes.classes(annotation.label, classes.slots) for annotation in words])[place]
        readable = _readable(boxes, _areas(words), spec.resolution, smallest)  # (text_annotations, sub_images)
        said[~readable[place, torch.arange(len(boxes))[:, None, None]]] = IGNORE_INDEX
        slots = labels[..., classes.spelled]
        labels[..., classes.spelled] = torch.where((cover > LEAST_COVER)[..., None], said, slots)
        _bind(labels, boxes, words, cover, place, spec, classes, smallest)
    if classes.near:
        _find(
            labels, boxes, [annotation for annotation in text_annotations if annotation.kind == "char"], spec, classes, smallest
        )
    prefix = torch.full((len(boxes), spec.num_prefix_tokens, columns), IGNORE_INDEX)
    return torch.cat([prefix, labels.flatten(1, 2)], dim=1)


def _bind(
    labels: Tensor,
    boxes: Tensor,
    text_annotations: Sequence[TextAnnotation],
    cover: Tensor,
    place: Tensor,
    spec: EncoderSpec,
    classes: Classes,
    smallest: float,
) -> None:
    """Write into `labels` what the text annotations belong to, where they cover patches and all of both can be read."""
    if not classes.bound:
        return
    said = torch.tensor([classes.belonging(annotation.other) for annotation in text_annotations])[place]
    whole = _areas([TextAnnotation(annotation.around or annotation.box, annotation.label) for annotation in text_annotations])
    legible = _readable(boxes, _areas(text_annotations), spec.resolution, smallest) & _readable(
        boxes, whole, spec.resolution, smallest
    )
    said[~legible[place, torch.arange(len(boxes))[:, None, None]]] = IGNORE_INDEX
    labels[..., classes.other] = torch.where((cover > LEAST_COVER)[..., None], said, labels[..., classes.other])


def _find(
    labels: Tensor,
    boxes: Tensor,
    text_annotations: Sequence[TextAnnotation],
    spec: EncoderSpec,
    classes: Classes,
    smallest: float,
) -> None:
    """Write into `labels` the characters whose centres lie in each patch, in reading order."""
    text_annotations = sorted(text_annotations, key=lambda annotation: (annotation.box[3], annotation.box[0]))
    areas, sizes = _areas(text_annotations), boxes[:, 2:] - boxes[:, :2]
    places = (
        (areas[:, None, :2] + areas[:, None, 2:]) / 2 - boxes[:, :2]
    ) / sizes  # (text_annotations, sub_images, x and y), 0 to 1 inside
    heights = (areas[:, 3] - areas[:, 1])[:, None] * spec.resolution / sizes[:, 1]
    inside = ((places >= 0) & (places < 1)).all(dim=-1)
    cells = (places * spec.patch_side).long()
    chosen, subs = inside.nonzero().unbind(1)
    # A small letter is lower than the capitals that `smallest` speaks of.
    readable = (heights >= 0.6 * smallest)[chosen, subs].tolist()
    columns, rows = cells[chosen, subs].unbind(1)
    found: dict[tuple[int, int, int], str | None] = {}
    for annotation, legible, *place in zip(
        chosen.tolist(), readable, subs.tolist(), rows.tolist(), columns.tolist(), strict=True
    ):
        before = found.get(tuple(place), "")
        found[tuple(place)] = before + text_annotations[annotation].label if before is not None and legible else None
    if found:
        said = [[IGNORE_INDEX] * classes.near if text is None else classes.classes(text, classes.near) for text in found.values()]
        where = torch.tensor(list(found))
        labels[where[:, 0], where[:, 1], where[:, 2], 1 : 1 + classes.near] = torch.tensor(said)


def _areas(text_annotations: Sequence[TextAnnotation]) -> Tensor:
    return torch.tensor([annotation.box for annotation in text_annotations], dtype=torch.float64).reshape(-1, 4)


def _cover(boxes: Tensor, text_annotations: Tensor, side: int) -> Tensor:
    """The share of every patch that each annotation covers: (text_annotations, sub_images, side, side)."""
    steps = torch.arange(side + 1, dtype=torch.float64) / side
    xs = boxes[:, 0:1] + (boxes[:, 2:3] - boxes[:, 0:1]) * steps  # (sub_images, side + 1)
    ys = boxes[:, 1:2] + (boxes[:, 3:4] - boxes[:, 1:2]) * steps
    across = (
        torch.minimum(xs[:, 1:], text_annotations[:, None, None, 2])
        - torch.maximum(xs[:, :-1], text_annotations[:, None, None, 0])
    ).clamp(min=0)
    down = (
        torch.minimum(ys[:, 1:], text_annotations[:, None, None, 3])
        - torch.maximum(ys[:, :-1], text_annotations[:, None, None, 1])
    ).clamp(min=0)
    size = (xs[:, 1] - xs[:, 0]) * (ys[:, 1] - ys[:, 0])  # of one patch
    return down[..., :, None] * across[..., None, :] / size[:, None, None]


def _readable(boxes: Tensor, text_annotations: Tensor, resolution: int, smallest: float) -> Tensor:
    """(text_annotations, sub_images): whether a word is high enough there, and not cut off."""
    across = torch.minimum(boxes[:, 2], text_annotations[:, 2:3]) - torch.maximum(boxes[:, 0], text_annotations[:, 0:1])
    down = torch.minimum(boxes[:, 3], text_annotations[:, 3:4]) - torch.maximum(boxes[:, 1], text_annotations[:, 1:2])
    area = ((text_annotations[:, 2] - text_annotations[:, 0]) * (text_annotations[:, 3] - text_annotations[:, 1]))[:, None]
    height = (text_annotations[:, 3] - text_annotations[:, 1])[:, None] * resolution / (boxes[:, 3] - boxes[:, 1])
    return (across.clamp(min=0) * down.clamp(min=0) >= WHOLE * area) & (height >= smallest)
