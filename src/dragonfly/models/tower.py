# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""A vision tower as the model builds it: its configuration, its prefix tokens, and no layer above the features."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig

from dragonfly.models.tower_structure import cut_layers, owner_of, structure_of, take_off, tower_geometry

__all__ = ["build_tower", "num_prefix_tokens", "tower_config", "tower_geometry", "unused_weights"]

_VISION_PARTS = ("vision_config", "image_config")  # of a whole model's configuration


def tower_config(description: PreTrainedConfig | dict[str, Any]) -> PreTrainedConfig:
    """A vision tower's configuration from its dictionary form; a whole model's (CLIP, LLaVA, InternVL) gives its vision part."""
    if isinstance(description, PreTrainedConfig):
        config = description
    else:
        values = dict(description)
        config = AutoConfig.for_model(values.pop("model_type", "clip_vision_model"), **values)
    return next((part for name in _VISION_PARTS if (part := getattr(config, name, None)) is not None), config)


def num_prefix_tokens(config: PreTrainedConfig) -> int:
    """Leading tokens of the tower's output that are not patches: what it gives beyond (R // patch size) ** 2.

    Raises:
        ValueError: if the tower does not fit.
    """
    resolution, patch_size = tower_geometry(config)
    return structure_of(config).num_tokens - (resolution // patch_size) ** 2


def build_tower(config: PreTrainedConfig, num_layers: int) -> nn.Module:
    """A vision tower of the lowest `num_layers` layers whose output is the plain hidden state after the last of them.

    The released weights use the second-to-last hidden state, without the final norm. What lies above it is cut off, so it
    costs no time, holds no memory and leaves no parameter without a gradient. The tower is built whole and keeps `config`
    itself, unchanged: transformers finds and sets the tower's options there.

    Raises:
        ValueError: if the tower does not fit.
    """
    structure = structure_of(config)
    if structure.layers is None and num_layers < config.num_hidden_layers:
        raise ValueError(
            f"vision tower of type '{config.model_type}' has no list of its {config.num_hidden_layers} layers that could be cut "
            f"to {num_layers}; use vision_feature_layer=-1"
        )
    tower = AutoModel.from_config(config)
    cut_layers(tower, structure.layers, num_layers)
    take_off(tower, structure.above)
    for name in structure.unused:
        owner, key = owner_of(tower, name)
        tensor = getattr(owner, key).detach()
        delattr(owner, key)
        owner.register_buffer(
            key, tensor, persistent=False
        )  # not saved; the initialisation of some families writes to it by name
    return tower


def unused_weights(config: PreTrainedConfig, num_layers: int) -> list[str]:
    """Patterns of tower weights that full checkpoints carry and `build_tower` does not build."""
    structure = structure_of(config)
    names = [rf"{name}\." for name in structure.above] + [rf"{name}$" for name in structure.unused]
    above = "|".join(str(index) for index in range(num_layers, config.num_hidden_layers))
    if structure.layers is not None and above:
        names.append(rf"{structure.layers}\.({above})\.")
    names.append(r"embeddings\.position_ids$")  # saved by early versions of transformers
    return [r"(^|\.)vision_tower\.(vision_model\.)?" + name for name in names]
