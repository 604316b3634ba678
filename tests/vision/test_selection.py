"""Which high sub-images are kept: scores by hand; quotas, floors, ties and diversity against plain Python."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from torch import Tensor

from dragonfly.vision.layout import Box, make_layout
from dragonfly.vision.selection import (
    SelectionInputs,
    choose,
    choose_diverse,
    select,
    select_before_tower,
)
from dragonfly.vision.selection_spec import NEEDS, Policy, SelectionSpec
from dragonfly.vision.spec import EncoderSpec
from tests.vision.cases import RASTER_24, SPATIAL_24, SPECS, STATIC, V1

# Two regions of three high sub-images each, interleaved so that the order of regions is not the order of indices.
REGIONS = torch.tensor([[0, 1, 0, 1, 1, 0]])


def rule(policy: Policy, scope: str = "region", keep: int = 1, seed: int = 0) -> SelectionSpec:
    return SelectionSpec(policy=policy, scope=scope, keep=keep, seed=seed)  # pyright: ignore[reportArgumentType]


def kept(inputs: SelectionInputs, spec: SelectionSpec, regions: Tensor = REGIONS) -> list[int]:
    count = spec.keep * (len(set(regions[0].tolist())) if spec.scope == "region" else 1)
    return select(inputs, regions, spec, count).indices[0].tolist()


def rows(*vectors: tuple[float, ...]) -> Tensor:
    return torch.tensor([vectors])


MID = rows((1.0, 0.0), (0.0, 2.0))
HIGH = rows((3.0, 9.0), (9.0, 1.0), (2.0, 9.0), (0.0, 4.0), (5.0, 3.0), (7.0, 0.0))
# Against their own mid: 3, 2, 2, 8, 6, 7.  Against either: (3, 18), (9, 2), (2, 18), (0, 8), (5, 6), (7, 0).


# --- each policy by hand ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("keep", "expected"), [(1, [3, 5]), (2, [0, 3, 4, 5]), (3, [0, 1, 2, 3, 4, 5])])
def test_similarity_compares_each_sub_image_with_its_own_region(keep: int, expected: list[int]) -> None:
    chosen = select(SelectionInputs(MID, HIGH), REGIONS, rule("similarity", keep=keep), 2 * keep)
    assert chosen.scores.tolist() == [[3, 2, 2, 8, 6, 7]]
    assert chosen.indices.tolist() == [expected]


@pytest.mark.parametrize(("keep", "expected"), [(1, [0]), (2, [0, 2]), (3, [0, 1, 2]), (4, [0, 1, 2, 3]), (5, [0, 1, 2, 3, 5])])
def test_similarity_over_the_image_takes_the_best_of_all_mids(keep: int, expected: list[int]) -> None:
    chosen = select(SelectionInputs(MID, HIGH), REGIONS, rule("similarity", "image", keep), keep)
    assert chosen.scores.tolist() == [[18, 9, 18, 8, 6, 7]]
    assert chosen.indices.tolist() == [expected]


def test_what_is_held_comes_first_and_keeps_its_score() -> None:
    """The least of the image, then the best of the others; quotas count it, and scores stay as they are."""
    held = torch.tensor([[False, True, False, False, False, False]])
    inputs = SelectionInputs(MID, HIGH)
    chosen = select(inputs, REGIONS, rule("similarity", "image", 3), 3, held=held)
    assert chosen.indices.tolist() == [[0, 1, 2]] and chosen.scores.tolist() == [[18, 9, 18, 8, 6, 7]]
    assert select(inputs, REGIONS, rule("similarity"), 2, held=held).indices.tolist() == [[1, 5]]  # in place of its region's best
    last = select(inputs, REGIONS, rule("similarity", "image", 3).model_copy(update={"order": "score"}), 3, held=held)
    assert last.indices.tolist() == [[0, 2, 1]]


def test_similarity_is_a_plain_dot_product() -> None:
    """No norm: a long vector that points elsewhere beats a short one that points the same way."""
    inputs = SelectionInputs(rows((1.0, 0.0)), rows((1.0, 0.0), (2.0, 50.0)))
    assert kept(inputs, rule("similarity"), torch.tensor([[0, 0]])) == [1]


def test_centred_takes_the_shared_part_away_first() -> None:
    shared = torch.tensor([1.0, 1.0])
    inputs = SelectionInputs(MID, HIGH, mean_embedding=shared)
    chosen = select(inputs, REGIONS, rule("centred"), 2)
    # mid - 1: (0, -1), (-1, 1); high - 1: (2, 8), (8, 0), (1, 8), (-1, 3), (4, 2), (6, -1)
    assert chosen.scores.tolist() == [[-8, -8, -8, 4, -2, 1]]
    assert chosen.indices.tolist() == [[3, 5]]
    whole = select(inputs, REGIONS, rule("centred", "image", 2), 2)
    assert whole.scores.tolist() == [[6, 0, 7, 4, -2, 1]]
    assert whole.indices.tolist() == [[0, 2]]


def test_centred_on_nothing_is_similarity() -> None:
    inputs = SelectionInputs(MID, HIGH, mean_embedding=torch.zeros(2))
    assert torch.equal(select(inputs, REGIONS, rule("centred"), 2).scores, select(inputs, REGIONS, rule("similarity"), 2).scores)


def test_detail_is_the_variance_of_a_sub_images_tokens() -> None:
    patches = torch.tensor(
        [
            [
                [[0.0, 0.0], [0.0, 0.0]],
                [[100.0, 7.0], [100.0, 7.0]],  # bright but plain
                [[0.0, 0.0], [2.0, 4.0]],  # 1 and 4
                [[5.0, 0.0], [7.0, 0.0]],  # 1 and 0
                [[1.0, 1.0], [1.0, 3.0]],  # 0 and 1
                [[3.0, 0.0], [0.0, 0.0]],  # 2.25 and 0
            ]
        ]
    )
    inputs = SelectionInputs(high_patches=patches)
    chosen = select(inputs, REGIONS, rule("detail"), 2)
    assert chosen.scores.tolist() == [[0, 0, 2.5, 0.5, 0.5, 1.125]]
    assert chosen.indices.tolist() == [[2, 3]]
    assert kept(inputs, rule("detail", "image", 3)) == [2, 3, 5]


def test_oracle_takes_what_the_evidence_covers() -> None:
    boxes: list[Box] = [(10.0 * i, 0.0, 10.0 * i + 10, 10.0) for i in range(6)]
    evidence: list[Box] = [(8.0, 0.0, 23.0, 5.0), (50.0, 9.0, 90.0, 99.0)]
    inputs = SelectionInputs(boxes=[boxes], evidence=[evidence])
    chosen = select(inputs, REGIONS, rule("oracle"), 2)
    assert chosen.scores.tolist() == [[10, 50, 15, 0, 0, 10]]
    assert chosen.indices.tolist() == [[1, 2]]
    assert kept(inputs, rule("oracle", "image", 3)) == [0, 1, 2]
    assert kept(SelectionInputs(boxes=[boxes], evidence=[[]]), rule("oracle", "image", 2)) == [0, 1]
    touching: list[Box] = [(20.0, 0.0, 20.0, 10.0), (0.0, 10.0, 60.0, 12.0)]  # no area, and outside by a hair
    assert select(SelectionInputs(boxes=[boxes], evidence=[touching]), REGIONS, rule("oracle"), 2).scores.sum() == 0


def test_all_keeps_all() -> None:
    chosen = select(SelectionInputs(), REGIONS.expand(3, 6), SelectionSpec(), 6)
    assert chosen.indices.tolist() == [[0, 1, 2, 3, 4, 5]] * 3


# --- random ----------------------------------------------------------------------------------------------------------


def random_choice(checksums: list[int], seed: int = 0, keep: int = 3) -> list[list[int]]:
    regions = SPATIAL_24.expand(len(checksums), 24)
    return select(SelectionInputs(checksums=checksums), regions, rule("random", keep=keep, seed=seed), 4 * keep).indices.tolist()


def test_random_depends_on_image_and_seed_never_on_the_batch() -> None:
    alone = random_choice([7])[0]
    assert random_choice([1, 2, 7])[2] == random_choice([7, 7])[0] == random_choice([7, 7])[1] == alone
    others = [random_choice([7], seed)[0] for seed in range(1, 6)] + random_choice([8, 9, 10])
    assert all(other != alone for other in others)


def test_random_keeps_the_next_seed_and_the_next_checksum_apart() -> None:
    """Added up, seed 1 of one image would be seed 0 of the next, and a run over seeds would draw the same choices again."""
    for checksum in range(5, 10):
        for seed in range(1, 4):
            assert random_choice([checksum], seed) != random_choice([checksum + seed])
            assert random_choice([checksum], seed) != random_choice([checksum - seed])
            assert random_choice([checksum], seed) != random_choice([checksum ^ seed])


def test_random_is_even() -> None:
    """Each of 24 is kept with probability 1/2; 400 draws have a standard deviation of 10."""
    counts = Counter(index for choice in random_choice(list(range(400))) for index in choice)
    assert all(150 < counts[index] < 250 for index in range(24))


def test_random_takes_checksums_and_seeds_of_any_size() -> None:
    assert len(random_choice([2**32 - 1], seed=2**62)[0]) == 12
    assert random_choice([0], seed=-1) != random_choice([0], seed=1)


def test_keeping_a_whole_region_keeps_everything() -> None:
    inputs = SelectionInputs(torch.randn(2, 4, 8), torch.randn(2, 24, 8))
    for spec, count in ((rule("similarity", keep=6), 24), (rule("similarity", "image", 24), 24)):
        assert select(inputs, SPATIAL_24.expand(2, 24), spec, count).indices.tolist() == [list(range(24))] * 2


# --- any policy ------------------------------------------------------------------------------------------------------


def inputs_for(images: int, dtype: torch.dtype = torch.float32) -> SelectionInputs:
    generator = torch.Generator().manual_seed(3)
    layout = make_layout((100, 120), V1)
    return SelectionInputs(
        mid=torch.randn(images, 4, 32, generator=generator).to(dtype),
        high=torch.randn(images, 24, 32, generator=generator).to(dtype),
        high_patches=torch.randn(images, 24, 9, 32, generator=generator).to(dtype),
        mean_embedding=torch.randn(32, generator=generator),
        question=torch.randn(images, 32, generator=generator).to(dtype),
        boxes=[layout.level_boxes("high")] * images,
        positions=torch.tensor([layout.positions[5:]] * images)[..., 1:],
        residual=torch.rand(images, 24, generator=generator),
        evidence=[[(5.0 * i, 3.0 * i, 5.0 * i + 40, 3.0 * i + 30)] for i in range(images)],
        checksums=list(range(100, 100 + images)),
    )


def row(inputs: SelectionInputs, index: int) -> SelectionInputs:
    assert inputs.mid is not None and inputs.high is not None and inputs.high_patches is not None
    assert inputs.boxes is not None and inputs.evidence is not None and inputs.checksums is not None
    assert inputs.positions is not None and inputs.residual is not None
    one = slice(index, index + 1)
    return SelectionInputs(
        mid=inputs.mid[one],
        high=inputs.high[one],
        high_patches=inputs.high_patches[one],
        mean_embedding=inputs.mean_embedding,
        positions=inputs.positions[one],
        residual=inputs.residual[one],
        boxes=inputs.boxes[one],
        evidence=inputs.evidence[one],
        checksums=inputs.checksums[one],
        question=None if inputs.question is None else inputs.question[one],
    )


each_policy = pytest.mark.parametrize("policy", NEEDS)
each_scope = pytest.mark.parametrize("scope", ["region", "image"])


@each_policy
@each_scope
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_is_chosen_alone_as_in_a_batch(policy: Policy, scope: str, dtype: torch.dtype) -> None:
    inputs, regions = inputs_for(5, dtype), torch.cat([SPATIAL_24, RASTER_24]).repeat(3, 1)[:5]
    spec, count = rule(policy, scope, 3), 24 if policy == "all" else 12 if scope == "region" else 3
    batch = select(inputs, regions, spec, count)
    assert batch.scores.dtype == torch.float32
    assert batch.scores.shape == (5, 24) and batch.indices.shape == (5, count)
    for index in range(5):
        assert batch.indices[index].tolist() == sorted(set(batch.indices[index].tolist()))
        alone = select(row(inputs, index), regions[index : index + 1], spec, count)
        assert torch.equal(alone.scores[0], batch.scores[index])
        assert torch.equal(alone.indices[0], batch.indices[index])


@pytest.mark.parametrize("policy", ["similarity", "centred", "detail"])
@each_scope
def test_scores_keep_float32_under_autocast(policy: Policy, scope: str) -> None:
    """Rounding scores to bfloat16 changed the choice for one image in ten (docs/fidelity.md)."""
    inputs, spec = inputs_for(2), rule(policy, scope, 3)
    exact = select(inputs, SPATIAL_24.expand(2, 24), spec, 3).scores
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(select(inputs, SPATIAL_24.expand(2, 24), spec, 3).scores, exact)


def test_bfloat16_embeddings_are_multiplied_in_float32() -> None:
    """1 + 1/128 squared needs more digits than bfloat16 has."""
    value = torch.full((1, 1, 1), 1 + 2**-7, dtype=torch.bfloat16)
    chosen = select(SelectionInputs(value, value), torch.tensor([[0]]), rule("similarity"), 1)
    assert chosen.scores.item() == (1 + 2**-7) ** 2


@pytest.mark.parametrize(
    ("policy", "given_inputs", "fault"),
    [
        ("similarity", {}, r"policy 'similarity' needs the embeddings of mid and high sub-images \(mid, high\)"),
        ("similarity", {"high": HIGH}, r"policy 'similarity' needs the embeddings"),
        ("centred", {}, r"policy 'centred' needs the embeddings"),
        ("centred", {"mid": MID, "high": HIGH}, r"needs a mean embedding and this model has none; run `dragonfly lab calibrate`"),
        ("detail", {"mid": MID, "high": HIGH}, r"policy 'detail' needs the projected patch tokens .*\(high_patches\)"),
        ("uniform", {}, r"policy 'uniform' needs each high sub-image's row and column \(positions\)"),
        ("residual", {}, r"policy 'residual' needs the pixels that mid lacks \(residual\); the image processor makes them"),
        ("random", {}, r"policy 'random' needs one checksum per image \(checksums\); the image processor makes them"),
        ("oracle", {"boxes": [[]]}, r"policy 'oracle' needs the answer's boxes; pass evidence="),
    ],
)
def test_a_missing_input_is_named(policy: Policy, given_inputs: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as caught:
        select(SelectionInputs(**given_inputs), REGIONS, rule(policy), 2)
    assert "\n" not in str(caught.value)


def test_diversity_needs_embeddings() -> None:
    spec = SelectionSpec(policy="detail", scope="region", keep=1, diversity=0.5)
    with pytest.raises(ValueError, match=r"selection.diversity compares the embeddings of high sub-images \(high\)"):
        select(SelectionInputs(high_patches=torch.randn(1, 6, 2, 3)), REGIONS, spec, 2)


# A rounded sub-image embedding errs by at most 2^-8 of each factor, a product of two by 2^-7 of the sum of absolute products.
BFLOAT16_MARGIN = 2**-7


@pytest.mark.parametrize("policy", ["similarity", "centred"])
@pytest.mark.parametrize("seed", range(20))
def test_bfloat16_changes_a_choice_only_where_the_margin_is_small(policy: Policy, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mid, high = torch.randn(1, 4, 64, generator=generator), torch.randn(1, 24, 64, generator=generator)
    shared = torch.zeros(64)
    exact = select(SelectionInputs(mid, high, mean_embedding=shared), SPATIAL_24, rule(policy, "region", 3), 12)
    rounded = select(
        SelectionInputs(mid.bfloat16(), high.bfloat16(), mean_embedding=shared), SPATIAL_24, rule(policy, "region", 3), 12
    )
    own = mid[0, SPATIAL_24[0]]
    bound = BFLOAT16_MARGIN * (own * high[0]).abs().sum(dim=-1)
    assert ((exact.scores - rounded.scores).abs()[0] <= bound).all()
    for index in set(exact.indices[0].tolist()) ^ set(rounded.indices[0].tolist()):
        mates = [mate for mate in range(24) if SPATIAL_24[0, mate] == SPATIAL_24[0, index] and mate != index]
        gaps = [(exact.scores[0, mate] - exact.scores[0, index]).abs() - bound[mate] - bound[index] for mate in mates]
        assert min(gaps) <= 0


def test_every_policy_says_what_it_needs() -> None:
    before = [policy for policy in NEEDS if rule(policy).early]
    assert sorted(before) == ["oracle", "random", "residual", "uniform"]


# --- with layouts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in STATIC if SPECS[name].high])
@pytest.mark.parametrize("size", [(100, 100), (90, 1000), (1000, 90), (640, 480)])
def test_as_many_are_kept_as_the_layout_promised(name: str, size: tuple[int, int]) -> None:
    spec = SPECS[name]
    layout = make_layout(size, spec)
    high = len(layout.regions)
    generator = torch.Generator().manual_seed(1)
    inputs = SelectionInputs(
        torch.randn(2, max(layout.count("mid"), 1), 8, generator=generator),
        torch.randn(2, high, 8, generator=generator),
        torch.randn(2, high, 4, 8, generator=generator),
        positions=torch.tensor([layout.positions[len(layout.positions) - high :]] * 2).reshape(2, high, 3)[..., 1:],
    )
    chosen = select(inputs, torch.tensor([layout.regions] * 2), spec.selection, layout.num_kept_high)
    assert chosen.indices.shape == (2, layout.num_kept_high)
    if spec.selects and spec.selection.scope == "region":
        for indices in chosen.indices.tolist():
            per_region = Counter(layout.regions[index] for index in indices)
            assert set(per_region.values()) == {spec.selection.keep}


@pytest.mark.parametrize("policy", ["uniform", "random", "residual", "oracle"])
@each_scope
def test_before_the_tower_the_choice_is_the_same(policy: Policy, scope: str) -> None:
    spec = V1.with_selection(policy=policy, scope=scope, keep=3)
    layout = make_layout((100, 160), spec)
    evidence: list[Box] = [(70.0, 20.0, 130.0, 90.0)]
    lacking = torch.arange(24.0).sin()
    early = select_before_tower(layout, spec.selection, checksum=42, evidence=evidence, residual=lacking)
    inputs = SelectionInputs(
        boxes=[layout.level_boxes("high")],
        evidence=[evidence],
        checksums=[42],
        positions=torch.tensor([layout.positions[5:]])[..., 1:],
        residual=lacking[None],
    )
    late = select(inputs, torch.tensor([layout.regions]), spec.selection, layout.num_kept_high)
    assert list(early) == late.indices[0].tolist()
    assert len(early) == layout.num_kept_high


def test_before_the_tower_the_oracle_finds_the_evidence() -> None:
    spec = V1.with_selection(policy="oracle", scope="image", keep=2)
    layout = make_layout((400, 600), spec)  # 4 x 6 sub-images of 100 x 100 pixels
    assert select_before_tower(layout, spec.selection, evidence=[(250.0, 110.0, 330.0, 120.0)]) == (8, 9)


def test_without_a_high_level_nothing_is_chosen() -> None:
    spec: EncoderSpec = SPECS["v2-capped"].with_selection(policy="uniform", keep=3)
    assert select_before_tower(make_layout((5, 5), spec), spec.selection) == ()


def test_shape_annotations_are_executed() -> None:
    with pytest.raises(TypeCheckError):
        SelectionInputs(mid=torch.randn(2, 4, 8), high=torch.randn(3, 24, 8))
    with pytest.raises(TypeCheckError):
        select(SelectionInputs(MID, HIGH), REGIONS.float(), rule("similarity"), 2)
    with pytest.raises(TypeCheckError):
        select(SelectionInputs(MID, HIGH), REGIONS[0], rule("similarity"), 2)


# --- the best --------------------------------------------------------------------------------------------------------


def test_ties_go_to_the_lower_index() -> None:
    scores = torch.zeros(1, 24)
    assert choose(scores, SPATIAL_24, rule("similarity", keep=3), 12).tolist() == [[0, 1, 2, 3, 4, 5, 12, 13, 14, 15, 16, 17]]
    assert choose(scores, SPATIAL_24, rule("similarity", "image", 5), 5).tolist() == [[0, 1, 2, 3, 4]]
    scores[0, [5, 11, 23]] = 1.0
    assert choose(scores, SPATIAL_24, rule("similarity", "image", 5), 5).tolist() == [[0, 1, 5, 11, 23]]


@pytest.mark.parametrize("diversity", [0.0, 0.5])
def test_by_score_the_best_is_last(diversity: float) -> None:
    torch.manual_seed(0)
    inputs, regions = SelectionInputs(torch.randn(3, 4, 8), torch.randn(3, 24, 8)), SPATIAL_24.expand(3, 24)
    by_place = SelectionSpec(policy="similarity", scope="image", keep=7, diversity=diversity)
    by_score = SelectionSpec(policy="similarity", scope="image", keep=7, diversity=diversity, order="score")
    placed, scored = (select(inputs, regions, spec, 7) for spec in (by_place, by_score))
    assert torch.equal(scored.scores, placed.scores)
    for index in range(3):
        expected = sorted(placed.indices[index].tolist(), key=lambda one: (placed.scores[index, one].item(), one))
        assert scored.indices[index].tolist() == expected
    assert not torch.equal(placed.indices, scored.indices)  # the two do differ here


score_rows = st.lists(st.sampled_from([-2.0, -0.5, 0.0, 1.0, 3.0]), min_size=24, max_size=24)


@given(values=score_rows, regions=st.sampled_from([SPATIAL_24, RASTER_24]), keep=st.integers(1, 6))
@settings(max_examples=50, deadline=None)
def test_choosing_agrees_with_sorting_each_region_in_python(values: list[float], regions: Tensor, keep: int) -> None:
    of = regions[0].tolist()
    expected: list[int] = []
    for region in range(4):
        mates = [index for index in range(24) if of[index] == region]
        expected += sorted(mates, key=lambda index: (-values[index], index))[:keep]
    scores = torch.tensor([values])
    assert choose(scores, regions, rule("similarity", keep=keep), 4 * keep).tolist() == [sorted(expected)]
    whole = sorted(sorted(range(24), key=lambda index: (-values[index], index))[:keep])
    assert choose(scores, regions, rule("similarity", "image", keep), keep).tolist() == [whole]


def test_raster_and_spatial_regions_choose_differently() -> None:
    """The best twelve in the upper half of a 4 x 6 grid: raster runs are whole rows, spatial regions quarters."""
    scores = torch.arange(24.0).unsqueeze(0)
    spec = rule("similarity", keep=3)
    assert choose(scores, RASTER_24, spec, 12).tolist() == [[3, 4, 5, 9, 10, 11, 15, 16, 17, 21, 22, 23]]
    assert choose(scores, SPATIAL_24, spec, 12).tolist() == [[6, 7, 8, 9, 10, 11, 18, 19, 20, 21, 22, 23]]


# --- a least number per region ----------------------------------------------------------------------------------------------

LOPSIDED = torch.tensor([[9.0, 8.0, 7.0, 6.0, 1.0, 0.0]])
HALVES = torch.tensor([[0, 0, 0, 1, 1, 1]])


@pytest.mark.parametrize(
    ("keep", "min_per_region", "expected"),
    [
        (3, 0, [0, 1, 2]),
        (3, 1, [0, 1, 3]),
        (4, 1, [0, 1, 2, 3]),
        (4, 2, [0, 1, 3, 4]),
        (5, 2, [0, 1, 2, 3, 4]),
        (6, 3, list(range(6))),
    ],
)
def test_a_floor_gives_every_region_its_share(keep: int, min_per_region: int, expected: list[int]) -> None:
    spec = SelectionSpec(policy="similarity", scope="image", keep=keep, min_per_region=min_per_region)
    assert choose(LOPSIDED, HALVES, spec, keep).tolist() == [expected]


@given(values=score_rows, min_per_region=st.integers(0, 3), extra=st.integers(1, 9))
@settings(max_examples=50, deadline=None)
def test_a_floor_agrees_with_plain_python(values: list[float], min_per_region: int, extra: int) -> None:
    of, keep = SPATIAL_24[0].tolist(), 4 * min_per_region + extra
    order = sorted(range(24), key=lambda index: (-values[index], index))
    first = [index for region in range(4) for index in [i for i in order if of[i] == region][:min_per_region]]
    expected = sorted(first + [index for index in order if index not in first][:extra])
    spec = SelectionSpec(policy="similarity", scope="image", keep=keep, min_per_region=min_per_region)
    assert choose(torch.tensor([values]), SPATIAL_24, spec, keep).tolist() == [expected]


# --- diversity -------------------------------------------------------------------------------------------------------


def test_likeness_counts_against_a_sub_image() -> None:
    scores = torch.tensor([[4.0, 3.0, 2.0, 0.0]])  # stretched: 1, 0.75, 0.5, 0
    embeddings = torch.tensor([[[5.0, 1.0], [5.0, 1.0], [3.0, 1.0], [3.0, 1.0]]])  # around their mean: right, right, left, left
    one = torch.zeros(1, 4, dtype=torch.long)

    def kept(diversity: float, keep: int, regions: Tensor = one, scope: str = "image", min_per_region: int = 0) -> list[int]:
        spec = SelectionSpec(policy="similarity", scope=scope, keep=keep, min_per_region=min_per_region, diversity=diversity)  # pyright: ignore[reportArgumentType]
        count = keep * len(set(regions[0].tolist())) if scope == "region" else keep
        return choose_diverse(scores, embeddings, regions, spec, count)[0].tolist()

    # d = 0.5: first 0; then 1 has 0.375 - 0.5, 2 has 0.25 + 0.5, 3 has 0 + 0.5; then 1 has 0.375 - 0.5, 3 has 0 - 0.5.
    assert [kept(0.5, keep) for keep in (1, 2, 3, 4)] == [[0], [0, 2], [0, 1, 2], [0, 1, 2, 3]]
    assert kept(0.05, 2) == [0, 1]  # 0.7125 - 0.05 against 0.475 + 0.05
    assert kept(1.0, 2) == [0, 2]  # all tie at first: the lower index; then 2 and 3 tie
    halves = torch.tensor([[0, 1, 0, 1]])
    assert kept(0.5, 1, halves, "region") == [0, 3]  # 1 has 0.375 - 0.5, 3 has 0.5
    assert kept(0.5, 3, torch.tensor([[0, 0, 0, 1]]), min_per_region=1) == [0, 2, 3]


def marginal(values: list[float], embeddings: Tensor, of: list[int], spec: SelectionSpec, count: int) -> list[int]:
    """Maximal marginal relevance as its definition reads."""
    centred = embeddings - embeddings.mean(dim=0)
    unit = (centred / centred.norm(dim=1, keepdim=True)).tolist()
    low, top = min(values), max(values)
    gain = [(value - low) / (top - low) for value in values]
    kept: list[int] = []
    while len(kept) < count:
        own = Counter(of[index] for index in kept)
        lacking = {region: max(0, spec.min_per_region - own[region]) for region in set(of)}

        def free(index: int, own: Counter[int] = own, lacking: dict[int, int] = lacking) -> bool:
            if spec.scope == "region":
                return own[of[index]] < spec.keep
            return lacking[of[index]] > 0 or sum(lacking.values()) < count - len(kept)

        def value(index: int) -> float:
            like = max((math.fsum(a * b for a, b in zip(unit[index], unit[k], strict=True)) for k in kept), default=0.0)
            return (1 - spec.diversity) * gain[index] - spec.diversity * like

        left = [index for index in range(len(values)) if index not in kept and free(index)]
        kept.append(max(left, key=value))
    return sorted(kept)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("scope", "keep", "min_per_region"), [("region", 3, 0), ("image", 7, 0), ("image", 9, 2)])
@pytest.mark.parametrize("diversity", [0.2, 0.6, 1.0])
def test_diversity_is_maximal_marginal_relevance(seed: int, scope: str, keep: int, min_per_region: int, diversity: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores, embeddings = torch.randn(2, 24, generator=generator), torch.randn(2, 24, 5, generator=generator)
    spec = SelectionSpec(policy="centred", scope=scope, keep=keep, min_per_region=min_per_region, diversity=diversity)  # pyright: ignore[reportArgumentType]
    count = 12 if scope == "region" else keep
    chosen = choose_diverse(scores, embeddings, SPATIAL_24.expand(2, 24), spec, count)
    for row in range(2):
        assert chosen[row].tolist() == marginal(scores[row].tolist(), embeddings[row], SPATIAL_24[0].tolist(), spec, count)


@pytest.mark.parametrize(("scope", "keep", "min_per_region"), [("region", 3, 0), ("image", 7, 0), ("image", 9, 2)])
def test_almost_no_diversity_is_none(scope: str, keep: int, min_per_region: int) -> None:
    generator = torch.Generator().manual_seed(4)
    scores = torch.stack([torch.randperm(24, generator=generator) for _ in range(8)]).float()
    embeddings, regions = torch.randn(8, 24, 5, generator=generator), SPATIAL_24.expand(8, 24)
    spec = SelectionSpec(policy="centred", scope=scope, keep=keep, min_per_region=min_per_region, diversity=1e-5)  # pyright: ignore[reportArgumentType]
    count = 12 if scope == "region" else keep
    assert torch.equal(choose_diverse(scores, embeddings, regions, spec, count), choose(scores, regions, spec, count))


def test_alike_scores_and_alike_embeddings_still_choose() -> None:
    spec = SelectionSpec(policy="centred", scope="region", keep=3, diversity=0.5)
    chosen = choose_diverse(torch.zeros(1, 24), torch.ones(1, 24, 4), SPATIAL_24, spec, 12)
    assert chosen.tolist() == [[0, 1, 2, 3, 4, 5, 12, 13, 14, 15, 16, 17]]
