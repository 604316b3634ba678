"""What a stage learns: for each objective the module that is trained, its examples and how they are batched.

`answer` trains the answers of conversations about images, `text` those of conversations without any, `patch_ocr` the tower
alone on marked images (`patch_labels`). Knows no optimiser and no files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dragonfly.data import Collator, Mixture
from dragonfly.models.connector import OPTIONAL

from . import patch_labels
from .attention_supervision import check_heads
from .metric_thresholds import answer_metrics, likeliest
from .patch_ocr_head import PatchOcrModel
from .recipe import Recipe
from .sources import encoded, load_rows
from .streaming import Stream


@dataclass(frozen=True)
class TrainingSetup:
    """What the trainer is given: the module that is trained, its examples (torch datasets), and how they are batched.

    `predictions` reduces a batch's outputs to what `metrics` compares with the labels.
    """

    module: nn.Module
    train: Any
    evaluation: Any
    collate: Callable[[Sequence[Any]], Mapping[str, Tensor]]
    predictions: Callable[[Any, Tensor], Tensor]
    metrics: Callable[[Any, Any], dict[str, float]]


def make_setup(recipe: Recipe, model: Any, processor: Any, rows: Mixture | Stream) -> TrainingSetup:
    """The recipe's objective on `rows`, those of the whole run in their order."""
    evaluation = load_rows(recipe.data.eval, recipe.data.max_bad_share, recipe.data.shared_prefix) if recipe.data.eval else None
    if recipe.objective == "patch_ocr" and isinstance(rows, Mixture):
        options = recipe.patch_ocr
        classes = patch_labels.find_classes(
            (sample for source in rows.sources.values() for sample in source), options.near, options.slots, options.bound
        )
        torch.manual_seed(recipe.seed)
        patch_ocr = PatchOcrModel(model.model.vision_tower, model.config.vision_config.hidden_size, classes, options.nothing)
        patch_ocr.begin_from(recipe.init_from.checkpoint)
        train = patch_labels.PatchDataset(rows, processor, classes, options)
        held_out = patch_labels.PatchDataset(evaluation, processor, classes, options) if evaluation else None
        return TrainingSetup(
            patch_ocr,
            train,
            held_out,
            patch_labels.collate,
            lambda outputs, _: patch_ocr.predictions(_first(outputs)),
            patch_ocr.metrics,
        )
    if recipe.attention_supervision is not None:
        check_heads(recipe.attention_supervision, model.config.get_text_config())
    answer_without_images(model)
    train = encoded(recipe, rows, processor) if isinstance(rows, Mixture) else rows
    held_out = encoded(recipe, evaluation, processor) if evaluation else None
    return TrainingSetup(model, train, held_out, Collator(processor.tokenizer.pad_token_id), likeliest, answer_metrics)


def _first(outputs: Any) -> Tensor:
    return outputs[0] if isinstance(outputs, tuple) else outputs


def answer_without_images(model: Any) -> None:
    """Let a batch without images send one zeroed sub-image through tower and projector, counted zero times.

    Otherwise a process whose batch is text only would leave parameters without gradients (or, where weights are sharded,
    not take part in gathering them), and all the others would wait for it for ever.
    """
    base = model.get_base_model().model if hasattr(model, "get_base_model") else model.model
    base.register_forward_pre_hook(_with_dummy, with_kwargs=True)


def _with_dummy(base: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    if kwargs.get("pixel_values") is not None or kwargs.get("input_ids") is None:
        return None
    side, device = base.spec.resolution, kwargs["input_ids"].device
    dummy = torch.zeros(1, 3, side, side, device=device)
    nothing = 0.0 * base.multi_modal_projector(base.encode(dummy)).float().mean()
    for name in OPTIONAL:
        for weight in getattr(base, name).parameters() if hasattr(base, name) else ():
            nothing = nothing + 0.0 * weight.float().mean()
    embeddings = base.get_input_embeddings()(kwargs["input_ids"])
    return args, {**kwargs, "input_ids": None, "inputs_embeds": embeddings + nothing.to(embeddings.dtype)}
