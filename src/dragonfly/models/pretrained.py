# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""What the model's classes share: what transformers may do with them, how they are read (strictly) and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from dragonfly.files import usual_permissions
from dragonfly.models import checkpoints, origin, remote_code
from dragonfly.models.configuration_dragonfly import DragonflyConfig
from dragonfly.models.connector import PositionEmbedding
from dragonfly.models.mean_embedding import MeanEmbedding
from dragonfly.models.query_projection import PatchQuery, QueryProjection


class DragonflyPreTrainedModel(PreTrainedModel):
    config_class = DragonflyConfig
    config: DragonflyConfig
    base_model_prefix = "model"
    input_modalities = ["image", "text"]  # noqa: RUF012
    supports_gradient_checkpointing = True
    _skip_keys_device_placement = ["past_key_values", "cache"]  # noqa: RUF012
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    register_for_auto_class = remote_code.keeps_its_shim

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, MeanEmbedding):
            module.mean.zero_()
            module.count.zero_()
        elif isinstance(module, PositionEmbedding):
            module.weight.zero_()
        elif isinstance(module, QueryProjection):
            nn.init.eye_(module.weight)
        elif isinstance(module, PatchQuery):
            module.reset()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, strict: bool = True, **kwargs: Any) -> Any:
        """As transformers, but a checkpoint that does not fit is refused instead of patched with random weights.

        Args:
            strict: False warns as transformers does.

        Raises:
            ValueError: naming the missing, unexpected or mis-shaped tensors.
        """
        wants_info = kwargs.pop("output_loading_info", False)
        if strict:
            kwargs["ignore_mismatched_sizes"] = True  # so that they are named below, with the other faults
        kwargs["output_loading_info"] = True
        with checkpoints.held_to_its_config(str(pretrained_model_name_or_path), kwargs):
            loaded: Any = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        model, info = loaded
        if strict:
            checkpoints.refuse_faults(str(pretrained_model_name_or_path), info)
        if model.can_generate() and "generation_config" not in kwargs:
            checkpoints.end_at_turns(model, str(pretrained_model_name_or_path))
        return (model, info) if wants_info else model

    def save_pretrained(self, save_directory: Any, *args: Any, save_original_format: bool = False, **kwargs: Any) -> None:
        """As transformers, but under our own tensor names even if the checkpoint was read under others."""
        with origin.kept_true(save_directory, writes=bool(args[0] if args else kwargs.get("is_main_process", True))):
            super().save_pretrained(save_directory, *args, save_original_format=save_original_format, **kwargs)
        usual_permissions(Path(save_directory))
