"""Training: one recipe, one stage, one model directory. On transformers' Trainer, accelerate, DeepSpeed and PEFT."""

from .lora import merge
from .recipe import Recipe, shipped_recipes
from .run import run

__all__ = ["Recipe", "merge", "run", "shipped_recipes"]
