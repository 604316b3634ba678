"""A lens in an engine's place: every method of `dragonfly.lens` asked a task's questions under one budget of tokens and calls.

A method is a run of its own; `report.compare` sets the runs beside each other. What a question took is on its answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dragonfly.config import nearest
from dragonfly.inference import Answer, Row
from dragonfly.lens import MAX_CALLS, MAX_TOKENS

from .question import Asked

if TYPE_CHECKING:
    from dragonfly.lens import Lens

    from .run import Work

CONTROLS = ("downsample", "random", "centre")
"""What a method must beat at equal cost; `oracle`, the fourth control, is what none can beat."""


def methods_of(names: str) -> tuple[str, ...]:
    """The methods of a comma-separated list, controls first, for each is tested against them; `all` is all of them.

    ValueError with the nearest name for one that there is not, or where one is named twice or none at all.
    """
    from dragonfly.lens import METHODS

    asked = [*METHODS] if names.strip() == "all" else [name.strip() for name in names.split(",") if name.strip()]
    for name in asked:
        if name not in METHODS:
            raise ValueError(f"--lens {nearest(name, (*METHODS, 'all'))}")
    if not asked or len(set(asked)) < len(asked):
        raise ValueError(f"--lens {names!r} names no method, or one twice; name each once: --lens attention,downsample,random")
    return tuple(sorted(asked, key=lambda name: CONTROLS.index(name) if name in CONTROLS else len(CONTROLS)))


def askable(work: Work, methods: Sequence[str]) -> Work:
    """The questions that every method can be asked: with `oracle` those alone whose evidence is known.

    ValueError, before a model is loaded, where a question has not one image, or no question of a task has evidence for `oracle`.
    """
    kept: Work = []
    for one in work:
        odd = next((question for question in one.questions if len(question.images) != 1 or question.system), None)
        if odd is not None:
            has = "a system message" if odd.system else f"{len(odd.images)} images"
            raise ValueError(f"task {one.task.name!r}: question {odd.id!r} has {has}; a lens asks about one image alone")
        known = [question for question in one.questions if question.evidence or "oracle" not in methods]
        if not known:
            raise ValueError(f"task {one.task.name!r} does not say which boxes hold its answers; leave oracle out of --lens")
        kept.append(replace(one, questions=known))
    return kept


class LensAsker:
    """Asks a lens row by row. `max_tokens` visual tokens and `max_calls` calls are the most that one question may take."""

    def __init__(self, lens: Lens, *, max_tokens: int = MAX_TOKENS, max_calls: int = MAX_CALLS) -> None:
        self.lens, self.max_tokens, self.max_calls = lens, max_tokens, max_calls

    def ask_batch(
        self,
        rows: Sequence[Row],
        *,
        batch_size: int = 1,
        max_new_tokens: int = 256,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        **_: Any,
    ) -> list[Answer]:
        """The answers in order. `batch_size` changes nothing: each question's calls follow from those before it.

        ValueError for a row with a system message or several images, and for a temperature above 0.
        """
        if temperature > 0:
            raise ValueError(f"a lens answers greedily, and temperature is {temperature}; leave it out")
        return [_cut(self._ask(row, max_new_tokens), stop) for row in rows]

    def _ask(self, row: Row, max_new_tokens: int) -> Answer:
        images: Any = [] if row.images is None else row.images if isinstance(row.images, list | tuple) else [row.images]
        if row.system or len(images) > 1:
            raise ValueError(f"a lens asks about one image and without a system message; the row has {len(images)} images")
        return self.lens.ask(
            images[0] if images else None,
            row.question,
            max_tokens=self.max_tokens,
            max_calls=self.max_calls,
            evidence=row.evidence if isinstance(row, Asked) and row.evidence else None,
            max_new_tokens=max_new_tokens,
        )


def _cut(answer: Answer, stop: Sequence[str]) -> Answer:
    """The answer up to the first stop string."""
    ends = [place for text in stop if text and (place := answer.text.find(text)) >= 0]
    return replace(answer, text=answer.text[: min(ends)], finish="stop") if ends else answer
