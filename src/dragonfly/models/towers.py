"""What must be known of a vision tower before its weights are there: its configuration and its token order."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig

from dragonfly.vision.presets import CLIP_BASE, CLIP_LARGE

# Published sizes of the two towers of the paper, so that no network is needed to build or read a checkpoint of it.
_CLIP = {"model_type": "clip_vision_model", "hidden_act": "quick_gelu", "layer_norm_eps": 1e-5}
KNOWN_TOWERS: dict[str, dict[str, Any]] = {
    CLIP_BASE: {
        **_CLIP,
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "image_size": 224,
        "patch_size": 32,
        "projection_dim": 512,
    },
    CLIP_LARGE: {
        **_CLIP,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 336,
        "patch_size": 14,
        "projection_dim": 768,
    },
}

# Tokens before the patch tokens, by model type; towers with register tokens add theirs.
PREFIX_TOKENS = {
    "clip_vision_model": 1,
    "siglip_vision_model": 0,
    "siglip2_vision_model": 0,
    "vit": 1,
    "deit": 2,
    "dinov2": 1,
    "dinov2_with_registers": 1,
    "ijepa": 0,
}


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
