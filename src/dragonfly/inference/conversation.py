"""Questions about images as conversations: which images a name means, and how each of several is labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dragonfly.data.sample import part_of, question_content
from dragonfly.imaging import LoadedImage, each_image
from dragonfly.inference.encoded import EncodedImage

Images = Any  # one image (path, URL, bytes, PIL, array, loaded or encoded) or a sequence of them, or None


@dataclass(frozen=True)
class Row:
    """One question of a batch."""

    images: Images
    question: str
    system: str | None = None


def text_of(message: dict[str, Any]) -> str:
    """The words of a message."""
    content = message["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def as_list(images: Images) -> list[Any]:
    """The images one by one: a path that stands for several (`series/#slices=8`) is taken apart."""
    if images is None:
        return []
    given: list[Any] = [*images] if isinstance(images, list | tuple) else [images]  # pyright: ignore[reportUnknownArgumentType]
    return [
        one for image in given for one in ([name for name, _ in each_image(image)] if isinstance(image, str | Path) else [image])
    ]


def turn(question: str, images: Sequence[EncodedImage]) -> dict[str, Any]:
    """A user's message; of several images each stands behind its label, where it has one."""
    parts = question_content([image.label for image in images], question)
    return {"role": "user", "content": [part_of(part) for part in parts]}


def conversation_of(row: Row, images: Sequence[EncodedImage]) -> list[dict[str, Any]]:
    """The messages of a row whose images are encoded."""
    system = [{"role": "system", "content": row.system}] if row.system else []
    return [*system, turn(row.question, images)]


def described(encoded: EncodedImage, image: LoadedImage) -> EncodedImage:
    """With what is said of this very image: another file may have given the same pixels."""
    notes = tuple(f"{image.source}: {note}" for note in image.notes)
    return replace(encoded, notes=notes, label=image.label, spacing=image.spacing)
