"""Muon for the matrices of layers, AdamW for all else, as one optimiser.

Muon (Jordan et al. 2024) turns a matrix's momentum into the nearest matrix of orthogonal directions, so that all of them are
learned at one rate. torch has it too, but in bfloat16 alone, which is very slow on a CPU without bfloat16 arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
STEPS = 5
COEFFICIENTS = (3.4445, -4.775, 2.0315)
"""Of the quintic iteration, as published with Muon: all singular values come to lie between about 0.7 and 1.2."""


def is_layer_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter is a matrix inside a list of layers: no embedding, head or projector."""
    return parameter.ndim == 2 and any(part.isdigit() for part in name.split("."))


class Muon(torch.optim.Optimizer):
    """Groups with `muon: True` hold matrices and take Muon's step; the others take AdamW's.

    Args:
        groups: parameter groups with lr, weight_decay and muon.
        betas, eps: AdamW's.
    """

    def __init__(self, groups: list[dict[str, Any]], betas: tuple[float, float], eps: float = 1e-8) -> None:
        rest = [group for group in groups if not group["muon"]]
        self._adamw = torch.optim.AdamW(rest, betas=betas, eps=eps) if rest else None
        matrices = [group for group in groups if group["muon"]]
        super().__init__([*matrices, *(self._adamw.param_groups if self._adamw else ())], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["muon"]:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._step(parameter, parameter.grad, group["lr"], group["weight_decay"])
        if self._adamw is not None:  # of the same groups and state, which loading a checkpoint replaces
            self._adamw.param_groups = [group for group in self.param_groups if not group["muon"]]
            self._adamw.state = self.state
            self._adamw.step()
        return loss

    def _step(self, parameter: Tensor, gradient: Tensor, rate: float, decay: float) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum: Tensor = state["momentum"]
        momentum.lerp_(gradient, 1 - MOMENTUM)
        ahead = gradient.lerp(momentum, MOMENTUM)
        rows, columns = parameter.shape
        parameter.mul_(1 - rate * decay)
        parameter.add_(orthogonal(ahead).to(parameter.dtype), alpha=-rate * max(1.0, rows / columns) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """A float32 matrix with the directions of `matrix` (rows, columns) and singular values near 1 (Newton-Schulz iteration)."""
    first, third, fifth = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).float()
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=third, alpha=fifth), x, beta=first)
    return x.T if tall else x
