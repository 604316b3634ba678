"""A recipe as transformers' TrainingArguments: one place where their names meet."""

from __future__ import annotations

import json
import logging
import math
import os
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import TrainingArguments

from dragonfly.installation import install_advice

from .fsdp import fsdp_arguments
from .recipe import RECIPES, Recipe

logger = logging.getLogger(__name__)

NEEDED = ("accelerate", "matplotlib")
"""Packages that any run takes up; tensorboard, peft and datasets say so themselves where they are asked for."""

MOST_WORKERS = 8
"""Of a process that trains, where the recipe does not say; each holds a tokenizer and two batches ahead."""


def training_arguments(recipe: Recipe, steps: int) -> TrainingArguments:
    """Arguments of a run of `steps` optimiser steps. ValueError when the batch does not fit the number of processes."""
    _check_installed()
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    optim, on_gpu = recipe.optim, torch.cuda.is_available()
    accumulation = batches_per_step(recipe, world_size)
    rest = fsdp_arguments(recipe.fsdp, world_size)
    if optim.muon is not None and (recipe.deepspeed is not None or recipe.fsdp):
        raise ValueError("optim.muon needs whole matrices, and deepspeed and fsdp split them; leave one of the two out")
    if recipe.deepspeed is not None:
        _check_deepspeed_installed(recipe.deepspeed)
        rest["deepspeed"] = str(deepspeed_file(recipe.deepspeed))
        if "RANK" not in os.environ:  # DeepSpeed would look for MPI, and end in its traceback
            raise ValueError(
                f"deepspeed: {recipe.deepspeed} needs processes that torchrun starts: torchrun --nproc-per-node N -m dragonfly "
                "train ...; for one plain process: deepspeed=null"
            )
    if recipe.precision == "bfloat16" and not on_gpu and torch.backends.cpu.get_cpu_capability() == "AVX2":
        logger.warning(
            "precision=bfloat16 on a processor without bfloat16 arithmetic (AVX2): it is imitated, and many times slower than "
            "precision=float32"
        )
    if world_size > 1:
        rest["ddp_backend"] = "nccl" if on_gpu else "gloo"
    return TrainingArguments(
        output_dir=recipe.output,
        run_name=recipe.name,
        max_steps=steps,
        per_device_train_batch_size=recipe.batch.per_device_for(world_size),
        per_device_eval_batch_size=recipe.batch.per_device_for(world_size),
        gradient_accumulation_steps=accumulation,
        average_tokens_across_devices=True,
        learning_rate=optim.learning_rate,
        lr_scheduler_type="constant_with_warmup" if optim.schedule == "constant" else optim.schedule,
        warmup_steps=warmup_steps(optim.warmup, steps),
        weight_decay=optim.weight_decay,
        max_grad_norm=optim.max_grad_norm,
        adam_beta1=optim.betas[0],
        adam_beta2=optim.betas[1],
        bf16=recipe.precision == "bfloat16",
        use_cpu=not on_gpu,
        ddp_find_unused_parameters=False,  # every trained parameter has a gradient, images or not
        accelerator_config={"dispatch_batches": False},  # each process reads for itself, streams too
        dataloader_num_workers=workers(recipe),
        dataloader_pin_memory=on_gpu,
        remove_unused_columns=False,
        label_names=["labels"],
        prediction_loss_only=recipe.data.eval is None,
        eval_strategy="steps" if recipe.log.eval_every else "no",
        eval_steps=recipe.log.eval_every,
        save_strategy="steps" if recipe.save.every else "no",
        save_steps=recipe.save.every or steps,
        logging_steps=recipe.log.every,
        logging_nan_inf_filter=False,  # a loss that is not a number ends the run; hiding it would not
        include_num_input_tokens_seen="no" if recipe.objective_hook.examples is None else "non_padding",
        report_to=[name for name in ("tensorboard", "wandb") if getattr(recipe.log, name)] or "none",
        disable_tqdm=True,  # `progress` has its own bar
        seed=recipe.seed,
        **rest,
    )


def workers(recipe: Recipe) -> int:
    """Processes that read data for each that trains, no more than there are cores.

    Unless the recipe says how many: one core less than each process that trains on this machine has, at most `MOST_WORKERS`. A
    stream, whose order depends on their number, is read by as many as the recipe says, or by none.
    """
    given, cores = recipe.data.workers, os.cpu_count() or 1
    if recipe.data.streaming:
        return given or 0
    if given is None:
        return max(0, min(MOST_WORKERS, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")) - 1))
    return min(given, cores)


def batches_per_step(recipe: Recipe, world_size: int) -> int:
    """Batches of an optimiser step on each of so many processes. ValueError where batch or sharding does not fit their number."""
    accumulation = recipe.batch.accumulation_for(world_size)
    fsdp_arguments(recipe.fsdp, world_size)
    if recipe.deepspeed is not None:
        _check_stage(deepspeed_file(recipe.deepspeed), accumulation)
    return accumulation


def _check_installed() -> None:
    """ValueError in one line where the packages of the extra `train` are missing; else the Trainer's own traceback tells."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ValueError(f"training needs {', '.join(missing)}, which is not installed: {install_advice('train')}")


def warmup_steps(warmup: float, steps: int) -> int:
    """Steps of warm-up: a share of all below 1, else their number."""
    return math.ceil(warmup * steps) if warmup < 1 else int(warmup)


def deepspeed_file(name: str) -> Path:
    """A DeepSpeed configuration: a shipped one by name, or a path. ValueError where there is neither."""
    shipped = RECIPES / "deepspeed" / f"{name}.json"
    path = shipped if shipped.is_file() else Path(name)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in shipped.parent.glob("*.json")))
        raise ValueError(f"deepspeed {name!r} is neither a file nor one of: {known}")
    return path


def _check_deepspeed_installed(name: str) -> None:
    try:
        import deepspeed  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError(
            f"the recipe asks for DeepSpeed ({name}), which is not installed: {install_advice('cluster')}, "
            "or run on one device with deepspeed=null"
        ) from None


def _check_stage(file: Path, accumulation: int) -> None:
    """Refuse what DeepSpeed would do wrong, silently or later."""
    stage = json.loads(file.read_text(encoding="utf-8")).get("zero_optimization", {}).get("stage", 0)
    if stage == 2 and accumulation > 1:
        # Measured with DeepSpeed 0.19.8: the gradients of all but a step's last batch are partly lost
        # (https://github.com/deepspeedai/DeepSpeed/issues/7718). One batch per step is right; so are stages 1 and 3.
        raise ValueError(
            f"DeepSpeed's ZeRO stage 2 loses gradients when a step has several batches, and this one has {accumulation}; "
            "raise batch.per_device until there is one, or take deepspeed=zero1"
        )
    if stage == 3:
        # Two processes, DeepSpeed 0.19.8, CPUs: rows with images alone give the numbers of one process. Where one process has
        # a batch without images, it waits in the tower for weights while the other waits for gradients, for ever. FSDP2 does
        # the same work and ends.
        raise ValueError(
            "ZeRO stage 3 is not supported: where one process has images in a batch and another has none, the run never ends; "
            "use deepspeed=null fsdp=true, which shares out the same, or deepspeed=zero1"
        )
