"""Recipes that know the curriculum's objectives and initializers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dragonfly.research.curriculum import HOOKS
from dragonfly.training import Recipe
from dragonfly.training.recipe import with_hooks
from tests.training import small

CurriculumRecipe = with_hooks(HOOKS)


def recipe(folder: Path, **changes: Any) -> Recipe:
    """`small.recipe` with the curriculum's hooks."""
    return small.recipe(folder, CurriculumRecipe, **changes)
