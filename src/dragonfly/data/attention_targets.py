"""Which tokens each answer of an example is about: the words of its question that name it, and the sub-images that show it.

Attention can be told to look there while it is trained (`training.attention supervision`). A token carries one bit per segment
of the example (`segment_ids`), set where that segment's answer is about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dragonfly.vision.layout import Box, SubImageLayout, make_layout
from dragonfly.vision.scoring import evidence_areas

from .encoding import image_mask
from .sample import ABOUT, Sample

MAX_SEGMENTS = 63
"""Branches that fit in the bits of an int64 without its sign."""

HELD = 0.3
"""Share of an evidence box that a sub-image must show to be worth a look."""

PLACES = 2
"""Boxes of evidence at most of a question about a place; one about more of the image tells no single place's answer."""


def attention_targets(processor: Any, example: Mapping[str, Any], sample: Sample, images: Sequence[Any]) -> Tensor:
    """(tokens,) int64: bit n - 1 is set where segment n is about the token; without segments bit 0 is the only answer's.

    Places are sub-images of the finest level of the first image.

    Raises:
        ValueError: if the example has more segments than bits, or its language model does not see every high sub-image.
    """
    ids, found = example["input_ids"], torch.zeros_like(example["input_ids"])
    segment_ids = example["segment_ids"]
    questions = [message.text for message in sample.messages if message.role == "user"]
    if len(questions) > MAX_SEGMENTS:
        raise ValueError(
            f"{len(questions)} questions on an image; group at most {MAX_SEGMENTS} where they are told where to look"
        )
    image = image_mask(ids, processor.image_token_id, processor.separator_token_id)
    places = _places(processor, images[0]) if images else None
    for number, question in enumerate(questions):
        own = (segment_ids == number + 1) if len(questions) > 1 else ~image
        marked = _named(processor.tokenizer, ids, own, question, _about(sample, number))
        if places is not None and sample.evidence:
            layout, of_token = places
            shown = torch.tensor(_shown(layout, sample.evidence[number]), dtype=torch.bool)
            block = image.nonzero()[: len(of_token), 0]
            marked[block[shown[of_token]]] = True
        found |= marked.long() << number
    return found


def _about(sample: Sample, number: int) -> Sequence[str]:
    named = sample.meta.get(ABOUT, ())
    return named[number] if number < len(named) else ()


def _named(tokenizer: Any, ids: Tensor, own: Tensor, question: str, words: Sequence[str]) -> Tensor:
    """(tokens,) bool: tokens of `question`, found whole among those that are `own`, which spell one of the words."""
    marked = torch.zeros_like(own)
    encoded = tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)
    asked, offsets = torch.tensor(encoded["input_ids"]), encoded["offset_mapping"]
    rows = own.nonzero()[:, 0]
    if not len(asked) or len(rows) < len(asked):
        return marked
    windows = ids[rows].unfold(0, len(asked), 1)
    start = (windows == asked).all(dim=1).nonzero()
    if len(start):
        spans = [span for word in words for span in _spans(question.lower(), word.lower())]
        hit = [any(left < end and right > begin for begin, end in spans) for left, right in offsets]
        at = int(start[0, 0])
        marked[rows[at : at + len(asked)]] = torch.tensor(hit)
    return marked


def _spans(text: str, word: str) -> list[tuple[int, int]]:
    found, start = [], text.find(word)
    while word and start >= 0:
        found.append((start, start + len(word)))
        start = text.find(word, start + len(word))
    return found


def _places(processor: Any, image: Any) -> tuple[SubImageLayout, Tensor]:
    """The image's layout, and for each token of its block which sub-image it is of; a separator is its sub-image's."""
    layout = make_layout((image.height, image.width), processor.image_processor.spec)
    counts = torch.tensor(layout.token_counts) + 1
    if layout.num_kept_high != len(layout.regions):
        raise ValueError("to be told where to look, a language model must see every sub-image: set model.selection.policy=all")
    return layout, torch.arange(len(counts)).repeat_interleave(counts)


def _shown(layout: SubImageLayout, evidence: Sequence[Box]) -> list[bool]:
    """For every sub-image whether it is of the finest level and shows enough of a box, if the boxes are a place at all."""
    finest = layout.levels[-1]
    boxes = [finest.box(index) for index in range(finest.num_sub_images)]
    shown = [False] * len(boxes)
    for left, top, right, bottom in evidence if len(evidence) <= PLACES else ():
        enough = HELD * (right - left) * (bottom - top)
        areas = evidence_areas(boxes, [(left, top, right, bottom)])
        shown = [before or area >= enough > 0 for before, area in zip(shown, areas, strict=True)]
    return [False] * (sum(level.num_sub_images for level in layout.levels) - len(boxes)) + shown
