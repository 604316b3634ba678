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

BurnedInCheck = Annotated[
    bool, typer.Option("--burned-in-check", help="Warn where a DICOM file says that its pixels may show names or dates.")
]

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
    """Whether a word stands for any number of images: a folder of files, or a pattern that is no file's own name.

    A folder of DICOM is a series, of which one image is shown.
    """
    from dragonfly.imaging.series import holds_dicom

    if os.path.isdir(word) and holds_dicom(word):  # noqa: PTH112
        return False
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
    from dragonfly.imaging import IMAGE_SUFFIXES

    return (
        word == STDIN or _is_address(word) or any(one.lower().endswith(IMAGE_SUFFIXES) for one in (word, word.rpartition("#")[0]))
    )


def apart(word: str) -> list[Named]:
    """The images that one word names: one, or those of a view that stands for several (`series/#slices=8`)."""
    from dragonfly.imaging import each_image

    one = named(word)
    return [one] if not isinstance(one.source, str) else [Named(name, name) for name, _ in each_image(one.source)]


def say_burned_in(given: Sequence[Named]) -> None:
    """A line for each DICOM image whose header says that text is burned into its pixels, or does not say that there is none."""
    from dragonfly.imaging.series import burned_in

    for image in given:
        said = burned_in(image.source)
        if said == "yes":
            common.say(f"warning: {image.name}: its header says that text is burned into the image: look for names and dates")
        elif said == "unknown":
            common.say(
                f"warning: {image.name}: its header does not say whether text is burned into the image: look for names and dates"
            )


def each(words: Sequence[str], files: bool = False) -> list[Named]:
    """All images of files, folders (those directly in them, by name) and patterns, in order; with `files` those of a series too.

    Raises:
        ValueError: for a folder or pattern without images.
    """
    from dragonfly.imaging import IMAGE_SUFFIXES
    from dragonfly.imaging.series import begins_as_dicom

    found: list[Named] = []
    for word in words:
        if not (is_group(word) or (files and os.path.isdir(word))):  # noqa: PTH112
            found += apart(word)
            continue
        listed = sorted(glob.glob(word)) if not os.path.isdir(word) else sorted(map(str, Path(word).iterdir()))  # noqa: PTH112, PTH207
        listed = [file for file in listed if os.path.isfile(file) and not Path(file).name.startswith(".")]  # noqa: PTH113
        images = [file for file in listed if looks_like_image(file) or begins_as_dicom(Path(file))]
        if not images:
            raise ValueError(f"no image in '{word}'; images end in {', '.join(IMAGE_SUFFIXES)}")
        if others := len(listed) - len(images):
            common.say(
                f"note: {others} file{'s' * (others > 1)} of '{word}' do{'es' * (others == 1)} not end as images do; left out"
            )
        found += [Named(file, file) for file in images]
    return found


def _is_address(word: str) -> bool:
    return word.startswith(("http://", "https://", "data:"))
