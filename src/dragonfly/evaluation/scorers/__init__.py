"""Metrics over a whole task: what each question adds to a score, and how the sums become one."""

from .base import Metric, Reply, each, mean

__all__ = ["Metric", "Reply", "each", "mean"]
