"""Policy `question` in the Engine: an image is encoded once, its sub-images are chosen anew for every question.

What stays of an image is the tower's output for all its sub-images; choosing some and projecting them costs next to nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from dragonfly.models import DragonflyModel, DragonflyProcessor
from dragonfly.models.connector import Connected, Views


@torch.inference_mode()
def open_views(model: DragonflyModel, batch: Any) -> list[Views]:
    """The images of an image processor's output, encoded, nothing chosen: one `Views` with one row each."""
    pixels = batch["pixel_values"]
    views = Views(pixels, batch["sub_image_regions"], batch.get("sub_image_positions"))
    numbers = batch["num_sub_images"].tolist() if "num_sub_images" in batch else [pixels.shape[1]] * len(pixels)
    images = [views.image(index, number) for index, number in enumerate(numbers)]
    encoded = model.encode(torch.cat([one.features[0] for one in images])).split(numbers)
    return [replace(one, features=features[None]) for one, features in zip(images, encoded, strict=True)]


@torch.inference_mode()
def focused(model: DragonflyModel, processor: DragonflyProcessor, views: Views, question: str) -> Connected:
    """The tokens of one open image for one question."""
    inputs = processor.question_inputs([question.strip()]).to(views.features.device)
    asked = model.embed_questions(inputs["question_ids"], inputs["question_mask"])
    return model.connect(replace(views, question=asked))
