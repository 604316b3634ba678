"""What a variant costs, from `planning`: tokens and FLOPs per question, and the steps that equal FLOPs allow.

Measures nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from dragonfly.data import ImageRef, image_size
from dragonfly.evaluation import Question
from dragonfly.models import DragonflyConfig
from dragonfly.planning import Cost, plan
from dragonfly.vision.layout import Size
from dragonfly.vision.spec import EncoderSpec

TYPICAL: Size = (768, 1024)


def image_sizes(questions: Iterable[Question]) -> list[Size]:
    """The distinct images' (height, width), one entry per image."""
    seen = dict.fromkeys(image for question in questions for image in question.images)
    return [image_size(ImageRef(path=one) if isinstance(one, str) else ImageRef(bytes=one)) for one in seen]


def per_question(config: DragonflyConfig, spec: EncoderSpec, sizes: Collection[Size], text_tokens: int) -> dict[str, float]:
    """Means over images: sub-images encoded, image tokens, GFLOPs of one question (tower, projector and prompt)."""
    plans = [_plan(config, spec, size, text_tokens) for size in sizes]
    flops = [(p.tower_flops or 0) + (p.projector_flops or 0) + (p.prefill_flops or 0) for p in plans]
    return {
        "encoded": round(sum(p.num_encoded for p in plans) / len(plans), 3),
        "image_tokens": round(sum(p.num_image_tokens for p in plans) / len(plans), 3),
        "gflops": round(sum(flops) / len(plans) / 1e9, 6),
    }


def steps_for(config: DragonflyConfig, reference: EncoderSpec, own: EncoderSpec, recipe: dict[str, Any], text_tokens: int) -> int:
    """Optimiser steps that cost a variant the FLOPs that the reference variant spends in the recipe's steps, at least 1."""
    if not recipe.get("steps"):
        raise ValueError("same: flops scales recipe.steps, and the recipe has none; give steps, not epochs")
    costs = [_training_flops(config, spec, recipe, text_tokens) for spec in (reference, own)]
    return max(1, round(int(recipe["steps"]) * costs[0] / costs[1]))


def _training_flops(config: DragonflyConfig, spec: EncoderSpec, recipe: dict[str, Any], text_tokens: int) -> float:
    """One image, forward and backward: three passes of what is trained, two of a frozen language model above it."""
    trained = {name.partition(".")[0] for name in recipe.get("trainable", ())}
    cost = _plan(config, spec, TYPICAL, text_tokens)
    tower = (3 if "vision_tower" in trained else 1) * (cost.tower_flops or 0)
    projector = (3 if "multi_modal_projector" in trained else 1) * (cost.projector_flops or 0)
    return tower + projector + (3 if trained & {"language_model", "lm_head"} else 2) * (cost.prefill_flops or 0)


def _plan(config: DragonflyConfig, spec: EncoderSpec, size: Size, text_tokens: int) -> Cost:
    return plan(spec, size, config.vision_config, config, text_tokens, config.num_tower_layers)
