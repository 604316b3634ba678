"""Look closer with any image-text model, under a budget of visual tokens and calls. Names are resolved on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragonfly.lens.gate import calibrate as calibrate
    from dragonfly.lens.lens import Lens as Lens
    from dragonfly.lens.lens import LensAnswer as LensAnswer
    from dragonfly.lens.methods import METHODS as METHODS
    from dragonfly.lens.plan import LensPlan as LensPlan

_HOMES = {"calibrate": "gate", "Lens": "lens", "LensAnswer": "lens", "LensPlan": "plan", "METHODS": "methods"}

MAX_TOKENS, MAX_CALLS = 1024, 4
"""The budget of a question where none is given: visual tokens over all calls, and calls of the model."""

__all__ = [*_HOMES, "MAX_CALLS", "MAX_TOKENS"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dragonfly.lens' has no attribute {name!r}")
    return getattr(import_module(f"dragonfly.lens.{_HOMES[name]}"), name)
