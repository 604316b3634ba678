"""The named systems: what the paper's tables and the released weights say they are."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragonfly.vision.layout import choose_grids, level_counts, make_layout
from dragonfly.vision.presets import PRESETS, RELEASED_BY_TOWER, get_preset
from dragonfly.vision.spec import LEVELS, EncoderSpec

# name: sub-images at low, mid and high; kept in all; prompt tokens, separators included (docs/architecture.md)
TABLE = {
    "low-only": (1, 0, 0, 1, 51),
    "baseline-1": (1, 4, 0, 5, 5 * 51),
    "baseline-2": (1, 16, 0, 17, 17 * 51),
    "baseline-3": (1, 24, 0, 25, 25 * 51),
    "v1": (1, 4, 24, 17, 867),
    "v1-global": (1, 4, 24, 17, 867),
    "v1-paper": (1, 4, 24, 17, 867),
    "v1-high16": (1, 4, 16, 17, 867),
    "v1-high48": (1, 4, 48, 17, 867),
    "v1-released": (1, 4, 24, 17, 867),
    "v2": (1, 4, 36, 41, 2098),
    "v2-released": (1, 4, 36, 41, 2098),
}

# Grids as the paper writes them, (columns, rows), in tie order.
MID_4 = [(2, 2), (1, 4), (4, 1)]
GRIDS = {
    "low-only": ([], []),
    "baseline-1": (MID_4, []),
    "baseline-2": ([(4, 4), (2, 8), (8, 2)], []),
    "baseline-3": ([(6, 4), (4, 6), (3, 8), (8, 3)], []),
    "v1": (MID_4, [(6, 4), (4, 6), (3, 8), (8, 3)]),
    "v1-global": (MID_4, [(6, 4), (4, 6), (3, 8), (8, 3)]),
    "v1-paper": (MID_4, [(6, 4), (4, 6), (3, 8), (8, 3)]),
    "v1-high16": (MID_4, [(4, 4), (2, 8), (8, 2)]),
    "v1-high48": (MID_4, [(6, 8), (8, 6), (4, 12), (12, 4)]),
    "v1-released": (MID_4, [(6, 4), (4, 6), (3, 8), (8, 3), (2, 12), (12, 2)]),
    "v2": (MID_4, [(6, 6), (3, 12), (12, 3)]),
    "v2-released": (MID_4, [(6, 6), (3, 12), (12, 3)]),
}


def test_every_system_is_named() -> None:
    assert set(TABLE) == set(GRIDS) == set(PRESETS) - {"v1-any"}
    assert all(preset.name == name and preset.about for name, preset in PRESETS.items())


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("size", [(1, 1), (37, 91), (640, 480), (300, 4000), (20_000, 1)])
def test_counts_are_the_tables(name: str, size: tuple[int, int]) -> None:
    layout = make_layout(size, PRESETS[name].spec)
    counts = tuple(layout.count(level) for level in LEVELS)
    assert (*counts, layout.num_kept, layout.num_image_tokens) == TABLE[name]


@pytest.mark.parametrize("name", TABLE)
def test_counts_are_known_without_an_image(name: str) -> None:
    counts = level_counts(PRESETS[name].spec)
    assert counts is not None
    assert tuple(counts.values()) == TABLE[name][:3]


@pytest.mark.parametrize("name", GRIDS)
def test_grids_are_the_papers(name: str) -> None:
    spec = PRESETS[name].spec
    written = tuple([(cols, rows) for rows, cols in level.grids] if level else [] for level in (spec.mid, spec.high))
    assert written == GRIDS[name]
    assert spec.low is not None and spec.low.grids == ((1, 1),)


def test_v1_joins_the_grids_that_divide_evenly() -> None:
    spec = PRESETS["v1-high48"].spec
    assert spec.partners is not None
    written = {mid[::-1]: [high[::-1] for high in highs] for mid, highs in spec.partners}
    assert written == {(2, 2): [(6, 8), (8, 6)], (1, 4): [(4, 12)], (4, 1): [(12, 4)]}


def test_v2_high_is_mid_times_three() -> None:
    for name in ("v2", "v2-released"):
        for mid, high in PRESETS[name].spec.pairs():
            assert mid is not None and high == (mid[0] * 3, mid[1] * 3)


@pytest.mark.parametrize(
    ("name", "policy", "scope", "keep"),
    [
        ("v1", "similarity", "region", 3),
        ("v1-global", "similarity", "image", 12),
        ("v1-paper", "similarity", "region", 3),
        ("v1-high16", "similarity", "region", 3),
        ("v1-high48", "similarity", "region", 3),
        ("v1-released", "similarity", "region", 3),
    ],
)
def test_keep_rules(name: str, policy: str, scope: str, keep: int) -> None:
    rule = PRESETS[name].spec.selection
    assert (rule.policy, rule.scope, rule.keep) == (policy, scope, keep)


def test_only_the_released_presets_have_released_rules() -> None:
    for name, preset in PRESETS.items():
        released = name.endswith("-released")
        assert preset.released == released
        own = "resolution" if name == "v1-any" else "aspect"
        assert preset.spec.grid_rule == ("released" if released else own)
        assert preset.spec.regions == ("raster" if name in ("v1-released", "v1-paper") else "spatial")
        assert preset.spec.fit == "stretch"


def test_v1_any_is_v1_that_chooses_before_the_tower_from_a_grid_that_grows() -> None:
    spec, rule = PRESETS["v1-any"].spec, PRESETS["v1-any"].spec.selection
    assert spec.with_changes(grid_rule="aspect", selection=PRESETS["v1"].spec.selection) == PRESETS["v1"].spec
    assert (rule.policy, rule.scope, rule.keep, rule.early) == ("residual", "image", 12, True)
    assert level_counts(spec) == {"low": 1, "mid": 4, "high": 12}  # what is encoded, of any image
    assert spec.max_enlargement is None


@pytest.mark.parametrize(
    ("size", "mid", "high"),
    [
        ((1, 1), (2, 2), (4, 6)),
        ((640, 480), (2, 2), (6, 4)),
        ((896, 896), (2, 2), (4, 6)),
        ((897, 1344), (2, 2), (6, 6)),  # a pixel more than four sub-images high
        ((1000, 1000), (2, 2), (6, 6)),
        ((8192, 8192), (2, 2), (38, 38)),
        ((4320, 7680), (2, 2), (20, 36)),
        ((672, 1793), (1, 4), (3, 12)),
        ((400, 20_000), (1, 4), (3, 64)),
        ((20_000, 400), (4, 1), (64, 3)),
        ((100_000, 100_000), (2, 2), (64, 64)),
    ],
)
def test_v1_any_by_hand(size: tuple[int, int], mid: tuple[int, int], high: tuple[int, int]) -> None:
    assert choose_grids(size, PRESETS["v1-any"].spec) == (mid, high)


def test_v1_to_the_letter_of_equation_2_is_v1_but_for_its_regions() -> None:
    letter, v1 = PRESETS["v1-paper"].spec, PRESETS["v1"].spec
    assert letter.with_changes(regions="spatial") == v1 != letter
    for size in ((300, 400), (400, 300), (100, 500), (500, 100)):
        layout = make_layout(size, letter)
        s = len(layout.regions) // 4  # the paper's s = (x^h x y^h) / (x^m x y^m)
        assert layout.regions == tuple(i for i in range(4) for _ in range(s * i, s * (i + 1)))
        assert layout.boxes == make_layout(size, v1).boxes


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_in_v1_each_level_by_itself_takes_the_grid_closest_to_the_image(height: int, width: int) -> None:
    """The paper chooses for each level; partners only break no choice, so the letter and v1 share their grids."""

    def closest(grids: tuple[tuple[int, int], ...]) -> tuple[int, int]:
        def distance(grid: tuple[int, int]) -> Fraction:
            ratio = Fraction(width * grid[0], height * grid[1])
            return max(ratio, 1 / ratio)  # orders as |log ratio| does

        return min(grids, key=distance)

    spec = PRESETS["v1-paper"].spec
    assert spec.mid is not None and spec.high is not None
    assert choose_grids((height, width), spec) == (closest(spec.mid.grids), closest(spec.high.grids))


def test_towers() -> None:
    for name, preset in PRESETS.items():
        geometry = (preset.tower, preset.spec.resolution, preset.spec.patch_size, preset.spec.num_prefix_tokens)
        large = name.startswith("v2")
        assert geometry == (
            ("openai/clip-vit-large-patch14-336", 336, 14, 1) if large else ("openai/clip-vit-base-patch32", 224, 32, 1)
        )
        pools = {level.pool for level in (preset.spec.mid, preset.spec.high) if level}
        assert pools <= ({4} if large else {1})


def test_the_tower_tells_which_released_system_it_is() -> None:
    for (resolution, patch_size), name in RELEASED_BY_TOWER.items():
        spec: EncoderSpec = PRESETS[name].spec
        assert (spec.resolution, spec.patch_size) == (resolution, patch_size)
        assert PRESETS[name].released


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    assert get_preset("v2") is PRESETS["v2"]
    with pytest.raises(ValueError, match=r"unknown preset: 'v1-globl' is not one of: .*; did you mean 'v1-global'\?"):
        get_preset("v1-globl")
