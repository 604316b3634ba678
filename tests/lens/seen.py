"""What a model was handed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from dragonfly.lens import Lens


@dataclass(frozen=True)
class Call:
    """Labels and pixels of one call's views, the question, and the image tokens that the processor made."""

    labels: list[str]
    images: list[Image.Image]
    question: str
    tokens: int


def spy(lens: Lens) -> list[Call]:
    """The calls of a lens, as they come."""
    calls: list[Call] = []
    original = lens.reader._inputs

    def keep(views: Any, question: str, options: Any, tokens: int) -> Any:
        inputs = original(views, question, options, tokens)
        ids = torch.tensor(lens.reader.processor.image_token_ids)
        made = int(torch.isin(inputs["input_ids"].cpu(), ids).sum())
        calls.append(Call([label for label, _ in views], [image for _, image in views], question, made))
        return inputs

    lens.reader._inputs = keep  # type: ignore[method-assign]
    return calls


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """Large and small shapes, so that views differ."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 20 + 2, width // 20 + 2, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height))
