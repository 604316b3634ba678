"""The tensors that travel with an image, declared once: name, padding, shape, and when they are there.

The image processor makes them, the collator joins them over rows, `forward` and `get_image_features` name them in their
signatures. Every one has one row per image; where images differ in number of sub-images, dim 1 is filled up with `pad`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dragonfly.vision.layout import PADDING, level_counts
from dragonfly.vision.spec import EncoderSpec


@dataclass(frozen=True)
class ImageInput:
    """One tensor.

    Args:
        name: as the model's signatures have it.
        shape: of all images, in words.
        pad: what fills dim 1 where images differ; None for a tensor without dim 1.
        when: whether images of an encoder have it, in words.
        present: the same as a function of the encoder; without what a call adds (evidence).
        maker: `image_processor`, or `processor` for what follows from the text.
    """

    name: str
    shape: str
    pad: float | None
    when: str
    present: Callable[[EncoderSpec], bool]
    maker: str = "image_processor"


def reads_question(spec: EncoderSpec) -> bool:
    """Whether the choice of sub-images depends on the question."""
    return spec.selects and spec.selection.policy == "question"


IMAGE_INPUTS = (
    ImageInput("pixel_values", "(num_images, num_sub_images, 3, R, R)", 0.0, "always", lambda spec: True),
    ImageInput("sub_image_regions", "(num_images, num_sub_images)", PADDING, "always", lambda spec: True),
    ImageInput(
        "num_sub_images",
        "(num_images,)",
        None,
        "where images may differ in number of sub-images",
        lambda spec: level_counts(spec) is None,
    ),
    ImageInput(
        "selected_high", "(num_images, kept)", -1, "under policies that run before the tower", lambda spec: spec.selection.early
    ),
    ImageInput(
        "sub_image_positions",
        "(num_images, num_sub_images, 3)",
        0,
        "under position 'learned' and selection.context 'row' or 'patches'",
        lambda spec: spec.position == "learned" or spec.selection.context != "none",
    ),
    ImageInput(
        "evidence_high", "(num_images, high)", 0.0, "under policy 'question', where evidence is given", lambda spec: False
    ),
    ImageInput("question_ids", "(num_images, length)", 0, "under policy 'question'", reads_question, "processor"),
    ImageInput("question_mask", "(num_images, length)", 0, "under policy 'question'", reads_question, "processor"),
)
IMAGE_INPUT_NAMES = tuple(one.name for one in IMAGE_INPUTS)
EVIDENCE_POLICIES = ("oracle", "question")
"""Policies to which boxes that hold the answer are of use: the first chooses by them, the second learns from them."""


def input_names(spec: EncoderSpec) -> list[str]:
    """The tensors that every image of an encoder has."""
    return [one.name for one in IMAGE_INPUTS if one.present(spec)]
