"""What the tests of this room share: every preset and the kinds of spec that no preset shows, and image sizes."""

from __future__ import annotations

import torch
from hypothesis import strategies as st

from dragonfly.vision.layout import make_layout
from dragonfly.vision.presets import PRESETS
from dragonfly.vision.selection_spec import SelectionSpec
from dragonfly.vision.spec import EncoderSpec, LevelSpec

V1, V2 = PRESETS["v1"].spec, PRESETS["v2"].spec
HIGH_24 = LevelSpec(grids=((4, 6), (6, 4), (8, 3), (3, 8)))

VARIANTS = {
    "v2-padded": V2.with_changes(fit="pad"),
    "v1-high16-padded": PRESETS["v1-high16"].spec.with_changes(fit="pad"),
    "v2-capped": V2.with_changes(max_enlargement=2.0),
    "v1-capped-padded": PRESETS["v1-high16"].spec.with_changes(fit="pad", max_enlargement=1.5),
    "siglip": V2.with_changes(resolution=384, patch_size=16, num_prefix_tokens=0),
    "high-only": EncoderSpec(
        resolution=224, patch_size=32, low=None, high=HIGH_24, selection=SelectionSpec(policy="uniform", scope="region", keep=5)
    ),
    "no-mid": EncoderSpec(
        resolution=224, patch_size=32, high=HIGH_24, selection=SelectionSpec(policy="detail", scope="image", keep=7)
    ),
    "any-late": PRESETS["v1-any"].spec.with_selection(policy="detail"),
    "any-no-mid": EncoderSpec(
        resolution=224,
        patch_size=32,
        high=HIGH_24,
        grid_rule="resolution",
        selection=SelectionSpec(policy="random", scope="image", keep=7),
    ),
    "no-low": V1.with_changes(low=None),
}
SPECS: dict[str, EncoderSpec] = {name: preset.spec for name, preset in PRESETS.items()} | VARIANTS
FOLLOWING = [name for name, spec in SPECS.items() if spec.grid_rule == "resolution"]
STATIC = [name for name, spec in SPECS.items() if spec.max_enlargement is None and name not in FOLLOWING]

SPATIAL_24 = torch.tensor([make_layout((100, 100), V1).regions])
RASTER_24 = torch.arange(24).div(6, rounding_mode="floor").unsqueeze(0)

SIZES = st.tuples(st.integers(1, 20_000), st.integers(1, 20_000))
EXTREME_SIZES = [(1, 1), (1, 20_000), (20_000, 1), (20_000, 20_000), (2, 3), (19_997, 7)]
