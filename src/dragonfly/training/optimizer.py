"""AdamW's parameter groups: one per learning rate and decay. Norms and biases are never decayed."""

from __future__ import annotations

from typing import Any

from torch import nn

from .build import module_of
from .options import Optim


def parameter_groups(model: nn.Module, optim: Optim) -> list[dict[str, Any]]:
    """Every trained parameter of `model` in exactly one group, in a fixed order.

    A parameter takes the rate of the longest name in `learning_rates` that it lies in, else `learning_rate`. Matrices and
    embeddings are decayed; vectors (norms, biases) and scalars are not.
    """
    groups: dict[tuple[float, float], list[Any]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = optim.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((_rate(module_of(name), optim), decay), []).append(parameter)
    return [{"params": parameters, "lr": rate, "weight_decay": decay} for (rate, decay), parameters in groups.items()]


def _rate(name: str, optim: Optim) -> float:
    holders = [module for module in optim.learning_rates if f"{name}.".startswith(f"{module}.")]
    return optim.learning_rates[max(holders, key=len)] if holders else optim.learning_rate
