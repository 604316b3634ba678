"""Named encoder configurations: every system of the paper, and the released weights' own.

A preset is data. `PRESETS` maps its name to a `Preset`: the tower it was made for and the `EncoderSpec`. Grids below are
written (columns, rows) as in the paper, in tie order; the specs hold (rows, cols).
"""

from __future__ import annotations

from dataclasses import dataclass

from dragonfly.config import nearest
from dragonfly.vision.selection_spec import SelectionSpec
from dragonfly.vision.spec import EncoderSpec, Grid, LevelSpec, Partners
from dragonfly.vision.towers import CLIP_BASE, CLIP_LARGE


@dataclass(frozen=True)
class Preset:
    """A named encoder configuration, its tower and one line on what it is.

    `released` marks what the released weights were trained with: images before BOS, and their image policy (no EXIF
    orientation, alpha dropped, 16-bit grey saturated).
    """

    name: str
    tower: str
    spec: EncoderSpec
    about: str
    released: bool = False


def _grids(*columns_rows: tuple[int, int]) -> tuple[Grid, ...]:
    return tuple((rows, cols) for cols, rows in columns_rows)


def _partners(*pairs: tuple[tuple[int, int], tuple[tuple[int, int], ...]]) -> Partners:
    return tuple((_grids(mid)[0], _grids(*highs)) for mid, highs in pairs)


def _level(partners: Partners, pool: int = 1) -> LevelSpec:
    """The high level that a partner table implies."""
    return LevelSpec(grids=tuple(grid for _, highs in partners for grid in highs), pool=pool)


LOW = LevelSpec(grids=_grids((1, 1)))
MID = _grids((2, 2), (1, 4), (4, 1))
GRIDS_16 = _grids((4, 4), (2, 8), (8, 2))
GRIDS_24 = _grids((6, 4), (4, 6), (3, 8), (8, 3))
HIGH_16 = _partners(((2, 2), ((4, 4),)), ((1, 4), ((2, 8),)), ((4, 1), ((8, 2),)))
HIGH_24 = _partners(((2, 2), ((6, 4), (4, 6))), ((1, 4), ((3, 8),)), ((4, 1), ((8, 3),)))
HIGH_48 = _partners(((2, 2), ((6, 8), (8, 6))), ((1, 4), ((4, 12),)), ((4, 1), ((12, 4),)))
HIGH_36 = _partners(((2, 2), ((6, 6),)), ((1, 4), ((3, 12),)), ((4, 1), ((12, 3),)))


def _base(**changes: object) -> EncoderSpec:
    """CLIP ViT-B/32 at 224: 49 patch tokens and CLS."""
    return EncoderSpec.from_dict({"resolution": 224, "patch_size": 32, "low": LOW, **changes})


def _large(**changes: object) -> EncoderSpec:
    """CLIP ViT-L/14 at 336: 576 patch tokens and CLS; mid and high pooled 24 x 24 -> 6 x 6."""
    pool = 4
    levels = {"low": LOW, "mid": LevelSpec(grids=MID, pool=pool), "high": _level(HIGH_36, pool), "partners": HIGH_36}
    return EncoderSpec.from_dict({"resolution": 336, "patch_size": 14, **levels, **changes})


def _zoom(partners: Partners, regions: str = "spatial", **selection: object) -> EncoderSpec:
    """v1's shape: low, four mid, and the high sub-images that the paper's similarity keeps."""
    rule = SelectionSpec(**{"policy": "similarity", "scope": "region", "keep": 3, **selection})  # pyright: ignore[reportArgumentType]
    return _base(mid=LevelSpec(grids=MID), high=_level(partners), partners=partners, regions=regions, selection=rule)


def _any() -> EncoderSpec:
    """v1 for images of any size: the high grid grows with the image's pixels, and what is kept is chosen before the tower."""
    return _zoom(HIGH_24, policy="residual", scope="image", keep=12).with_changes(grid_rule="resolution")


def _v1_released() -> EncoderSpec:
    high = LevelSpec(grids=_grids((6, 4), (4, 6), (3, 8), (8, 3), (2, 12), (12, 2)))
    rule = SelectionSpec(policy="similarity", scope="region", keep=3)
    return _base(mid=LevelSpec(grids=MID), high=high, grid_rule="released", regions="raster", selection=rule)


_ALL = (
    Preset("low-only", CLIP_BASE, _base(), "one low view"),
    Preset("baseline-1", CLIP_BASE, _base(mid=LevelSpec(grids=MID)), "low and 4 mid sub-images"),
    Preset("baseline-2", CLIP_BASE, _base(mid=LevelSpec(grids=GRIDS_16)), "low and 16 sub-images"),
    Preset("baseline-3", CLIP_BASE, _base(mid=LevelSpec(grids=GRIDS_24)), "low and 24 sub-images"),
    Preset("v1", CLIP_BASE, _zoom(HIGH_24), "low, 4 mid, the best 3 of each region's 6 high"),
    Preset("v1-paper", CLIP_BASE, _zoom(HIGH_24, "raster"), "v1 by equation 2 to the letter: regions are runs of 6 high"),
    Preset("v1-global", CLIP_BASE, _zoom(HIGH_24, scope="image", keep=12), "low, 4 mid, the best 12 of 24 high"),
    Preset("v1-high16", CLIP_BASE, _zoom(HIGH_16), "low, 4 mid, the best 3 of each region's 4 high"),
    Preset("v1-high48", CLIP_BASE, _zoom(HIGH_48), "low, 4 mid, the best 3 of each region's 12 high"),
    Preset("v1-any", CLIP_BASE, _any(), "low, 4 mid, 12 of 24 or more high: as many as the image's pixels fill"),
    Preset("v1-released", CLIP_BASE, _v1_released(), "v1 as the released weights were trained", released=True),
    Preset("v2", CLIP_LARGE, _large(), "low, 4 mid, 36 high; mid and high mean-pooled, nothing left out"),
    Preset("v2-released", CLIP_LARGE, _large(grid_rule="released"), "v2 as the released weights were trained", released=True),
)
PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ALL}

# A directory in the released format names only its tower; (resolution, patch size) tells which system it is.
RELEASED_BY_TOWER = {(224, 32): "v1-released", (336, 14): "v2-released"}


def get_preset(name: str) -> Preset:
    """The preset of that name; an unknown one raises a ValueError with the nearest."""
    if name not in PRESETS:
        raise ValueError(f"unknown preset: {nearest(name, PRESETS)}")
    return PRESETS[name]
