"""Scores that a hand can compute, for the policies that look at places and pixels; the others are in test_selection."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from dragonfly.vision.layout import make_layout
from dragonfly.vision.scoring import SCORES, SelectionInputs, in_context, patch_scores
from dragonfly.vision.selection import select, select_before_tower
from dragonfly.vision.selection_spec import HEADS, NEEDS, PLACE, SelectionSpec
from dragonfly.vision.spec import Grid
from tests.vision.cases import V1


def positions(grid: Grid) -> Tensor:
    return torch.tensor([[divmod(index, grid[1]) for index in range(grid[0] * grid[1])]])


def uniform(grid: Grid, keep: int, regions: Tensor | None = None) -> list[int]:
    number = grid[0] * grid[1]
    spec = SelectionSpec(policy="uniform", scope="image" if regions is None else "region", keep=keep)
    regions = torch.zeros(1, number, dtype=torch.long) if regions is None else regions
    count = keep * len(set(regions[0].tolist()))
    return select(SelectionInputs(positions=positions(grid)), regions, spec, count).indices[0].tolist()


def test_every_policy_has_a_score() -> None:
    assert set(SCORES) == set(NEEDS)


def test_in_context_a_sub_image_is_seen_with_its_row_and_its_place() -> None:
    high = torch.tensor([[[5.0], [1.0], [2.0], [0.0]]])
    positions = torch.tensor([[[0, 0], [0, 1], [1, 0], [1, 1]]])
    seen = in_context(high, positions)
    torch.testing.assert_close(in_context(high, None), torch.tensor([[[3.0], [-1.0], [0.0], [-2.0]]]))  # without their mean, 2
    torch.testing.assert_close(seen[0, :, :2], torch.tensor([[3.0, 1.0], [-1.0, 1.0], [0.0, -1.0], [-2.0, -1.0]]))
    assert seen.shape[2] == SelectionSpec(policy="question", keep=1, context="row").seen_size(1)
    place = seen[0, :, 2:]
    torch.testing.assert_close(place[:, :2], torch.tensor([[-0.25, -0.25], [-0.25, 0.25], [0.25, -0.25], [0.25, 0.25]]))
    torch.testing.assert_close(place[:, 2], torch.tensor([1.0, 1.0, -1.0, -1.0]) * 0.5**0.5)  # half a turn's quarter: 45 degrees
    torch.testing.assert_close(place[:, 5], torch.zeros(4), atol=1e-6, rtol=0.0)  # two half turns: the same in both columns


def test_among_patches_by_hand() -> None:
    """Two columns, two rows, two patches of two numbers: what is asked for is in one patch of the sub-image at the top left."""
    patches = torch.zeros(1, 4, 2, 2)
    patches[0, 0, 1] = torch.tensor([3.0, 0.0])
    patches[0, 3, 0] = torch.tensor([0.0, 5.0])  # something else
    positions = torch.tensor([[[0, 0], [0, 1], [1, 0], [1, 1]]])
    vectors = torch.zeros(1, HEADS, 2)
    vectors[0, 2, 0] = 2**0.5
    weights = torch.zeros(1, 2 * HEADS)
    weights[0, 2], weights[0, HEADS + 2] = 2.0, 0.5  # of the sub-image itself, of its row
    found = math.log((math.e**3 + 1) / 2)
    nowhere = torch.cat([vectors.flatten(1), weights, torch.zeros(1, PLACE)], dim=1)
    torch.testing.assert_close(
        patch_scores(nowhere, patches, positions), torch.tensor([[2.5 * found, 0.5 * found, 0.0, 0.0]]), atol=1e-6, rtol=0.0
    )
    low = torch.cat([vectors.flatten(1) * 0, weights * 0, torch.nn.functional.one_hot(torch.tensor([0]), PLACE).float()], dim=1)
    torch.testing.assert_close(patch_scores(low, patches, positions), torch.tensor([[-0.25, -0.25, 0.25, 0.25]]))  # further down
    inputs = SelectionInputs(high_patches=patches, question=nowhere, positions=positions)
    spec = SelectionSpec(policy="question", keep=1, context="patches")
    assert nowhere.shape[1] == spec.seen_size(2)
    regions = torch.zeros(1, 4, dtype=torch.long)
    torch.testing.assert_close(SCORES["question"](inputs, regions, spec), patch_scores(nowhere, patches, positions))
    with pytest.raises(ValueError, match=r"'patches' needs the projected patch tokens of the high sub-images"):
        SCORES["question"](replace(inputs, high_patches=None), regions, spec)


def test_context_wants_places() -> None:
    inputs = SelectionInputs(high=torch.zeros(1, 2, 3), question=torch.zeros(1, 16))
    with pytest.raises(ValueError, match=r"selection\.context 'row' needs each high sub-image's row and column"):
        SCORES["question"](inputs, torch.zeros(1, 2, dtype=torch.long), SelectionSpec(policy="question", keep=1, context="row"))


@pytest.mark.parametrize(
    ("grid", "order"),
    [
        # Fractional parts of row x 0.7549 + column x 0.5698, counted from the middle.
        ((2, 2), [3, 1, 2, 0]),  # .675 .245 .430 .000
        ((1, 4), [2, 1, 3, 0]),  # .860 .430 .000 .570
        ((4, 1), [2, 1, 0, 3]),  # .490 .245 .000 .755
    ],
)
def test_uniform_takes_places_in_the_lattices_order(grid: Grid, order: list[int]) -> None:
    for keep in range(1, 5):
        assert uniform(grid, keep) == sorted(order[:keep])


def test_uniform_agrees_with_exact_fractions() -> None:
    root = Fraction(13247179572447460259609, 10**22)  # the plastic number, g^3 = g + 1
    assert abs(root**3 - root - 1) < Fraction(1, 10**20)
    for rows, cols in ((4, 6), (8, 3), (3, 12), (12, 4)):
        parts = [((r - rows // 2) / root + (c - cols // 2) / root**2) % 1 for r in range(rows) for c in range(cols)]
        order = sorted(range(rows * cols), key=parts.__getitem__)
        for keep in (1, 5, 12, 17):
            assert uniform((rows, cols), keep) == sorted(order[:keep])


@pytest.mark.parametrize("grid", [(4, 6), (6, 4), (3, 8), (8, 3), (6, 8)])
def test_half_of_a_grid_is_spread_over_rows_and_columns_alike(grid: Grid) -> None:
    """Every second in raster order would keep whole columns and leave out those between."""
    rows, cols = grid
    kept = uniform(grid, rows * cols // 2)
    by_row, by_col = Counter(index // cols for index in kept), Counter(index % cols for index in kept)
    assert max(by_row.values()) - min(by_row[row] for row in range(rows)) <= 2
    assert max(by_col.values()) - min(by_col[col] for col in range(cols)) <= 2
    places = {divmod(index, cols) for index in kept}
    for row, col in ((row, col) for row in range(rows) for col in range(cols)):
        assert places & {(row + y, col + x) for y in (-1, 0, 1) for x in (-1, 0, 1)}


def test_uniform_spreads_within_each_region() -> None:
    layout = make_layout((400, 600), V1)
    regions = torch.tensor([layout.regions])
    kept = uniform((4, 6), 3, regions)
    assert Counter(layout.regions[index] for index in kept) == dict.fromkeys(range(4), 3)
    spec = V1.with_selection(policy="uniform").selection
    assert list(select_before_tower(layout, spec)) == kept


def test_residual_keeps_what_mid_lacks() -> None:
    lacking = torch.tensor([[0.5, 9.0, 0.0, 3.0, 3.0, 2.0]])
    regions = torch.tensor([[0, 0, 0, 1, 1, 1]])
    inputs = SelectionInputs(residual=lacking)
    assert select(inputs, regions, SelectionSpec(policy="residual", scope="region", keep=1), 2).indices.tolist() == [[1, 3]]
    assert select(inputs, regions, SelectionSpec(policy="residual", scope="region", keep=2), 4).indices.tolist() == [[0, 1, 3, 4]]
    assert select(inputs, regions, SelectionSpec(policy="residual", scope="image", keep=2), 2).indices.tolist() == [[1, 3]]
    assert torch.equal(select(inputs, regions, SelectionSpec(policy="residual", scope="image", keep=2), 2).scores, lacking)
