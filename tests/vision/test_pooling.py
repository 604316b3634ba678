"""Mean pooling of patch tokens."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from dragonfly.vision.pooling import mean_pool


def test_a_window_of_one_changes_nothing() -> None:
    tokens = torch.randn(2, 3, 50, 8)
    assert torch.equal(mean_pool(tokens, 1, 1), tokens)


def test_by_hand() -> None:
    """A 4 x 4 grid of 0 .. 15 in raster order behind a CLS of 100."""
    tokens = torch.tensor([100.0, *range(16)]).unsqueeze(-1)
    assert mean_pool(tokens, 1, 2).flatten().tolist() == [100.0, 2.5, 4.5, 10.5, 12.5]
    assert mean_pool(tokens, 1, 4).flatten().tolist() == [100.0, 7.5]
    assert mean_pool(tokens[1:], 0, 2).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


@pytest.mark.parametrize("window", [1, 2, 3, 4, 6, 8, 12, 24])
@pytest.mark.parametrize("prefix", [0, 1, 4])
def test_every_divisor_pools_the_squares_it_should(window: int, prefix: int) -> None:
    tokens = torch.randn(2, prefix + 576, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pooled = mean_pool(tokens, prefix, window)
    cells = 24 // window
    assert pooled.shape == (2, prefix + cells * cells, 5)
    assert torch.equal(pooled[:, :prefix], tokens[:, :prefix])
    grid = tokens[:, prefix:].reshape(2, 24, 24, 5)
    for row in range(cells):
        for col in range(cells):
            square = grid[:, row * window : (row + 1) * window, col * window : (col + 1) * window]
            torch.testing.assert_close(pooled[:, prefix + row * cells + col], square.mean(dim=(1, 2)))


def test_any_number_of_batch_dimensions() -> None:
    tokens = torch.randn(2, 3, 4, 17, 6)
    pooled = mean_pool(tokens, 1, 2)
    assert pooled.shape == (2, 3, 4, 5, 6)
    assert torch.equal(pooled[1, 2, 3], mean_pool(tokens[1, 2, 3], 1, 2))
    assert mean_pool(tokens[0, 0, 0], 1, 2).shape == (5, 6)


@given(side=st.integers(1, 6), window=st.integers(1, 4), prefix=st.integers(0, 2), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_pooling_and_a_linear_projector_commute(side: int, window: int, prefix: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(3, prefix + (side * window) ** 2, 16, generator=generator)
    projector = torch.nn.Linear(16, 24)
    with torch.no_grad():
        first_pooled = projector(mean_pool(tokens, prefix, window))
        first_projected = mean_pool(projector(tokens), prefix, window)
    torch.testing.assert_close(first_pooled, first_projected, rtol=1e-6, atol=1e-6)


def test_the_kind_of_number_stays() -> None:
    assert mean_pool(torch.randn(17, 4, dtype=torch.bfloat16), 1, 2).dtype == torch.bfloat16


def test_gradients_are_shared_equally() -> None:
    tokens = torch.randn(17, 1, requires_grad=True)
    mean_pool(tokens, 1, 2).sum().backward()
    assert tokens.grad is not None
    assert tokens.grad.flatten().tolist() == [1.0] + [0.25] * 16


@pytest.mark.parametrize(
    ("count", "prefix", "window", "fault"),
    [
        (50, 1, 2, r"a window of 2 does not divide the patch grid of 49 tokens \(side 7\)"),
        (50, 0, 5, r"a window of 5 does not divide the patch grid of 50 tokens \(side 7\.07107\)"),
        (17, 1, 8, r"a window of 8 does not divide the patch grid of 16 tokens \(side 4\)"),
    ],
)
def test_a_window_that_does_not_fit_is_refused(count: int, prefix: int, window: int, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        mean_pool(torch.randn(count, 4), prefix, window)


def test_shape_annotations_are_executed() -> None:
    with pytest.raises(TypeCheckError):
        mean_pool(torch.randn(16), 0, 2)
    with pytest.raises(TypeCheckError):
        mean_pool(torch.zeros(16, 4, dtype=torch.int64), 0, 2)
