"""The class of every patch of an image, from its text annotations and the layout of its sub-images. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dragonfly.data import IGNORE_INDEX
from dragonfly.vision.layout import SubImageLayout
from dragonfly.vision.spec import EncoderSpec

from .text_annotations import GROUPS, NOTHING, Classes, TextAnnotation

LEAST_COVER = 0.1  # share of a patch that an annotation must cover to be its own
WHOLE = 0.95  # share of a word that must lie in the sub-image for all of it to be read
UPRIGHT = 0.75  # share of a line's height from which on its letters can be told


def patch_labels(
    layout: SubImageLayout, spec: EncoderSpec, text_annotations: Sequence[TextAnnotation], classes: Classes, smallest: float = 0.0
) -> Tensor:
    """(sub_images, tokens, columns) classes of `Classes`; prefix tokens are ignored.

    A patch says the name, and the word, that cover most of it. A word that an edge of its sub-image cuts says those of its
    characters that lie inside. One that is lower than `smallest` pixels there, is cut along its line, or whose characters are
    not annotated, asks nothing of its patches, nor does a character of a lower word.
    """
    side, columns = spec.patch_side, len(classes.sizes)
    boxes = torch.tensor(layout.boxes, dtype=torch.float64)  # (sub_images, 4)
    labels = torch.full((len(boxes), side, side, columns), NOTHING)
    words = [annotation for annotation in text_annotations if annotation.kind == "word"]
    characters = sorted(
        (annotation for annotation in text_annotations if annotation.kind == "char"),
        key=lambda annotation: annotation.box[0] + annotation.box[2],
    )
    named = [annotation for annotation in text_annotations if annotation.kind not in ("word", "char", *GROUPS)]
    if named:
        share, place = cover(boxes, _areas(named), spec).max(dim=0)  # (sub_images, side, side)
        classes_at = torch.tensor([1 + classes.names.index(annotation.label) for annotation in named])[place]
        labels[..., 0] = torch.where(share > LEAST_COVER, classes_at, labels[..., 0])
        _bind(labels, boxes, named, share, place, spec, classes, smallest)
    if words and classes.slots:
        share, place = cover(boxes, _areas(words), spec).max(dim=0)
        said = _spelled(boxes, words, characters, classes, spec.resolution, smallest)
        classes_at = said[place, torch.arange(len(boxes))[:, None, None]]
        slots = labels[..., classes.spelled]
        labels[..., classes.spelled] = torch.where((share > LEAST_COVER)[..., None], classes_at, slots)
        _bind(labels, boxes, words, share, place, spec, classes, smallest)
    if classes.near:
        _locate(labels, boxes, characters, _areas(words), spec, classes, smallest)
    prefix = torch.full((len(boxes), spec.num_prefix_tokens, columns), IGNORE_INDEX)
    return torch.cat([prefix, labels.flatten(1, 2)], dim=1)


def _spelled(
    boxes: Tensor,
    words: Sequence[TextAnnotation],
    characters: Sequence[TextAnnotation],
    classes: Classes,
    resolution: int,
    smallest: float,
) -> Tensor:
    """(words, sub_images, slots): what the patches of each word say in each sub-image; `characters` from left to right."""
    areas = _areas(words)
    said = torch.tensor([classes.classes(word.label, classes.slots) for word in words])[:, None].repeat(1, len(boxes), 1)
    whole = _readable(boxes, areas, resolution, smallest)
    said[~whole] = IGNORE_INDEX
    if not characters:
        return said
    across, down = _shared(boxes, areas)
    tall = _heights(boxes, areas, resolution) >= smallest
    cut = ~whole & tall & (down >= UPRIGHT * (areas[:, 3:4] - areas[:, 1:2])) & (across > 0)
    letters_at = _areas(characters)
    middles, own = (letters_at[:, 0] + letters_at[:, 2]) / 2, _letters(letters_at, areas)
    for word in cut.any(dim=1).nonzero()[:, 0].tolist():
        letters = own[word].nonzero()[:, 0].tolist()
        if "".join(characters[letter].label for letter in letters) != words[word].label:
            continue  # another word's letters lie in its box: nothing is known of what a part of it says
        for sub_image in cut[word].nonzero()[:, 0].tolist():
            left, _, right, _ = boxes[sub_image].tolist()
            part = "".join(characters[letter].label for letter in letters if left <= float(middles[letter]) < right)
            said[word, sub_image] = torch.tensor(classes.classes(part, classes.slots))
    return said


def _bind(
    labels: Tensor,
    boxes: Tensor,
    text_annotations: Sequence[TextAnnotation],
    share: Tensor,
    place: Tensor,
    spec: EncoderSpec,
    classes: Classes,
    smallest: float,
) -> None:
    """Write into `labels` what the text annotations belong to, where they cover patches and all of both can be read."""
    if not classes.bound:
        return
    classes_at = torch.tensor([classes.belonging(annotation.other) for annotation in text_annotations])[place]
    whole = _areas([TextAnnotation(annotation.around or annotation.box, annotation.label) for annotation in text_annotations])
    legible = _readable(boxes, _areas(text_annotations), spec.resolution, smallest) & _readable(
        boxes, whole, spec.resolution, smallest
    )
    classes_at[~legible[place, torch.arange(len(boxes))[:, None, None]]] = IGNORE_INDEX
    labels[..., classes.other] = torch.where((share > LEAST_COVER)[..., None], classes_at, labels[..., classes.other])


def _locate(
    labels: Tensor,
    boxes: Tensor,
    text_annotations: Sequence[TextAnnotation],
    words: Tensor,
    spec: EncoderSpec,
    classes: Classes,
    smallest: float,
) -> None:
    """Write into `labels` the characters whose centres lie in each patch, in their order."""
    areas, sizes = _areas(text_annotations), boxes[:, 2:] - boxes[:, :2]
    places = (
        (areas[:, None, :2] + areas[:, None, 2:]) / 2 - boxes[:, :2]
    ) / sizes  # (text_annotations, sub_images, x and y), 0 to 1 inside
    heights = _line_heights(areas, words)[:, None] * spec.resolution / sizes[:, 1]
    places = places * (spec.resolution / spec.patch_size)  # in patches
    inside = ((places >= 0) & (places < spec.patch_side)).all(dim=-1)
    cells = places.long()
    chosen, subs = inside.nonzero().unbind(1)
    # A small letter is lower than the capitals that `smallest` speaks of.
    readable = (heights >= 0.6 * smallest)[chosen, subs].tolist()
    columns, rows = cells[chosen, subs].unbind(1)
    texts: dict[tuple[int, int, int], str | None] = {}
    for annotation, legible, *place in zip(
        chosen.tolist(), readable, subs.tolist(), rows.tolist(), columns.tolist(), strict=True
    ):
        before = texts.get(tuple(place), "")
        texts[tuple(place)] = before + text_annotations[annotation].label if before is not None and legible else None
    if texts:
        rows = [[IGNORE_INDEX] * classes.near if text is None else classes.classes(text, classes.near) for text in texts.values()]
        where = torch.tensor(list(texts))
        labels[where[:, 0], where[:, 1], where[:, 2], 1 : 1 + classes.near] = torch.tensor(rows)


def _line_heights(characters: Tensor, words: Tensor) -> Tensor:
    """(characters,): the height of the word around each; its own where there is none. A full stop is as legible as its word."""
    own = characters[:, 3] - characters[:, 1]
    if not len(words) or not len(characters):
        return own
    around = torch.where(_letters(characters, words), words[:, 3:4] - words[:, 1:2], 0.0).amax(dim=0)
    return torch.maximum(own, around)


def _letters(characters: Tensor, words: Tensor) -> Tensor:
    """(words, characters): whether the middle of a character lies in a word."""
    middles = (characters[:, :2] + characters[:, 2:]) / 2
    return ((middles >= words[:, None, :2]) & (middles <= words[:, None, 2:])).all(dim=-1)


def _areas(text_annotations: Sequence[TextAnnotation]) -> Tensor:
    return torch.tensor([annotation.box for annotation in text_annotations], dtype=torch.float64).reshape(-1, 4)


def cover(boxes: Tensor, areas: Tensor, spec: EncoderSpec) -> Tensor:
    """The share of every patch that each area covers: (areas, sub_images, side, side).

    `boxes` (sub_images, 4) and `areas` (areas, 4) in source pixels.
    """
    steps = torch.arange(spec.patch_side + 1, dtype=torch.float64) / (spec.resolution / spec.patch_size)
    xs = boxes[:, 0:1] + (boxes[:, 2:3] - boxes[:, 0:1]) * steps  # (sub_images, side + 1)
    ys = boxes[:, 1:2] + (boxes[:, 3:4] - boxes[:, 1:2]) * steps
    across = (torch.minimum(xs[:, 1:], areas[:, None, None, 2]) - torch.maximum(xs[:, :-1], areas[:, None, None, 0])).clamp(min=0)
    down = (torch.minimum(ys[:, 1:], areas[:, None, None, 3]) - torch.maximum(ys[:, :-1], areas[:, None, None, 1])).clamp(min=0)
    size = (xs[:, 1] - xs[:, 0]) * (ys[:, 1] - ys[:, 0])  # of one patch
    return down[..., :, None] * across[..., None, :] / size[:, None, None]


def _readable(boxes: Tensor, text_annotations: Tensor, resolution: int, smallest: float) -> Tensor:
    """(text_annotations, sub_images): whether a word is high enough there, and not cut off."""
    across, down = _shared(boxes, text_annotations)
    area = ((text_annotations[:, 2] - text_annotations[:, 0]) * (text_annotations[:, 3] - text_annotations[:, 1]))[:, None]
    return (across * down >= WHOLE * area) & (_heights(boxes, text_annotations, resolution) >= smallest)


def _heights(boxes: Tensor, areas: Tensor, resolution: int) -> Tensor:
    """(areas, sub_images) the height of each area in pixels of each sub-image."""
    return (areas[:, 3:4] - areas[:, 1:2]) * resolution / (boxes[:, 3] - boxes[:, 1])


def _shared(boxes: Tensor, areas: Tensor) -> tuple[Tensor, Tensor]:
    """(areas, sub_images) width and height that each area shares with each sub-image."""
    across = torch.minimum(boxes[:, 2], areas[:, 2:3]) - torch.maximum(boxes[:, 0], areas[:, 0:1])
    down = torch.minimum(boxes[:, 3], areas[:, 3:4]) - torch.maximum(boxes[:, 1], areas[:, 1:2])
    return across.clamp(min=0), down.clamp(min=0)
