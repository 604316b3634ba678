"""A stand-in for `dragonfly.lens` that says what it is asked: its methods' replies are told apart by their names."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest

from dragonfly.imaging import load_image
from dragonfly.inference import Answer
from tests import tiny

METHODS = dict.fromkeys(("attention", "residual", "downsample", "random", "centre", "oracle"))


@dataclass(frozen=True)
class LensAnswer(Answer):
    views: tuple[Any, ...] = ()
    calls: int = 0
    image_tokens: int = 0


@dataclass
class Found:
    """What was asked, and which lenses were made, as (model, method)."""

    calls: list[dict[str, Any]] = field(default_factory=list)
    made: list[tuple[Any, str]] = field(default_factory=list)
    replies: dict[str, str] = field(default_factory=dict)


def stand_in(monkeypatch: pytest.MonkeyPatch, replies: dict[str, str] | None = None) -> Found:
    """Put the stand-in in place; `replies` by method, else the method's name and "reply"."""
    found = Found(replies=replies or {})

    class Lens:
        def __init__(self, model: Any, method: str = "attention", seed: int = 0, **_: Any) -> None:
            self.method = method
            found.made.append((model, method))

        def ask(
            self, image: Any, question: str, *, max_tokens: int, max_calls: int, evidence: Any, max_new_tokens: int
        ) -> LensAnswer:
            if image is not None:
                load_image(image)
            told = {"image": image, "question": question, "evidence": evidence, "method": self.method}
            found.calls.append({**told, "max_tokens": max_tokens, "max_calls": max_calls, "max_new_tokens": max_new_tokens})
            text = found.replies.get(self.method, f"{self.method} reply")
            seen = 0 if image is None else 100
            return LensAnswer(text, (1, 2), 0.5, 10, (), (), {"total": 0.25}, views=(1, 2), calls=3, image_tokens=seen)

    settings = tiny.config("v1")
    loaded = tiny.model(settings), tiny.processor(settings), "tiny"
    for name, values in {
        "dragonfly.lens": {"METHODS": METHODS, "Lens": Lens},
        "dragonfly.lens.loading": {"load_pair": lambda *_: loaded},
    }.items():
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
    return found
