"""From an image and a question to an answer that says where the model looked. Names are resolved on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragonfly.inference.answer import Answer as Answer
    from dragonfly.inference.answer import SubImageScore as SubImageScore
    from dragonfly.inference.encoded import EncodedImage as EncodedImage
    from dragonfly.inference.engine import Chat as Chat
    from dragonfly.inference.engine import Engine as Engine
    from dragonfly.inference.engine import Row as Row
    from dragonfly.inference.loading import load as load
    from dragonfly.inference.options import Options as Options
    from dragonfly.inference.stream import Stream as Stream

_HOMES = {
    "Answer": "answer",
    "Chat": "engine",
    "EncodedImage": "encoded",
    "Engine": "engine",
    "Options": "options",
    "Row": "engine",
    "Stream": "stream",
    "SubImageScore": "answer",
    "load": "loading",
}

__all__ = [*_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dragonfly.inference' has no attribute {name!r}")
    return getattr(import_module(f"dragonfly.inference.{_HOMES[name]}"), name)
