# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""A tower that has read on, in a model whose language model knows the old one, which it is shown as nearly as a linear map can.

The projector is fitted anew by least squares, so that what it makes of the new tower's patches is what it made of the old one's.
Training goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

RIDGE = 1e-5
"""Ridge coefficient, relative to the mean of the Gram matrix's diagonal."""


@torch.no_grad()
def with_tower(model: Any, tower: Any, batches: Iterable[Tensor]) -> float:
    """Put `tower` into the model and fit its projector, in place.

    Args:
        model: with a projector that is one linear map.
        tower: of the same configuration as the model's.
        batches: sub-images (n, 3, R, R) as the image processor gives them.

    Returns:
        The share of the old projector's output that the new one explains, 1 for the same tower.
    """
    base = model.model
    old, projector = base.vision_tower, base.multi_modal_projector
    if not isinstance(projector, torch.nn.Linear):
        raise ValueError(f"the projector is a {type(projector).__name__}; a tower is exchanged under one linear map alone")
    width, out = projector.in_features + 1, projector.out_features
    gram, shown, squares, mean, rows = torch.zeros(width, width), torch.zeros(width, out), 0.0, torch.zeros(out), 0
    for batch in batches:
        wanted = projector(base.run_tower(batch).last_hidden_state).flatten(0, 1)
        base.vision_tower = tower
        tokens = base.run_tower(batch).last_hidden_state.flatten(0, 1)
        base.vision_tower = old
        tokens = torch.cat([tokens, torch.ones(len(tokens), 1)], dim=1)
        gram, shown = gram + tokens.T @ tokens, shown + tokens.T @ wanted
        squares, mean, rows = squares + float(wanted.square().sum()), mean + wanted.sum(dim=0), rows + len(wanted)
    matrix = torch.linalg.solve(gram + RIDGE * gram.diagonal().mean() * torch.eye(width), shown)
    missing = squares - 2 * float((matrix * shown).sum()) + float((matrix * (gram @ matrix)).sum())
    base.vision_tower = tower
    projector.weight.copy_(matrix[:-1].T)
    projector.bias.copy_(matrix[-1])
    return 1 - missing / (squares - float(mean.square().sum()) / rows)
