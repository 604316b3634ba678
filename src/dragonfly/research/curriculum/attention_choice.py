"""The objective `attention_choice`: policy `question` learns where to look from where answers look.

Without evidence, a language model that is shown every high sub-image tells which of them it used: the attention that an answer
pays them is the target of the scores. Gradient reaches the query projection alone, beside the answers' own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from dragonfly.config import Config
from dragonfly.data import IGNORE_INDEX
from dragonfly.models.query_projection import evidence_losses
from dragonfly.training import Objective, Recipe, TrainingSetup
from dragonfly.training.modules import MODULES
from dragonfly.training.objective import answer_inputs, answer_setup
from dragonfly.vision.inputs import IMAGE_INPUTS
from dragonfly.vision.spec import EncoderSpec

from .attention_supervision import attention_faults

IMAGES = frozenset(one.name for one in IMAGE_INPUTS)


class AttentionChoice(Config):
    """`weight` of the choice's loss beside that of the answers."""

    name: Literal["attention_choice"] = "attention_choice"
    weight: float = Field(default=1.0, gt=0.0)


def attention_loss(
    scores: Sequence[Tensor],
    counts: Sequence[int],
    attentions: Sequence[Tensor],
    labels: Tensor,
    placeholders: Tensor,
    tokens: int,
) -> Tensor:
    """Cross-entropy of the scores against the attention that answers pay each high sub-image, over all layers and heads.

    Args:
        scores: (high,) of each image in order.
        counts: each image's number of placeholders, those of the high level last.
        attentions: of each layer (batch, heads, length, length).
        labels: (batch, length), -100 outside answers; the positions that predict an answer's tokens are asked.
        placeholders: (batch, length), where images stand.
        tokens: of a high sub-image.

    Returns:
        The mean over the images that got any attention.
    """
    with torch.no_grad():
        asking = (labels[:, 1:] != IGNORE_INDEX).unsqueeze(2)
        paid = sum((layer[:, :, :-1].float().mean(dim=1) * asking).sum(dim=1) for layer in attentions)
        each = torch.as_tensor(paid)[placeholders].split(list(counts))
    pairs = [
        evidence_losses(row[None], got[len(got) - len(row) * tokens :].unflatten(0, (len(row), tokens)).sum(dim=1)[None])
        for row, got in zip(scores, each, strict=True)
    ]
    losses, known = (torch.cat(values) for values in zip(*pairs, strict=True))
    return (losses * known).sum() / known.sum().clamp(min=1)


def _faults(recipe: Recipe) -> list[str]:
    return attention_faults(recipe, "objective 'attention_choice'")


def _check(spec: EncoderSpec) -> None:
    """ValueError where the language model would not see every high sub-image."""
    sizes = [[grid[0] * grid[1] if grid else 0 for grid in pair] for pair in spec.pairs()]
    if spec.selection.policy != "question" or any(spec.num_kept_high(mid, high) < high for mid, high in sizes):
        raise ValueError(
            "objective 'attention_choice' needs policy 'question' and every high sub-image before the language model, and "
            f"model.selection is policy '{spec.selection.policy}' with keep {spec.selection.keep} of each "
            f"{spec.selection.scope}; keep all while training, and fewer when the model is loaded (model.selection.keep)"
        )


def _inputs(model: Any, batch: Mapping[str, Any]) -> dict[str, Any]:
    """In training the images are encoded first, so that their scores are at hand, and attention is returned."""
    batch = answer_inputs(model, batch)
    if not model.training or "pixel_values" not in batch:
        return batch
    images = {key: value for key, value in batch.items() if key in IMAGES}
    features = model.get_image_features(**images, return_dict=True)
    rest = {key: value for key, value in batch.items() if key not in IMAGES}
    return {**rest, "mm_encoder_outputs": {"image": features}, "output_attentions": True}


def _loss(weight: float, image_token_id: int, tokens: int, outputs: Any, batch: Mapping[str, Any]) -> Tensor:
    if "mm_encoder_outputs" not in batch:
        return outputs.logits.new_zeros(())
    features = batch["mm_encoder_outputs"]["image"]
    chosen = features.selection if isinstance(features.selection, list) else [features.selection]
    scores = [row for selection in chosen for row in selection.scores]
    counts = [len(one) for one in features.pooler_output]
    return weight * attention_loss(
        scores, counts, outputs.attentions, batch["labels"], batch["input_ids"] == image_token_id, tokens
    )


def _build(recipe: Recipe, model: Any, processor: Any, rows: Any) -> TrainingSetup:
    options, spec = cast(AttentionChoice, recipe.objective), processor.image_processor.spec
    _check(spec)
    return replace(
        answer_setup(recipe, model, processor, rows),
        inputs=_inputs,
        extra_loss=partial(_loss, options.weight, processor.image_token_id, spec.tokens("high")),
    )


ATTENTION_CHOICE = Objective(AttentionChoice, frozenset(MODULES), _build, _faults, packs=True)
