"""What the tests of this room share: every preset and the kinds of spec that no preset shows, and image sizes."""

from __future__ import annotations

from dataclasses import replace

import torch
from hypothesis import strategies as st

from dragonfly.vision.layout import make_layout
from dragonfly.vision.presets import PRESETS
from dragonfly.vision.spec import EncoderSpec, LevelSpec, SelectionSpec

V1, V2 = PRESETS["v1"].spec, PRESETS["v2"].spec
HIGH_24 = LevelSpec(((4, 6), (6, 4), (8, 3), (3, 8)))

VARIANTS = {
    "v2-padded": replace(V2, fit="pad"),
    "v1-high16-padded": replace(PRESETS["v1-high16"].spec, fit="pad"),
    "v2-capped": replace(V2, max_enlargement=2.0),
    "v1-capped-padded": replace(PRESETS["v1-high16"].spec, fit="pad", max_enlargement=1.5),
    "siglip": replace(V2, resolution=384, patch_size=16, num_prefix_tokens=0),
    "high-only": EncoderSpec(224, 32, low=None, high=HIGH_24, selection=SelectionSpec("uniform", "region", 5)),
    "no-mid": EncoderSpec(224, 32, high=HIGH_24, selection=SelectionSpec("detail", "image", 7)),
    "no-low": replace(V1, low=None),
}
SPECS: dict[str, EncoderSpec] = {name: preset.spec for name, preset in PRESETS.items()} | VARIANTS
STATIC = [name for name, spec in SPECS.items() if spec.max_enlargement is None]

SPATIAL_24 = torch.tensor([make_layout((100, 100), V1).regions])
RASTER_24 = torch.arange(24).div(6, rounding_mode="floor").unsqueeze(0)

SIZES = st.tuples(st.integers(1, 20_000), st.integers(1, 20_000))
EXTREME_SIZES = [(1, 1), (1, 20_000), (20_000, 1), (20_000, 20_000), (2, 3), (19_997, 7)]
