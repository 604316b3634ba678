"""Dragonfly: multi-resolution zoom-in vision-language models (arXiv 2406.00977).

Public names are resolved on first use, so `import dragonfly` loads neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from dragonfly.inference import Answer as Answer
    from dragonfly.inference import EncodedImage as EncodedImage
    from dragonfly.inference import Engine as Engine
    from dragonfly.inference import load as load
    from dragonfly.models import DragonflyConfig as DragonflyConfig
    from dragonfly.models import DragonflyForConditionalGeneration as DragonflyForConditionalGeneration
    from dragonfly.models import DragonflyImageProcessor as DragonflyImageProcessor
    from dragonfly.models import DragonflyModel as DragonflyModel
    from dragonfly.models import DragonflyProcessor as DragonflyProcessor

_HOMES = {
    "Answer": "dragonfly.inference",
    "EncodedImage": "dragonfly.inference",
    "Engine": "dragonfly.inference",
    "load": "dragonfly.inference",
    "DragonflyConfig": "dragonfly.models",
    "DragonflyForConditionalGeneration": "dragonfly.models",
    "DragonflyImageProcessor": "dragonfly.models",
    "DragonflyModel": "dragonfly.models",
    "DragonflyProcessor": "dragonfly.models",
}

__all__ = ["__version__", *sorted(_HOMES)]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dragonfly' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
