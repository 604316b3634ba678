"""transformers' Trainer with the recipe's order of rows, learning rates, checkpoints and count of FLOPs. Nothing else.

Its loop, accumulation (`num_items_in_batch`: the loss is over all target tokens of a step, whatever its batches and
processes), mixed precision and distribution are used as they are.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Sampler
from transformers import Trainer, TrainingArguments

from dragonfly.data import IGNORE_INDEX, Collator
from dragonfly.data.batch import row_lengths
from dragonfly.files import full_disk_named, usual_permissions
from dragonfly.planning import LanguageModelSize, TowerSize

from .callbacks import MeanEmbeddingUpdate, Record, trained_mean
from .checkpoints import clear_incomplete, complete, rotate
from .fsdp import IsSharedOut, share_out
from .modules import ModuleCount, module_of
from .muon import Muon, is_layer_matrix
from .objective import TrainingSetup
from .packing import packed_length
from .recipe import Optim, Recipe
from .sources import RunOrder, Sized


@dataclass(frozen=True)
class Flops:
    """Model FLOPs of a training batch, from `planning`'s formulas and the batch's own numbers; nothing is measured.

    `per_sub_image` of the tower, forward; the language model's sizes; and how often each is passed. The projector is left out
    (v1 with an 8B model: below 0.1 % of the whole), and so is what gradient checkpointing does again.

    A trained module is passed three times (forward, its activations' gradient, its weights' gradient), a frozen one twice
    where gradients pass through it and once where they do not. A module with an adapter is frozen; the adapter is left out.
    """

    per_sub_image: int
    language: LanguageModelSize
    tower_passes: int
    language_passes: int

    @classmethod
    def of_model(cls, model: Any, counts: list[ModuleCount], adapter: bool = False) -> Self | None:
        """For a Dragonfly model, its language model with an adapter or not.

        None when `planning` has no formula for its tower or language model.
        """
        trained = {count.name for count in counts if count.trained}
        config = model.config
        try:
            tower = TowerSize.from_config(config.vision_config, config.num_tower_layers).flops(config.spec)
            language = LanguageModelSize.from_config(config)
        except ValueError:
            return None
        below = {"vision_tower", "multi_modal_projector", "sub_image_position", "other"} & trained
        whole = bool({"language_model", "lm_head"} & trained) and not adapter
        return cls(tower, language, 3 if "vision_tower" in trained else 1, 3 if whole else 2 if below or adapter else 1)

    def of_batch(self, inputs: Mapping[str, Any]) -> int:
        """FLOPs of one batch of `data.Collator`; images count as many sub-images as they have, logits where there are labels."""
        pixels, numbers = inputs.get("pixel_values"), inputs.get("num_sub_images")
        if pixels is None or pixels.ndim == 4:  # encoded already, in a tower cache
            sub_images = 0
        else:
            sub_images = int(numbers.sum()) if numbers is not None else pixels.shape[0] * pixels.shape[1]
        lengths, labels = row_lengths(inputs), inputs.get("labels")
        logits = sum(lengths) if labels is None else int((labels[:, 1:] != IGNORE_INDEX).sum())
        head = self.language_passes * 2 * logits * self.language.hidden_size * self.language.vocab_size
        return self.tower_passes * sub_images * self.per_sub_image + sum(map(self._of_row, lengths)) + head

    def _of_row(self, length: int) -> int:
        """The language model's layers over one row: `LanguageModelSize.flops` without its one position's logits."""
        size = self.language
        forward = size.flops(length, length) - 2 * size.hidden_size * size.vocab_size
        # Both sides of attention's products are activations, so a frozen model too is passed three times there.
        again = 4 * length**2 * size.num_heads * size.head_dim * size.num_layers if self.language_passes == 2 else 0
        return self.language_passes * forward + again


class StageTrainer(Trainer):
    """A Trainer of one recipe's `setup`; `start` optimiser steps are done already. `options` are transformers' own.

    `record` is told how long training waits for data.
    """

    def __init__(
        self,
        *,
        recipe: Recipe,
        setup: TrainingSetup,
        arguments: TrainingArguments,
        record: Record,
        start: int = 0,
        flops: Flops | None = None,
        **options: Any,
    ) -> None:
        self.recipe, self.setup, self.record, self.start, self.flops = recipe, setup, record, start, flops
        super().__init__(
            model=setup.module,
            args=arguments,
            train_dataset=setup.train,
            eval_dataset=setup.evaluation,
            data_collator=setup.collate,
            preprocess_logits_for_metrics=setup.predictions,
            compute_metrics=lambda results: setup.metrics(np.asarray(results.predictions), np.asarray(results.label_ids)),
            **options,
        )
        if recipe.fsdp:
            self.add_callback(IsSharedOut())
        self.mean_embedding = trained_mean(self.model)
        if self.mean_embedding is not None:
            self.add_callback(MeanEmbeddingUpdate(self.mean_embedding))

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        if self.recipe.fsdp:
            share_out(self, self.setup.module)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None, **options: Any
    ) -> Any:
        """As transformers, and in training `evidence_weight` times the loss of policy `question`, and the setup's extra loss.

        Both are means over a batch, and a step's batches count alike. The forward pass of a step, and not its recomputation,
        moves the mean embedding.
        """
        batch = inputs
        if self.setup.inputs is not None:
            with self.accelerator.autocast():
                inputs = self.setup.inputs(self.model, batch)
        with self.mean_embedding.observing() if self.mean_embedding is not None else nullcontext():
            loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch, **options)
        if model.training:
            weight, selection_loss = self.recipe.evidence_weight, getattr(outputs, "selection_loss", None)
            if weight and selection_loss is not None:
                loss = loss + weight * selection_loss / self.args.gradient_accumulation_steps
            if self.setup.extra_loss is not None:
                extra = self.setup.extra_loss(outputs, {**batch, **inputs})
                loss = loss + extra / self.args.gradient_accumulation_steps
        return (loss, outputs) if return_outputs else loss

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Rows are packed for training alone: an evaluation's numbers are those of rows by themselves."""
        plain = self.data_collator
        if self.recipe.data.packing is not None:
            assert isinstance(plain, Collator)  # `Objective.packs`
            self.data_collator = replace(plain, packing=packed_length(self.recipe))
        try:
            return super().get_train_dataloader()
        finally:
            self.data_collator = plain

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        begun = time.perf_counter()
        try:
            return super().get_batch_samples(epoch_iterator, num_batches, device)
        finally:
            self.record.waited += time.perf_counter() - begun

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
            optim = self.recipe.optim
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, trained)  # pyright: ignore[reportArgumentType]
            if optim.muon is not None:
                kind, options = Muon, {"betas": optim.betas}
            self.optimizer = kind(parameter_groups(trained, optim), **options)  # pyright: ignore[reportArgumentType]
        return self.optimizer  # pyright: ignore[reportReturnType]

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """FLOPs of this batch, forward and backward, as `planning` counts them; 0 where it cannot."""
        return self.flops.of_batch(inputs) if self.flops is not None else 0

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder = self.checkpoint_folder(self.state.global_step)
        if self.args.should_save:
            clear_incomplete(folder.parent)
        self.accelerator.wait_for_everyone()
        with full_disk_named(folder.parent):
            super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            usual_permissions(folder)
            complete(folder)
            rotate(folder.parent, self.recipe.save.keep)
        self.accelerator.wait_for_everyone()

    def checkpoint_folder(self, step: int) -> Path:
        """Where the checkpoint of an optimiser step goes."""
        return Path(str(self.args.output_dir)) / f"checkpoint-{step}"


def parameter_groups(model: nn.Module, optim: Optim) -> list[dict[str, Any]]:
    """Every trained parameter of `model` in exactly one group, in a fixed order.

    A parameter takes the rate of the longest name in `learning_rates` that it lies in, else `learning_rate`; under `muon` the
    matrices of layers take that rate. Matrices and embeddings are decayed; vectors (norms, biases) and scalars are not.
    """
    groups: dict[tuple[bool, float, float], list[Any]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = optim.weight_decay if parameter.ndim > 1 else 0.0
            muon = optim.muon is not None and is_layer_matrix(name, parameter)
            rate = optim.muon if muon and optim.muon is not None else _rate(module_of(name), optim)
            groups.setdefault((muon, rate, decay), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay} | ({} if optim.muon is None else {"muon": muon})
        for (muon, rate, decay), parameters in groups.items()
    ]


def _rate(name: str, optim: Optim) -> float:
    holders = [module for module in optim.learning_rates if f"{name}.".startswith(f"{module}.")]
    return optim.learning_rates[max(holders, key=len)] if holders else optim.learning_rate
