"""Which images a command line means: files, pages, addresses, standard input, folders and patterns."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dragonfly.cli import common

if TYPE_CHECKING:
    from dragonfly.imaging import ImagePolicy, LoadedImage

AllowUrls = Annotated[bool, typer.Option("--allow-urls", help="Fetch images from http(s) addresses; public ones alone.")]
MaxPixels = Annotated[int | None, typer.Option(min=1, metavar="N", help="Take images of up to N pixels; 67108864 if not given.")]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".pdf")
STDIN = "-"


@dataclass(frozen=True)
class Named:
    """An image that a user names; its bytes where they came by standard input."""

    name: str
    source: str | bytes

    def load(self, policy: ImagePolicy) -> LoadedImage:
        from dragonfly.imaging import load_image

        return load_image(self.source, policy, self.name)


def allowed(allow_urls: bool, max_pixels: int | None) -> dict[str, Any]:
    """The options as fields of an `ImagePolicy`: what they change of the model's own."""
    given: dict[str, Any] = {"urls": "public"} if allow_urls else {}
    return given if max_pixels is None else {**given, "max_pixels": max_pixels}


def policy_of(options: dict[str, Any]) -> ImagePolicy:
    from dataclasses import replace

    from dragonfly.imaging import DEFAULT_POLICY

    return replace(DEFAULT_POLICY, **options)


def is_group(word: str) -> bool:
    """Whether a word stands for any number of images: a folder, or a pattern that is no file's own name."""
    return os.path.isdir(word) or (glob.has_magic(word) and not os.path.exists(word) and not _is_address(word))  # noqa: PTH110, PTH112


def named(word: str) -> Named:
    """One image. Standard input is read to its end.

    Raises:
        ValueError: where there is no file of that name and it looks like none.
    """
    if word == STDIN:
        data = sys.stdin.buffer.read(policy_of({}).max_bytes + 1)
        return Named("standard input", data)
    place = word.rpartition("#")[0] or word
    if not (looks_like_image(word) or os.path.exists(word) or os.path.exists(place)):  # noqa: PTH110 - raises on long names
        raise ValueError(
            f"no file of that name: '{word:.200}'; images come first, the question last and in quotes: "
            'dragonfly ask IMAGE "QUESTION"'
        )
    return Named(word, word)


def looks_like_image(word: str) -> bool:
    """Whether a word names an image, whether there is one or not: by its suffix, or as an address."""
    return (
        word == STDIN or _is_address(word) or word.rpartition("#")[0].lower().endswith(".pdf") or word.lower().endswith(SUFFIXES)
    )


def each(words: Sequence[str]) -> list[Named]:
    """All images of files, folders (those directly in them, by name) and patterns, in order.

    Raises:
        ValueError: for a folder or pattern without images.
    """
    found: list[Named] = []
    for word in words:
        if not is_group(word):
            found.append(named(word))
            continue
        files = sorted(glob.glob(word)) if not os.path.isdir(word) else sorted(map(str, Path(word).iterdir()))  # noqa: PTH112, PTH207
        files = [file for file in files if os.path.isfile(file) and not Path(file).name.startswith(".")]  # noqa: PTH113
        images = [file for file in files if looks_like_image(file)]
        if not images:
            raise ValueError(f"no image in '{word}'; images end in {', '.join(SUFFIXES)}")
        if others := len(files) - len(images):
            common.say(
                f"note: {others} file{'s' * (others > 1)} of '{word}' do{'es' * (others == 1)} not end as images do; left out"
            )
        found += [Named(file, file) for file in images]
    return found


def _is_address(word: str) -> bool:
    return word.startswith(("http://", "https://", "data:"))
