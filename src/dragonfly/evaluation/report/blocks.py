"""What a page is made of, whatever it is written as, and how it is written as Markdown.

Text is plain: every writer makes the marks of its own format harmless.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Heading:
    level: int
    text: str


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Items:
    items: Sequence[str]


@dataclass(frozen=True)
class Rows:
    """A table: the head, then its rows."""

    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Drawing:
    """An encoded image, for formats that hold images."""

    data: bytes
    mime: str
    alt: str


@dataclass(frozen=True)
class Example:
    """One question with what was asked, accepted and replied; `replies` are (run, reply, confidence or None)."""

    verdict: str
    id: str
    question: str
    gold: Sequence[str]
    replies: Sequence[tuple[str, str, float | None]]
    drawings: Sequence[Drawing]
    note: str = ""


Block = Heading | Text | Items | Rows | Drawing | Example


def markdown(blocks: Sequence[Block]) -> str:
    """The page as Markdown, without its images and examples."""
    return "\n\n".join(part for block in blocks if (part := _markdown(block))) + "\n"


def as_table(rows: Sequence[Sequence[str]]) -> str:
    """A table as Markdown: the head, then its rows."""
    lines = ["| " + " | ".join(_plain(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def _markdown(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {_plain(text)}"
        case Text(text):
            return _plain(text)
        case Items(items):
            return "\n".join(f"- {_plain(item)}" for item in items)
        case Rows(rows):
            return as_table(rows)
        case _:
            return ""


def _plain(text: str) -> str:
    """One line in which no tag begins."""
    return " ".join(text.split()).replace("<", "&lt;")
