"""From scores to what is kept: quotas, floors, ties and diversity, by hand and against plain Python."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dragonfly.vision.selection import choose, choose_diverse
from dragonfly.vision.spec import Policy, SelectionSpec
from tests.vision.cases import RASTER_24, SPATIAL_24


def rule(policy: Policy, scope: str = "region", keep: int = 1, seed: int = 0) -> SelectionSpec:
    return SelectionSpec(policy=policy, scope=scope, keep=keep, seed=seed)  # pyright: ignore[reportArgumentType]


# --- the best --------------------------------------------------------------------------------------------------------


def test_ties_go_to_the_lower_index() -> None:
    scores = torch.zeros(1, 24)
    assert choose(scores, SPATIAL_24, rule("similarity", keep=3), 12).tolist() == [[0, 1, 2, 3, 4, 5, 12, 13, 14, 15, 16, 17]]
    assert choose(scores, SPATIAL_24, rule("similarity", "image", 5), 5).tolist() == [[0, 1, 2, 3, 4]]
    scores[0, [5, 11, 23]] = 1.0
    assert choose(scores, SPATIAL_24, rule("similarity", "image", 5), 5).tolist() == [[0, 1, 5, 11, 23]]


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
