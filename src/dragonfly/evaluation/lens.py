"""Every method of `dragonfly.lens` asked a task's questions under one budget of tokens and calls (`lens.asker`).

A method is a run of its own; `report.compare` sets the runs beside each other. What a question took is on its answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dragonfly.config import nearest

if TYPE_CHECKING:
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
