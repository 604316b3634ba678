"""Mean pooling of patch tokens over square windows; prefix tokens (CLS) pass through untouched."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def mean_pool(
    tokens: Float[Tensor, "*batch tokens hidden"], num_prefix_tokens: int, window: int
) -> Float[Tensor, "*batch pooled hidden"]:
    """Average the patch tokens over `window` x `window` patches (v2, paper abstract of the second version).

    Args:
        tokens: prefix tokens, then the patch grid in raster order; the grid is square.
        num_prefix_tokens: how many leading tokens are not patches.
        window: side of the window in patches; divides the side of the patch grid. 1 returns the input.

    Returns:
        The prefix tokens, then the pooled grid in raster order.

    Raises:
        ValueError: if the patch tokens are no square or the window does not divide its side.
    """
    if window == 1:
        return tokens
    prefix, patches = tokens[..., :num_prefix_tokens, :], tokens[..., num_prefix_tokens:, :]
    *batch, count, hidden = patches.shape
    side = round(count**0.5)
    if side * side != count or side % window:
        raise ValueError(f"a window of {window} does not divide the patch grid of {count} tokens (side {count**0.5:g})")
    cells = side // window
    pooled = patches.reshape(*batch, cells, window, cells, window, hidden).mean(dim=(-4, -2)).flatten(-3, -2)
    return torch.cat([prefix, pooled], dim=-2)
