# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
"""Images as callers nest them, and which row of text they belong to."""

from __future__ import annotations

from typing import Any


def is_empty(images: Any) -> bool:
    """Whether a list holds no image at any depth: text alone."""
    return isinstance(images, list | tuple) and all(is_empty(item) for item in images)


def check_placeholders(images: Any, text: list[str], image_token: str) -> None:
    """One image for each placeholder; transformers before 5.23 does not check it."""
    found, given = sum(row.count(image_token) for row in text), 0 if images is None else len(_flat(images))
    if found != given:
        raise ValueError(
            f"found {found} '{image_token}' in the text and {given} images; the number of '{image_token}' tokens in the prompts "
            "should be the same as the number of images, so give one image for each"
        )


def _flat(images: Any) -> list[Any]:
    if not isinstance(images, list | tuple):
        return [images]
    return [image for item in images for image in _flat(item)]


def images_per_row(images: Any, text: list[str], image_token: str) -> list[int]:
    """How many images go before each row: as its placeholders say, else as `images` is nested, else one for each row."""
    counts = [row.count(image_token) for row in text]
    if images is None or any(counts):
        return counts
    if not isinstance(images, list | tuple):
        images = [images]
    if images and isinstance(images[0], list | tuple):
        if len(images) != len(text):
            raise ValueError(f"got images for {len(images)} rows and {len(text)} texts; give one list of images per text")
        return [len(row) for row in images]
    if len(text) == 1:
        return [len(images)]
    if len(images) != len(text):
        raise ValueError(f"got {len(images)} images and {len(text)} texts; give one each, or nested lists")
    return [1] * len(text)
