"""What an encoder configuration may say."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from dragonfly.vision.layout import make_layout
from dragonfly.vision.presets import get_preset
from dragonfly.vision.selection_spec import SelectionSpec
from dragonfly.vision.spec import EncoderSpec, LevelSpec
from tests.vision.cases import SPECS, V1, V2

BASE: dict[str, Any] = {"resolution": 224, "patch_size": 32}
MID, HIGH = LevelSpec(grids=((2, 2),)), LevelSpec(grids=((4, 6),))
ANY = SPECS["v1-any"]


@pytest.mark.parametrize("name", SPECS)
def test_json_and_yaml_give_back_an_equal_spec(name: str) -> None:
    spec = SPECS[name]
    data = spec.to_dict()
    through_json = json.loads(json.dumps(data))
    assert through_json == data  # lists, not tuples: what is written is what is read
    assert EncoderSpec.from_dict(through_json) == spec
    assert EncoderSpec.from_dict(yaml.safe_load(yaml.safe_dump(data))) == spec
    assert hash(EncoderSpec.from_dict(data)) == hash(spec)


def test_a_partial_dictionary_takes_the_defaults() -> None:
    spec = EncoderSpec.from_dict({**BASE, "mid": {"grids": [[2, 2], [1, 4]]}, "selection": {"seed": 3}})
    assert spec == EncoderSpec(
        resolution=224, patch_size=32, mid=LevelSpec(grids=((2, 2), (1, 4)), pool=1), selection=SelectionSpec(seed=3)
    )
    assert spec.low == LevelSpec(grids=((1, 1),))
    assert EncoderSpec.from_dict({**BASE, "low": None, "mid": {"grids": [[2, 2]]}}).low is None


def test_reading_leaves_the_dictionary_alone() -> None:
    data = V2.to_dict()
    before = json.dumps(data)
    EncoderSpec.from_dict(data)
    assert json.dumps(data) == before


def test_a_spec_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        V1.resolution = 336  # pyright: ignore[reportAttributeAccessIssue]


def test_counts_by_hand() -> None:
    assert (V1.patch_side, V1.tokens("low"), V1.tokens("high")) == (7, 50, 50)
    assert (V2.patch_side, V2.tokens("low"), V2.tokens("mid"), V2.tokens("high")) == (24, 577, 37, 37)
    siglip = SPECS["siglip"]
    assert (siglip.patch_side, siglip.tokens("low"), siglip.tokens("mid")) == (24, 576, 36)
    so400m = V1.with_changes(resolution=384, patch_size=14, num_prefix_tokens=0)  # 27 patches take 378 of 384 pixels
    assert (so400m.patch_side, so400m.tokens("low")) == (27, 729)
    assert V1.num_kept_high(4, 24) == 12
    assert SPECS["v1-global"].num_kept_high(4, 24) == 12
    assert V1.num_kept_high(4, 0) == 0
    assert V2.num_kept_high(4, 36) == 36
    assert SPECS["high-only"].num_kept_high(0, 24) == 5
    assert (V1.selects, V2.selects, SPECS["low-only"].selects) == (True, False, False)


def test_pairs_are_the_partners_or_every_combination() -> None:
    assert V1.pairs() == [((2, 2), (4, 6)), ((2, 2), (6, 4)), ((4, 1), (8, 3)), ((1, 4), (3, 8))]
    assert len(SPECS["v1-released"].pairs()) == 3 * 6
    assert SPECS["low-only"].pairs() == [(None, None)]


def test_another_keep_rule() -> None:
    changed = V1.with_selection(policy="random", seed=5)
    assert changed.selection == SelectionSpec(policy="random", scope="region", keep=3, seed=5)
    assert changed.with_changes(selection=V1.selection) == V1


def test_levels_can_be_left_out() -> None:
    for name in ("low", "mid"):
        assert V2.with_changes(**{name: None}, partners=None if name == "mid" else V2.partners).level(name) is None  # pyright: ignore
    assert V2.with_changes(high=None, partners=None).level("high") is None
    with pytest.raises(ValueError, match="at least one of the levels low, mid, high; all three are missing"):
        EncoderSpec(resolution=224, patch_size=32, low=None)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({"resolutoin": 3}, r"encoder key 'resolutoin' is not one of: .*; did you mean 'resolution'\?"),
        ({"mid": {"grid": [[2, 2]]}}, r"encoder\.mid key 'grid' is not one of: grids, pool; did you mean 'grids'\?"),
        ({"selection": {"kep": 3}}, r"encoder\.selection key 'kep' is not one of: .*; did you mean 'keep'\?"),
        ({"selection": {"policy": "similar", "keep": 1}}, r"selection\.policy 'similar' is not one .* mean 'similarity'\?"),
        ({"selection": {"scope": "page"}}, r"selection\.scope 'page' is not one of: region, image"),
        ({"selection": {"policy": "detail", "keep": 1, "order": "best"}}, r"order 'best' is not one of: place, score"),
        ({"selection": {"policy": "residual", "keep": 1, "order": "score"}}, r"after the vision tower, and 'residual' does not"),
        ({"selection": {"order": "score"}}, r"after the vision tower, and 'all' does not; use order=place, or one of similarity"),
        (
            {"selection": {"policy": "detail", "keep": 1, "context": "row"}},
            r"context 'row' belongs to policy 'question', got 'detail'",
        ),
        (
            {"selection": {"policy": "question", "keep": 1, "context": "rows"}},
            r"selection\.context 'rows' is not one of: none, row, patches",
        ),
        ({"grid_rule": "aspects"}, r"grid_rule 'aspects' is not one of: aspect, released, resolution; did you mean 'aspect'\?"),
        ({"regions": "spacial"}, r"regions 'spacial' is not one of: spatial, raster; did you mean 'spatial'\?"),
        ({"fit": "padding"}, r"fit 'padding' is not one of: stretch, pad; did you mean 'pad'\?"),
        ({"mid": {"pool": 7}}, r"encoder\.mid lacks 'grids'; it has pool"),
        ({"mid": {"grids": []}}, r"grids must be \(rows, cols\) of at least 1 each, got \[\]"),
        ({"mid": {"grids": [[0, 2]]}}, r"grids must be \(rows, cols\) of at least 1 each, got \[\(0, 2\)\]"),
        ({"mid": {"grids": [[2, 2]], "pool": 4}}, r"mid\.pool 4 does not divide the 7 x 7 patch grid; use one of \[1, 7\]"),
        ({"low": {"grids": [[1, 1]], "pool": 0}}, r"low\.pool 0 does not divide the 7 x 7 patch grid"),
        ({"low": {"grids": [[1, 1], [2, 2]]}}, r"low is one view and takes one grid, got \[\(1, 1\), \(2, 2\)\]"),
        ({"patch_size": 225}, r"patch_size 225 is more than resolution 224"),
        ({"patch_size": 0}, r"must be at least 1 and num_prefix_tokens at least 0, got 224, 0 and 1"),
        ({"num_prefix_tokens": -1}, r"must be at least 1 and num_prefix_tokens at least 0, got 224, 32 and -1"),
        ({"max_enlargement": 0.0}, r"max_enlargement must be positive and needs a low level"),
        ({"max_enlargement": 2.0, "low": None, "mid": {"grids": [[2, 2]]}}, r"which is never left out; got 2\.0 without low"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_right(data: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as caught:
        EncoderSpec.from_dict({**BASE, **data})
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="encoder lacks 'patch_size'; it has resolution"):
        EncoderSpec.from_dict({"resolution": 224})
    with pytest.raises(ValueError, match="encoder lacks 'resolution'; it has nothing"):
        EncoderSpec.from_dict({})


def test_selection_changes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"selection key 'policies' is not one of: .*; did you mean 'policy'\?"):
        V1.with_selection(policies="random")
    with pytest.raises(ValueError, match=r"selection\.keep must be at least 1 for policy 'random', got 0"):
        V1.with_selection(policy="random", keep=0)


@pytest.mark.parametrize(
    ("name", "changes", "fault"),
    [
        ("v1", {"keep": 7}, "selection.keep 7 is more than the 6 of each region"),
        ("v1-high16", {"keep": 5}, "selection.keep 5 is more than the 4 of each region"),
        ("v1-global", {"keep": 25}, "selection.keep 25 is more than the 24 of each image"),
        ("high-only", {"keep": 25}, "selection.keep 25 is more than the 24 of each region"),
        ("v1-released", {"keep": 7}, "selection.keep 7 is more than the 6 of each region"),
        ("no-mid", {"policy": "similarity"}, "'similarity' compares high with mid sub-images, and there is no mid level"),
        ("no-mid", {"policy": "centred"}, "'centred' compares high with mid sub-images, and there is no mid level"),
    ],
)
def test_a_keep_rule_that_cannot_be_met_is_refused(name: str, changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        SPECS[name].with_selection(**changes)


def test_the_largest_keep_rule_is_accepted() -> None:
    assert V1.with_selection(keep=6).num_kept_high(4, 24) == 24
    assert SPECS["v1-global"].with_selection(keep=24).num_kept_high(4, 24) == 24


def test_grids_without_equal_regions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"high grid \(3, 6\) does not divide evenly among the regions of mid grid \(2, 2\)"):
        EncoderSpec(resolution=224, patch_size=32, mid=MID, high=LevelSpec(grids=((3, 6),)))
    with pytest.raises(ValueError, match=r"the 18 sub-images of \(3, 6\) do not split into 4 equal runs"):
        EncoderSpec(resolution=224, patch_size=32, mid=MID, high=LevelSpec(grids=((3, 6),)), regions="raster")
    with pytest.raises(ValueError, match="does not divide evenly"):  # free choice must work for every pair
        EncoderSpec(resolution=224, patch_size=32, mid=LevelSpec(grids=((2, 2), (1, 4))), high=HIGH)
    assert (
        EncoderSpec(resolution=224, patch_size=32, mid=LevelSpec(grids=((2, 2), (1, 4))), high=HIGH, regions="raster").selects
        is False
    )


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"mid": None}, "partners need both a mid and a high level"),
        ({"high": None}, "partners need both a mid and a high level"),
        (
            {"mid": LevelSpec(grids=((2, 2), (1, 4)))},
            r"partners and mid\.grids must name the same grids; only one of them has \[\(1, 4\)\]",
        ),
        ({"high": LevelSpec(grids=((4, 6), (6, 4)))}, r"partners and high\.grids .* has \[\(6, 4\)\]"),
        ({"partners": (((2, 2), ((4, 6),)), ((2, 2), ((4, 6),)))}, "partners must name each mid grid once"),
        ({"partners": (((2, 2), ((4, 6),)), ((1, 4), ()))}, r"partners and mid\.grids"),
        (
            {"mid": LevelSpec(grids=((2, 2), (1, 4))), "partners": (((2, 2), ((4, 6),)), ((1, 4), ()))},
            "with at least one high grid",
        ),
    ],
)
def test_partners_must_fit_the_levels(changes: dict[str, Any], fault: str) -> None:
    fitting = EncoderSpec(resolution=224, patch_size=32, mid=MID, high=HIGH, partners=(((2, 2), ((4, 6),)),))
    with pytest.raises(ValueError, match=fault):
        fitting.with_changes(**changes)


def test_padding_needs_one_factor_both_ways() -> None:
    """Otherwise mid and high would be padded differently and a region would not lie under its sub-images."""
    with pytest.raises(ValueError, match=r"times one factor both ways; \(4, 6\) is not of \(2, 2\)"):
        V1.with_changes(fit="pad")
    with pytest.raises(ValueError, match=r"times one factor both ways; \(4, 6\) is not of \(1, 4\)"):
        EncoderSpec(resolution=224, patch_size=32, mid=LevelSpec(grids=((1, 4),)), high=HIGH, regions="raster", fit="pad")
    assert V2.with_changes(fit="pad").fit == "pad"


def test_changes_join_a_part_of_the_keep_rule_and_leave_the_rest():
    spec = EncoderSpec.from_dict(get_preset("v1").spec.to_dict())
    other = spec.changed({"max_enlargement": 2.0, "selection": {"policy": "detail"}})
    assert (other.max_enlargement, other.selection.policy, other.selection.keep) == (2.0, "detail", spec.selection.keep)
    assert spec.changed({}) == spec and other.partners == spec.partners


def test_a_keep_rule_without_a_high_level_is_refused():
    with pytest.raises(ValueError, match="no high level, so there is nothing to select"):
        get_preset("low-only").spec.changed({"selection": {"policy": "detail", "keep": 1}})


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({"scope": "region", "min_per_region": 1}, r"selection.min_per_region 1 belongs to selection.scope 'image'; under"),
        ({"diversity": 1.5}, r"selection.diversity 0 to 1 .* got 0, 1.5 and 0"),
        ({"pooled_remainder": 2}, r"selection.pooled_remainder one of 0, 1, 4, 9; got 0, 0.0 and 2"),
        ({"min_per_region": -1}, r"selection.min_per_region must be at least 0"),
        (
            {"policy": "random", "pooled_remainder": 4},
            r"selection.pooled_remainder 4 needs the tokens .* and policy 'random' drops",
        ),
        ({"policy": "residual", "diversity": 0.5}, r"selection.diversity 0.5 .* use diversity=0, or one of similarity, centred"),
        (
            {"scope": "image", "keep": 12, "min_per_region": 4},
            r"selection.min_per_region 4 of each of 4 regions of 6 sub-images does not fit",
        ),
        (
            {"scope": "image", "keep": 24, "min_per_region": 7},
            r"selection.min_per_region 7 of each of 4 regions of 6 sub-images does not fit",
        ),
    ],
)
def test_what_a_keep_rule_cannot_mean(rule: dict[str, object], fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as caught:
        V1.with_selection(**rule)
    assert "\n" not in str(caught.value)


def test_all_ignores_what_it_has_no_use_for() -> None:
    changed = V1.with_selection(scope="image", keep=12, min_per_region=2, pooled_remainder=4, diversity=0.5).with_selection(
        policy="all"
    )
    assert make_layout((64, 64), changed).num_pooled_remainders == 0


@pytest.mark.parametrize(
    ("rule", "groups", "tokens"),
    [
        ({"pooled_remainder": 4}, 4, 4),
        ({"pooled_remainder": 9, "keep": 6}, 0, 0),
        ({"pooled_remainder": 9, "scope": "image", "keep": 12}, 1, 9),
        ({"pooled_remainder": 1, "scope": "image", "keep": 24}, 0, 0),
        ({}, 0, 0),
    ],
)
def test_remainders_are_counted_by_the_layout(rule: dict[str, object], groups: int, tokens: int) -> None:
    layout, plain = (make_layout((480, 640), V1.with_selection(**{**rule, **more})) for more in ({}, {"pooled_remainder": 0}))
    assert (layout.num_pooled_remainders, layout.pooled_remainder_tokens) == (groups, tokens)
    assert layout.token_counts == plain.token_counts + (tokens,) * groups
    assert layout.num_image_tokens == plain.num_image_tokens + groups * (tokens + 1)
    assert layout.num_kept == plain.num_kept


@pytest.mark.parametrize(
    "changes",
    [{"regions": "raster"}, {"fit": "pad", "partners": None, "mid": {"grids": [[2, 2]]}, "high": {"grids": [[4, 4]]}}],
)
def test_a_grid_that_follows_the_pixels_needs_regions_and_a_canvas_that_follow_it(changes: dict[str, Any]) -> None:
    EncoderSpec.from_dict({**V1.to_dict(), "selection": {}, **changes})  # possible where it does not
    with pytest.raises(ValueError, match=r"grid_rule 'resolution' .* needs regions 'spatial' and fit 'stretch'; got") as caught:
        EncoderSpec.from_dict({**ANY.to_dict(), **changes})
    assert "\n" not in str(caught.value)


def test_what_a_grid_that_follows_the_pixels_keeps_is_held_to_its_least_grid() -> None:
    with pytest.raises(ValueError, match=r"selection\.keep 25 is more than the 24 of each image"):
        ANY.with_selection(keep=25)
    assert ANY.with_selection(keep=24).num_kept_high(4, 64 * 64) == 24
    assert len(ANY.pairs()) == 8 and set(V1.pairs()) < set(ANY.pairs()) and ((2, 2), (64, 64)) in ANY.pairs()
    assert EncoderSpec.from_dict(ANY.to_dict()) == ANY


@pytest.mark.parametrize(
    ("selection", "named"),
    [
        ({"policy": "all"}, "4 mid, 24 high sub-images and 0 pooled remainders or 4 mid, 4096 high"),
        (
            {"policy": "similarity", "keep": 24, "pooled_remainder": 4},
            "24 high sub-images and 0 pooled remainders or .* 1 pooled",
        ),
    ],
)
def test_trimming_needs_as_many_tokens_of_every_grid(selection: dict[str, Any], named: str) -> None:
    assert ANY.with_changes(trim=True).trim
    with pytest.raises(ValueError, match=f"trim needs grids that all give as many tokens.*{named}"):
        ANY.with_selection(**selection).with_changes(trim=True)


def test_positions_are_level_row_and_column() -> None:
    layout = make_layout((400, 600), V1)
    assert layout.positions[:6] == ((0, 0, 0), (1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1), (2, 0, 0))
    assert layout.positions[-1] == (2, 3, 5) and len(layout.positions) == 29
    assert V1.largest_grid == (8, 8)


def test_a_policy_without_scores_takes_places_instead() -> None:
    """`--set model.selection.policy=random` is enough, whatever the model's own policy orders by."""
    spec = get_preset("v1").spec.with_selection(policy="question", scope="image", keep=2, order="score")
    assert spec.changed({"selection": {"policy": "random"}}).selection.order == "place"
    assert spec.changed({"selection": {"policy": "detail"}}).selection.order == "score"
    assert spec.changed({"selection": {"keep": 3}}).selection.order == "score"
    with pytest.raises(ValueError, match="'random' does not; use order=place"):
        spec.changed({"selection": {"policy": "random", "order": "score"}})


def test_another_policy_gives_up_a_questions_context() -> None:
    spec = get_preset("v1").spec.with_selection(policy="question", scope="image", keep=2, context="row")
    assert spec.changed({"selection": {"policy": "detail"}}).selection.context == "none"
    assert spec.changed({"selection": {"keep": 3}}).selection.context == "row"
    assert (spec.selection.seen_size(16), V1.selection.seen_size(16)) == (42, 16)
    assert spec.with_selection(context="patches").selection.seen_size(16) == 4 * (16 + 2) + 10
