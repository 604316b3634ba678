"""The two kinds of study, each with its own command: a sweep trains nothing, an ablation trains every variant.

A sweep asks one checkpoint under many encoders: every combination of `vary` is a variant, beside those written out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dragonfly.config import dump
from dragonfly.files import write_text

from .ablation import run_study
from .study import Study
from .trials import Say, plan, recipe_of


def run_sweep(
    study: Study, out: Path, *, variant: str | None = None, minutes: float | None = None, say: Say = lambda _: None
) -> dict[str, Any]:
    """As `run_study`, for a study that trains nothing. ValueError for one that does."""
    if study.recipe is not None:
        raise ValueError(f"study '{study.name}' trains its variants; run it with `dragonfly ablate {study.name} -o DIR`")
    return run_study(study, out, variant=variant, minutes=minutes, say=say)


def run_ablation(study: Study, out: Path, **options: Any) -> dict[str, Any]:
    """As `run_study`, for a study that trains its variants. ValueError for one that does not."""
    if study.recipe is None:
        raise ValueError(f"study '{study.name}' trains nothing; run it with `dragonfly lab sweep {study.name} -o DIR`")
    return run_study(study, out, **options)


def write_recipes(study: Study, out: Path) -> list[Path]:
    """Each unfinished variant's recipe as a file in its folder, for machines that train it with `dragonfly train` themselves.

    `run_ablation` takes what they wrote for trained. ValueError for a study that trains nothing.
    """
    if study.recipe is None:
        raise ValueError(f"study '{study.name}' trains nothing, so there is no recipe to write")
    known = plan(study, out)
    found: list[Path] = []
    for variant, seed in study.jobs():
        if not known.finished(variant, seed):
            found.append(known.folder(variant, seed) / "recipe.yaml")
            write_text(found[-1], dump(recipe_of(known, variant, seed)))
    return found
