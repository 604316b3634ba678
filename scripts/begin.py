"""Write the model that a recipe begins from, before any step: its encoder, the checkpoint's weights, and what is new.

python scripts/begin.py nano/full build/nano/begun init_from.checkpoint=build/nano/close
"""

from __future__ import annotations

import sys
from pathlib import Path

from dragonfly.models.origin import write_origin
from dragonfly.research.curriculum import HOOKS
from dragonfly.training import Recipe
from dragonfly.training.build import build_model, build_processor

if __name__ == "__main__":
    recipe = Recipe.load(sys.argv[1], sys.argv[3:], hooks=HOOKS)
    processor = build_processor(recipe)
    build_model(recipe, processor).save_pretrained(sys.argv[2])
    processor.save_pretrained(sys.argv[2])
    write_origin(Path(sys.argv[2]), {"begun_from": recipe.init_from.checkpoint, "for": recipe.name})
