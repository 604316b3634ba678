"""Geometry of sub-images, cropping, pooling and selection: torch and Pillow only, no transformers, no files."""

from dragonfly.vision.layout import Box, LevelLayout, SubImageLayout, make_layout
from dragonfly.vision.pooling import mean_pool
from dragonfly.vision.scoring import SelectionInputs
from dragonfly.vision.selection import Selection, select
from dragonfly.vision.spec import EncoderSpec, LevelSpec, SelectionSpec
from dragonfly.vision.tiling import cut

__all__ = [
    "Box",
    "EncoderSpec",
    "LevelLayout",
    "LevelSpec",
    "Selection",
    "SelectionInputs",
    "SelectionSpec",
    "SubImageLayout",
    "cut",
    "make_layout",
    "mean_pool",
    "select",
]
