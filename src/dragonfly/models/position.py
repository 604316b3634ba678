"""What a sub-image's level, row and column add to its tokens (`encoder.position: learned`)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dragonfly.vision.spec import LEVELS, Grid


class PositionEmbedding(nn.Module):
    """One vector per level, per row and per column, added up. All zero when new, so a new one changes nothing.

    Args:
        hidden: width of the language model's embeddings.
        grid: the most rows and columns of any grid.
    """

    def __init__(self, hidden: int, grid: Grid) -> None:
        super().__init__()
        self.starts = (0, len(LEVELS), len(LEVELS) + grid[0])
        self.weight = nn.Parameter(torch.zeros(len(LEVELS) + sum(grid), hidden))

    def forward(self, positions: Tensor) -> Tensor:
        """(..., 3) level, row and column of sub-images, from the layout -> (..., hidden)."""
        return self.weight[positions + positions.new_tensor(self.starts)].sum(dim=-2)
