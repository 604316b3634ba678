"""A conversation about images, as plain values: what every reader makes and every trainer, judge and page reads.

Promises that a `Sample` which passed `validate` can be rendered by a chat template: its roles alternate, every
placeholder has its image, every answer says something. Knows no file format, no tokenizer and no pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from dragonfly.imaging.view import View
from dragonfly.vision.layout import Box

from .errors import BadSample

ROLES = ("system", "user", "assistant")

_Bytes = bytes  # `ImageRef` has a field of this name, which hides the type inside its body


@dataclass(frozen=True)
class ImageRef:
    """Where one image is: a `path` (or URL) or the encoded `bytes`, exactly one; `group` = patient or document.

    `view` is what of the bytes is meant, as `imaging.View.text` writes it; a path has it in its name.
    """

    path: str | None = None
    bytes: _Bytes | None = None
    group: str | None = None
    view: str = ""

    def __post_init__(self) -> None:
        if (self.path is None) == (self.bytes is None):
            given = "neither" if self.path is None else "both"
            raise ValueError(f"an ImageRef takes exactly one of path and bytes; got {given}")

    @property
    def seen(self) -> View | None:
        """What `imaging.load_image` takes beside `source`."""
        return View.parse(self.view) if self.view else None

    @property
    def source(self) -> str | _Bytes:
        """What `imaging.load_image` takes."""
        return self.path if self.path is not None else self.bytes or b""


@dataclass(frozen=True)
class Part:
    """A piece of a message: its text, or the place of the next image."""

    type: Literal["text", "image"]
    text: str = ""


@dataclass(frozen=True)
class Message:
    """One turn. `role` is any string until `validate` has seen it."""

    role: str
    content: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The message's words, images left out."""
        return "".join(part.text for part in self.content if part.type == "text")

    @property
    def num_images(self) -> int:
        return sum(part.type == "image" for part in self.content)


@dataclass(frozen=True)
class Sample:
    """A conversation with its images, which fill the image parts in order.

    `evidence` holds one tuple of boxes per assistant turn, on the first image, or is empty as a whole. `meta` is
    JSON-able (kind, detail_px, modality, licence, ...). `place` is the (file, row) it was read from: for messages to
    people only, so it is neither compared nor stored.
    """

    id: str
    source: str
    images: tuple[ImageRef, ...]
    messages: tuple[Message, ...]
    evidence: tuple[tuple[Box, ...], ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)
    place: tuple[str, int] | None = field(default=None, compare=False)

    def evidence_turns(self) -> Iterator[tuple[int, Message, Message, tuple[Box, ...]]]:
        """(index of the assistant turn, question, answer, boxes) of every answer that has evidence."""
        turns = [message for message in self.messages if message.role != "system"]
        for index, boxes in enumerate(self.evidence):
            if boxes:
                yield index, turns[2 * index], turns[2 * index + 1], boxes


def question_content(labels: Sequence[str], question: str) -> tuple[Part, ...]:
    """What a user says who shows images and asks: each image, of several after its label where it has one, then the question."""
    parts: list[Part] = []
    for label in labels:
        parts += [Part("text", f"{label}: ")] if label and len(labels) > 1 else []
        parts.append(Part("image"))
    return (*parts, Part("text", question))


def validate(sample: Sample) -> None:
    """Raise `BadSample` unless the sample can be trained on: [system], then user and assistant in turn, an answer last.

    Reasons: empty-conversation, unknown-role, unknown-part, role-order, empty-answer, evidence-count,
    placeholder-without-image, image-without-placeholder.
    """
    if not sample.messages:
        raise BadSample("empty-conversation", "no messages; at least a question and an answer are needed")
    _check_roles([message.role for message in sample.messages])
    answers = [message for message in sample.messages if message.role == "assistant"]
    for turn, answer in enumerate(answers):
        if not answer.text.strip():
            raise BadSample("empty-answer", f"assistant turn {turn} has no text")
    for part in (part for message in sample.messages for part in message.content):
        if part.type not in ("text", "image"):
            raise BadSample("unknown-part", f"{part.type!r}; accepted: text, image")
    placeholders, images = sum(message.num_images for message in sample.messages), len(sample.images)
    if placeholders > images:
        raise BadSample("placeholder-without-image", f"{placeholders} image placeholders but {images} images")
    if placeholders < images:
        raise BadSample("image-without-placeholder", f"{images} images but {placeholders} image placeholders")
    if sample.evidence and len(sample.evidence) != len(answers):
        raise BadSample("evidence-count", f"evidence for {len(sample.evidence)} turns but {len(answers)} answers")


def _check_roles(roles: Sequence[str]) -> None:
    for role in roles:
        if role not in ROLES:
            raise BadSample("unknown-role", f"{role!r}; accepted: {', '.join(ROLES)}")
    turns = roles[1:] if roles[0] == "system" else roles
    if not turns or len(turns) % 2 or any(role != ("user", "assistant")[i % 2] for i, role in enumerate(turns)):
        order = " ".join(roles)
        raise BadSample("role-order", f"{order}; accepted: [system] then user assistant, repeated, an answer last")


def to_messages(sample: Sample) -> list[dict[str, Any]]:
    """The conversation as `processor.apply_chat_template` takes it; image blocks are bare, to be filled in order."""
    return [{"role": message.role, "content": [part_of(part) for part in message.content]} for message in sample.messages]


def part_of(part: Part) -> dict[str, Any]:
    """A part as a chat template takes it."""
    return {"type": "image"} if part.type == "image" else {"type": "text", "text": part.text}
