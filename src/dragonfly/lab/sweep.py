"""Accuracy and cost of one checkpoint under many encoders: a study without training.

Every combination of `vary` is an arm beside those written out. Knows only what `ablation` does not: that nothing is trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .ablation import run_study
from .jobs import Say
from .study import Study


def run_sweep(
    study: Study, out: Path, *, arm: str | None = None, minutes: float | None = None, say: Say = lambda _: None
) -> dict[str, Any]:
    """As `run_study`, for a study that trains nothing. ValueError for one that does."""
    if study.recipe is not None:
        raise ValueError(f"study '{study.name}' trains its arms; run it with `dragonfly ablate {study.name} -o DIR`")
    return run_study(study, out, arm=arm, minutes=minutes, say=say)


def run_ablation(study: Study, out: Path, **options: Any) -> dict[str, Any]:
    """As `run_study`, for a study that trains its arms. ValueError for one that does not."""
    if study.recipe is None:
        raise ValueError(f"study '{study.name}' trains nothing; run it with `dragonfly lab sweep {study.name} -o DIR`")
    return run_study(study, out, **options)
