"""FSDP2: every process holds a part of the weights, gradients and optimiser's state, and gathers a layer when it is its turn.

accelerate and transformers' Trainer do the work. What is ours: the layers of any model are found by its own `_no_split_modules`,
the same code runs on CPUs (gloo), where accelerate by itself takes plain data parallelism without a word, and a run that asked
for sharing out and did not get it ends in one line.
"""

from __future__ import annotations

import os
from typing import Any

from torch import nn
from torch.distributed.fsdp import FSDPModule
from transformers import TrainerCallback

LAUNCHER = "ACCELERATE_USE_FSDP"


def fsdp_arguments(fsdp: bool, world_size: int) -> dict[str, Any]:
    """What `TrainingArguments` is told. ValueError where nothing can be shared out, or only the launcher asks for it."""
    if not fsdp:
        if os.environ.get(LAUNCHER, "false").lower() == "true":
            raise ValueError("accelerate was told to use FSDP and the recipe was not; start with torchrun, and give fsdp=true")
        return {}
    if world_size == 1:
        raise ValueError(
            "fsdp shares weights out among processes, and there is one; start several (torchrun), or give fsdp=false"
        )
    return {"fsdp": True, "fsdp_config": {"version": 2, "reshard_after_forward": True, "state_dict_type": "FULL_STATE_DICT"}}


def share_out(trainer: Any, model: nn.Module) -> None:
    """Tell accelerate which layers are gathered one by one, and to do on CPUs what it does on GPUs.

    By itself it asks for the kind of device before it looks at its plugin, and takes plain data parallelism on CPUs.
    """
    from accelerate.state import AcceleratorState, DistributedType, PartialState
    from accelerate.utils import FullyShardedDataParallelPlugin

    if trainer.accelerator.distributed_type == DistributedType.MULTI_CPU:
        plugin = FullyShardedDataParallelPlugin(**trainer.args.fsdp_plugin_args)
        AcceleratorState._shared_state.update(distributed_type=DistributedType.FSDP, fsdp_plugin=plugin)
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        trainer.is_fsdp_enabled = True
    trainer.accelerator.state.fsdp_plugin.transformer_cls_names_to_wrap = layer_classes(model)


def layer_classes(model: Any) -> list[str]:
    """Names of the classes that a model's parts call indivisible, and that are in it: its transformer layers."""
    present = {type(module).__name__ for module in model.modules()}
    return sorted(present & set(model._no_split_modules or ()))


class IsSharedOut(TrainerCallback):
    """Before the first step: ValueError where the model is not shared out after all."""

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        layers = [module for module in model.modules() if isinstance(module, FSDPModule)]
        if len(layers) < 2:
            raise ValueError("fsdp=true, and the model was not shared out on these devices; use deepspeed=zero1, or fsdp=false")
