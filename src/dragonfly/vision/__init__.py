"""Geometry of sub-images, cropping, pooling and selection: torch and Pillow only, no transformers, no files.

`spec`, `presets`, `layout`, `inputs` and `towers` load no torch; public names are resolved on first use, so that they stay light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dragonfly.vision.layout import Box as Box
    from dragonfly.vision.layout import LevelLayout as LevelLayout
    from dragonfly.vision.layout import SubImageLayout as SubImageLayout
    from dragonfly.vision.layout import make_layout as make_layout
    from dragonfly.vision.pooling import mean_pool as mean_pool
    from dragonfly.vision.scoring import SelectionInputs as SelectionInputs
    from dragonfly.vision.selection import Selection as Selection
    from dragonfly.vision.selection import select as select
    from dragonfly.vision.selection_spec import SelectionSpec as SelectionSpec
    from dragonfly.vision.spec import EncoderSpec as EncoderSpec
    from dragonfly.vision.spec import LevelSpec as LevelSpec
    from dragonfly.vision.tiling import cut as cut

_HOMES = {
    "layout": ("Box", "LevelLayout", "SubImageLayout", "make_layout"),
    "pooling": ("mean_pool",),
    "scoring": ("SelectionInputs",),
    "selection": ("Selection", "select"),
    "spec": ("EncoderSpec", "LevelSpec", "SelectionSpec"),
    "tiling": ("cut",),
}
_HOME_OF = {name: f"dragonfly.vision.{home}" for home, names in _HOMES.items() for name in names}

__all__ = [*sorted(_HOME_OF)]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'dragonfly.vision' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)
