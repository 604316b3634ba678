"""How questions are worded, by form and split.

Promises that no wording of one split occurs in another, nor one that differs by articles alone, and that `dev` and `test` use
no word that `train` never uses. Patterns say many wordings at once, `[give|read] the {key}` two: a small model that knows only a
few takes a new one for the nearest that it knows, whatever that asks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from .phrases import PHRASES

CHOICE = re.compile(r"\[([^]]*)\]")
ARTICLE = re.compile(r"\bthe ", re.IGNORECASE)


def expand(pattern: str) -> tuple[str, ...]:
    """Every wording that a pattern says: `[a|b] c` is `a c` and `b c`."""
    parts = CHOICE.split(pattern)  # what stands between choices, and the choices, in turn
    options = [part.split("|") if number % 2 else [part] for number, part in enumerate(parts)]
    return tuple("".join(chosen) for chosen in product(*options))


@dataclass(frozen=True)
class Wordings:
    """The wordings of one form of question: patterns of `train`, and the held-out ones of `dev` and `test` as they are."""

    patterns: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]

    @cached_property
    def train(self) -> tuple[str, ...]:
        """All that the patterns say, without what is held out."""
        held_out = {ARTICLE.sub("", wording) for wording in (*self.dev, *self.test)}
        said = dict.fromkeys(wording for pattern in self.patterns for wording in expand(pattern))
        return tuple(wording for wording in said if ARTICLE.sub("", wording) not in held_out)

    def of(self, split: str) -> tuple[str, ...]:
        return {"train": self.train, "dev": self.dev, "test": self.test}[split]


WORDINGS: dict[str, Wordings] = {form: Wordings(*parts) for form, parts in PHRASES.items()}
