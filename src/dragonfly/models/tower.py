# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""A vision tower as the model builds it: its configuration, its token order, and no layer above the features."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig

from dragonfly.vision.towers import PREFIX_TOKENS


def tower_config(description: PreTrainedConfig | dict[str, Any]) -> PreTrainedConfig:
    """A vision tower's configuration from its dictionary form; a full CLIP or SigLIP configuration gives its vision half."""
    if isinstance(description, PreTrainedConfig):
        config = description
    else:
        values = dict(description)
        config = AutoConfig.for_model(values.pop("model_type", "clip_vision_model"), **values)
    return getattr(config, "vision_config", config)


def num_prefix_tokens(config: PreTrainedConfig) -> int:
    """Leading tokens of the tower's output that are not patches.

    Raises:
        ValueError: if the tower's type is not known here.
    """
    if config.model_type not in PREFIX_TOKENS:
        raise ValueError(
            f"vision tower of type '{config.model_type}' is not known here ({', '.join(PREFIX_TOKENS)}); "
            "say how many tokens stand before its patch tokens: encoder={'num_prefix_tokens': N}"
        )
    return PREFIX_TOKENS[config.model_type] + int(getattr(config, "num_register_tokens", 0))


def build_tower(config: PreTrainedConfig, num_layers: int) -> nn.Module:
    """A vision tower of the lowest `num_layers` layers whose output is the plain hidden state after the last of them.

    The released weights use the second-to-last hidden state, without the final norm; what lies above it is not built, so it
    costs no time, holds no memory and leaves no parameter without a gradient.
    """
    shortened = copy.deepcopy(config)
    shortened.num_hidden_layers = num_layers
    shortened.vision_use_head = False  # SigLIP's pooling head; before 5.23 its configuration has no field for it, but reads one
    tower = AutoModel.from_config(shortened)
    for name in ("post_layernorm", "layernorm"):
        if isinstance(getattr(tower, name, None), nn.Module):
            setattr(tower, name, nn.Identity())
    if isinstance(getattr(tower, "pooler", None), nn.Module):
        tower.pooler = None
    return tower


def unused_weights(config: PreTrainedConfig, num_layers: int) -> list[str]:
    """Patterns of tower weights that full checkpoints carry and `build_tower` does not build."""
    above = "|".join(str(index) for index in range(num_layers, config.num_hidden_layers))
    layers = [rf"vision_tower\.(vision_model\.)?encoder\.layers?\.({above})\."] if above else []
    rest = r"vision_tower\.(vision_model\.)?(post_layernorm|layernorm|head|pooler|embeddings\.position_ids)"
    return [*layers, rest]
