"""Policy `centred` while training: the mean embedding follows the embeddings, once per optimiser step.

The trainer opens `MeanEmbedding.observing` around each forward pass; this callback closes the step. Knows no data.
"""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from dragonfly.models.mean_embedding import MeanEmbedding


class Centring(TrainerCallback):
    """Commits what was observed when an optimiser step is done, before anything is saved."""

    def __init__(self, mean_embedding: MeanEmbedding) -> None:
        self.mean_embedding = mean_embedding

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.mean_embedding.commit()


def trained_mean(model: Any) -> MeanEmbedding | None:
    """A model's mean embedding, where it is to follow the training; an adapter leaves its base as it is."""
    return None if hasattr(model, "get_base_model") else getattr(getattr(model, "model", None), "mean_embedding", None)
