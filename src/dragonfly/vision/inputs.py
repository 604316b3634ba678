"""The tensors that travel with an image, declared once: name, padding, shape, and when they are there.

The image processor makes them, the collator joins them over rows, `forward` and `get_image_features` name them in their
signatures. Every one has one row per image; where images differ in number of sub-images, dim 1 is filled up with `pad`.
"""

from __future__ import annotations

from dataclasses import dataclass

from dragonfly.vision.layout import PADDING
from dragonfly.vision.spec import EncoderSpec


@dataclass(frozen=True)
class ImageInput:
    """One tensor.

    Args:
        name: as the model's signatures have it.
        shape: of all images, in words.
        pad: what fills dim 1 where images differ; None for a tensor without dim 1.
        when: whether images of an encoder have it, in words.
        maker: `image_processor`, or `processor` for what follows from the text.
    """

    name: str
    shape: str
    pad: float | None
    when: str
    maker: str = "image_processor"


IMAGE_INPUTS = (
    ImageInput("pixel_values", "(num_images, num_sub_images, 3, R, R)", 0.0, "always"),
    ImageInput("sub_image_regions", "(num_images, num_sub_images)", PADDING, "always"),
    ImageInput("num_sub_images", "(num_images,)", None, "where images may differ in number of sub-images"),
    ImageInput("selected_high", "(num_images, kept)", -1, "under policies that run before the tower"),
    ImageInput("sub_image_positions", "(num_images, num_sub_images, 3)", 0, "under position 'learned'"),
    ImageInput("evidence_high", "(num_images, high)", 0.0, "under policy 'question', where evidence is given"),
    ImageInput("question_ids", "(num_images, length)", 0, "under policy 'question'", "processor"),
    ImageInput("question_mask", "(num_images, length)", 0, "under policy 'question'", "processor"),
)
IMAGE_INPUT_NAMES = tuple(one.name for one in IMAGE_INPUTS)
EVIDENCE_POLICIES = ("oracle", "question")
"""Policies to which boxes that hold the answer are of use: the first chooses by them, the second learns from them."""


def reads_question(spec: EncoderSpec) -> bool:
    """Whether the choice of sub-images depends on the question."""
    return spec.selects and spec.selection.policy == "question"
