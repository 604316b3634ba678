"""Small located data: plain images with a mark in a known place, as a manifest with evidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import ImageDraw

from dragonfly.data import ImageRef, Message, Part, Sample, write_manifest
from dragonfly.vision.layout import Box
from tests import tiny

WIDTH, HEIGHT = 96, 64  # under `v1` 4 x 6 high sub-images of 16 x 16 source pixels, regions of 2 x 3


def cell(row: int, col: int) -> Box:
    """A box in the middle of a high sub-image."""
    return (16.0 * col + 4, 16.0 * row + 4, 16.0 * col + 12, 16.0 * row + 12)


def sample(folder: Path, name: str, turns: Sequence[tuple[str, str, Sequence[Box]]], seed: int = 0, **meta: Any) -> Sample:
    """One image, saved in `folder`, with questions (text, answer, evidence) on it."""
    image = tiny.image(WIDTH, HEIGHT, seed)
    for _, _, boxes in turns:
        for box in boxes:
            ImageDraw.Draw(image).rectangle(box, fill=(10, 10, 10), outline=(250, 250, 250))
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / f"{name}.png")
    messages: list[Message] = []
    for number, (text, answer, _) in enumerate(turns):
        head = (Part("image"),) if number == 0 else ()
        messages += [Message("user", (*head, Part("text", text))), Message("assistant", (Part("text", answer),))]
    evidence = tuple(tuple(boxes) for _, _, boxes in turns)
    return Sample(name, "drawn", (ImageRef(path=str(folder / f"{name}.png")),), tuple(messages), evidence, dict(meta))


def manifest(folder: Path, samples: Sequence[Sample]) -> Path:
    return write_manifest(samples, folder).parent


def marks(folder: Path, images: int = 4, first: int = 0) -> Path:
    """A manifest of images with two yes/no questions each; kinds alternate."""
    rows = [
        sample(
            folder / "images",
            f"p{first + n}",
            [("Is it dark?", ("yes", "no")[n % 2], [cell(n % 4, n % 6)]), ("Is it red?", "no", [cell(3 - n % 4, 5 - n % 6)])],
            seed=first + n,
            kind=("word", "shape")[n % 2],
            detail_px=8 + n,
        )
        for n in range(images)
    ]
    return manifest(folder / "manifest", rows)
