"""Text annotations: what stands where in an image, and the classes that a patch which shows it is given.

A sample's `meta["text_annotations"]` is a list of {"box": [left, top, right, bottom] in source pixels, "label": text, "kind"}.
Those of kind "word" are spelled: a patch says every character of the word that covers most of it, each in its own slot, so that
one token holds a whole word. Those of kind "char" are located: a patch says the first few whose centres lie in it, which it can
learn before it looks at its neighbours, and on which spelling builds. All others are named: one class for each label. Words and
names may say what they belong to ("other", and "around", the box of both): a patch of a key then also says its value. Those of
kind "line", "key" and "value" group words, and are not asked of patches.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dragonfly.data import Sample

GROUPS = ("line", "key", "value")
"""Kinds that group words; a patch says the words."""

NOTHING = 0
"""The class of patches that no annotation covers, and of slots behind a word's end."""


@dataclass(frozen=True)
class TextAnnotation:
    """Something drawn: its box in source pixels, what it says, and its kind: "word", "char", one of `GROUPS`, else a name."""

    box: tuple[float, float, float, float]
    label: str
    kind: str = ""
    other: str = ""
    around: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Classes:
    """What a patch may say: one of `names` (column 0), then `near` characters that lie in it, then `slots` of its word.

    `bound` repeats name and slots for what it belongs to.
    """

    names: tuple[str, ...]
    characters: str
    near: int
    slots: int
    bound: bool = False

    @property
    def sizes(self) -> tuple[int, ...]:
        """Classes of every column; class 0 is nothing."""
        name, character = 1 + len(self.names), 1 + len(self.characters)
        other = (name, *[character] * self.slots) if self.bound else ()
        return (name, *[character] * (self.near + self.slots), *other)

    @property
    def spelled(self) -> slice:
        """The columns of a word's characters."""
        return slice(1 + self.near, 1 + self.near + self.slots)

    @property
    def other(self) -> slice:
        """The columns of what a patch belongs to: name, then characters."""
        return slice(self.spelled.stop, len(self.sizes))

    def belonging(self, text: str) -> list[int]:
        """The classes of `other` for a text: a name, or else spelled."""
        if text in self.names:
            return [1 + self.names.index(text)] + [NOTHING] * self.slots
        return [NOTHING, *self.classes(text, self.slots)]

    def classes(self, text: str, length: int) -> list[int]:
        """The classes of a text's characters, cut or filled up with nothing to `length`."""
        classes = [1 + self.characters.index(character) for character in text[:length]]
        return classes + [NOTHING] * (length - len(classes))


def find_classes(samples: Iterable[Sample], near: int, slots: int, bound: bool = False) -> Classes:
    """Every name and every character that occurs, in order; no columns for what never occurs."""
    labels: dict[str, set[str]] = {"word": set(), "char": set(), "": set(), "other": set()}
    for sample in samples:
        for annotation in text_annotations_of(sample):
            if annotation.kind in GROUPS:
                continue
            labels.get(annotation.kind, labels[""]).add(annotation.label)
            labels["other"].add(annotation.other)
    names = tuple(sorted(labels[""]))
    others = labels["other"].difference(names) if bound else set[str]()
    characters = "".join(sorted(set("".join(labels["word"] | labels["char"] | others))))
    return Classes(names, characters, near if labels["char"] else 0, slots if labels["word"] else 0, bound)


def text_annotations_of(sample: Sample) -> list[TextAnnotation]:
    """A sample's text annotations. ValueError where they are absent or badly made."""
    try:
        return [
            TextAnnotation(
                _box(annotation["box"]),
                str(annotation["label"]),
                str(annotation.get("kind", "")),
                str(annotation.get("other", "")),
                around,
            )
            for annotation in sample.meta["text_annotations"]
            for around in [_box(annotation["around"]) if annotation.get("around") else None]
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ValueError(
            f"objective 'patch_ocr' needs meta['text_annotations'], a list of {{box, label}}; "
            f"sample {sample.id!r} of {sample.source!r} has none"
        ) from None


def _box(values: Iterable[Any]) -> tuple[float, float, float, float]:
    left, top, right, bottom = map(float, values)
    return left, top, right, bottom
