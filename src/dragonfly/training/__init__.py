"""Training: one recipe, one stage, one model directory. On transformers' Trainer, accelerate, DeepSpeed and PEFT.

Research and a user's own code add to it by `Hooks`: an `Objective` (what is learned), an `Initializer` (where a model begins).
"""

from .build import Initializer
from .lora import merge
from .objective import Objective, TrainingSetup
from .recipe import Hooks, Recipe, shipped_recipes
from .run import run

__all__ = ["Hooks", "Initializer", "Objective", "Recipe", "TrainingSetup", "merge", "run", "shipped_recipes"]
