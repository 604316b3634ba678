"""Keyword arguments that nothing would read are refused: transformers passes them over, or warns once in a log."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable


def refuse_unknown(given: Iterable[str], known: Collection[str], owner: str) -> None:
    """Raise ValueError for the first of `given` that is not `known`, naming the nearest that is."""
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            remedy = f"did you mean {near[0]}?" if near else "leave it out"
            raise ValueError(f"{owner} takes no argument {name!r:.60}; {remedy}")
