"""transformers' Trainer with the recipe's order of rows, learning rates, checkpoints and count of FLOPs. Nothing else.

Its loop, accumulation (`num_items_in_batch`: the loss is over all target tokens of a step, whatever its batches and
processes), mixed precision and distribution are used as they are.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Sampler
from transformers import Trainer, TrainingArguments

from .attention_supervision import attention_supervision_loss
from .checkpoints import clear_incomplete, complete, rotate
from .flops import Flops
from .mean_embedding_callback import Centring, trained_mean
from .optimizer import parameter_groups
from .options import AttentionSupervision
from .recipe import Recipe
from .sources import RunOrder, Sized


class StageTrainer(Trainer):
    """A Trainer for one recipe; `steps` optimiser steps, of which `start` are done already."""

    def __init__(
        self, *, recipe: Recipe, arguments: TrainingArguments, start: int = 0, flops: Flops | None = None, **options: Any
    ) -> None:
        self.recipe, self.start, self.flops = recipe, start, flops
        super().__init__(args=arguments, **options)
        self.mean_embedding = trained_mean(self.model) if recipe.objective != "patch_ocr" else None
        if self.mean_embedding is not None:
            self.add_callback(Centring(self.mean_embedding))

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None, **options: Any
    ) -> Any:
        """As transformers, in training with `evidence_weight` times the loss of the choice (policy `question`), and
        `attention_supervision`'s.

        The choice's loss is a mean over a batch's images, and a step's batches count alike. The forward pass of a step, and not
        its recomputation, moves the mean embedding.
        """
        attention_targets = inputs.get("attention_targets")
        inputs = {name: value for name, value in inputs.items() if name != "attention_targets"}
        if model.training and (self.recipe.choice_from == "attention" or attention_targets is not None):
            inputs = {**inputs, "output_attentions": True}
        with self.mean_embedding.observing() if self.mean_embedding is not None else nullcontext():
            loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch, **options)
        weight, of_choice = self.recipe.evidence_weight, getattr(outputs, "selection_loss", None)
        if weight and of_choice is not None and model.training:
            loss = loss + weight * of_choice / self.args.gradient_accumulation_steps
        if self.recipe.attention_supervision is not None and attention_targets is not None and model.training:
            far = self._attention_supervision(self.recipe.attention_supervision, outputs, attention_targets, inputs)
            loss = loss + far / self.args.gradient_accumulation_steps
        return (loss, outputs) if return_outputs else loss

    def _attention_supervision(
        self, options: AttentionSupervision, outputs: Any, attention_targets: Tensor, inputs: dict[str, Any]
    ) -> Tensor:
        config: Any = self.model.config  # pyright: ignore[reportOptionalMemberAccess]
        placeholders = inputs["input_ids"] == config.image_token_id
        given = (attention_targets, inputs["segment_ids"], inputs["labels"], placeholders)
        return options.weight * attention_supervision_loss(options, outputs.attentions, *given)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        dataset: Sized = self.train_dataset  # pyright: ignore[reportAssignmentType]
        batch = self.recipe.batch.global_size
        return RunOrder(
            dataset,
            self.args.max_steps * batch,
            batch,
            group_by_length=self.recipe.data.group_by_length,
            seed=self.recipe.seed,
            start=self.start * batch,
        )

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            trained = self.model if model is None else model
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, trained)  # pyright: ignore[reportArgumentType]
            self.optimizer = kind(parameter_groups(trained, self.recipe.optim), **options)  # pyright: ignore[reportArgumentType]
        return self.optimizer  # pyright: ignore[reportReturnType]

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """FLOPs of this batch, forward and backward, as `planning` counts them; 0 where it cannot."""
        return self.flops.of_batch(inputs) if self.flops is not None else 0

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = self.checkpoint_folder(self.state.global_step)
        if self.args.should_save:
            clear_incomplete(folder.parent)
        self.accelerator.wait_for_everyone()
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            complete(folder)
            rotate(folder.parent, self.recipe.save.keep)
        self.accelerator.wait_for_everyone()

    def checkpoint_folder(self, step: int) -> Path:
        """Where the checkpoint of an optimiser step goes."""
        return Path(str(self.args.output_dir)) / f"checkpoint-{step}"
