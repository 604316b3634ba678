"""Policy `centred` while training: the shared mean follows the summaries, once per optimiser step.

The trainer opens `SharedMean.observing` around each forward pass; this callback closes the step. Knows no data.
"""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from dragonfly.models.shared_mean import SharedMean


class Centring(TrainerCallback):
    """Commits what was observed when an optimiser step is done, before anything is saved."""

    def __init__(self, shared_mean: SharedMean) -> None:
        self.shared_mean = shared_mean

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.shared_mean.commit()


def trained_mean(model: Any) -> SharedMean | None:
    """A model's shared mean, where it is to follow the training; an adapter leaves its base as it is."""
    return None if hasattr(model, "get_base_model") else getattr(getattr(model, "model", None), "shared_mean", None)
