"""Write a model with the tower of a stage that read on, and a projector that shows its language model what it knows.

    python scripts/renew_tower.py build/nano/deeper build/nano/read-on build/nano/data/asked-9 build/nano/renewed

A map that chooses by the question goes with the tower that it was learned for. How, is the matter of
`dragonfly.research.curriculum.new_tower`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor

from dragonfly.data import Manifest
from dragonfly.imaging import load_image
from dragonfly.models import DragonflyForConditionalGeneration
from dragonfly.models.origin import write_origin
from dragonfly.research.curriculum.new_tower import with_tower

PAGES = 200


def sub_images(data: Path, processor: Any) -> Iterator[torch.Tensor]:
    """All sub-images of each of the first pages of a data set."""
    everything = {**processor.image_processor.encoder, "selection": {"policy": "all"}}
    paths = dict.fromkeys(sample.images[0].source for sample in Manifest.open(data))
    for _, path in zip(range(PAGES), paths, strict=False):
        yield processor.image_processor([load_image(path).image], encoder=everything, return_tensors="pt")["pixel_values"][0]


def renew_tower(source: Path, stage: Path, data: Path, target: Path) -> float:
    """Write the model of `source` with the tower of `stage` to `target`; how much of what it showed is explained."""
    model: Any = DragonflyForConditionalGeneration.from_pretrained(source, dtype=torch.float32)
    other: Any = DragonflyForConditionalGeneration.from_pretrained(stage, dtype=torch.float32)
    processor: Any = AutoProcessor.from_pretrained(source)
    explained = with_tower(model.eval(), other.eval().model.vision_tower, sub_images(data, processor))
    if hasattr(other.model, "query_projection"):
        model.model.query_projection = other.model.query_projection
    model.save_pretrained(target)
    processor.save_pretrained(target)
    write_origin(target, {"begun_from": str(source), "tower": str(stage), "explained": round(explained, 4)})
    return explained


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    print(f"{sys.argv[4]}: the projector explains {renew_tower(*map(Path, sys.argv[1:])):.1%} of what it showed")
