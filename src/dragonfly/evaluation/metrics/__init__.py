"""Metrics, one module per family: short answers, choices, captions, presence (hallucination), judged."""

from .base import Metric, Reply, each, mean

__all__ = ["Metric", "Reply", "each", "mean"]
