"""The code blocks of a document, and why a block is not run: an HTML comment `<!-- not run: REASON -->` on the line before it."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+?) -->\n+)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
RUN = ("bash", "python")


@dataclass(frozen=True)
class Block:
    """`shown` is the text block that follows a command: how its output begins."""

    kind: str
    text: str
    reason: str | None
    shown: str | None = None

    @property
    def commands(self) -> list[list[str]]:
        """The words of each command, comments left out; a backslash at the end of a line joins it with the next."""
        lines = [shlex.split(line, comments=True) for line in self.text.replace("\\\n", " ").splitlines()]
        return [words for words in lines if words]


def blocks(page: Path) -> list[Block]:
    found = list(FENCE.finditer(page.read_text(encoding="utf-8")))
    after = [one["text"] if one["kind"] == "text" else None for one in found[1:]] + [None]
    return [Block(one["kind"], one["text"], one["reason"], shown) for one, shown in zip(found, after, strict=True)]


def to_run(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.kind in RUN and block.reason is None]
