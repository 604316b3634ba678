"""Tiny random vision towers of many families, and whole models that hold one: 32-px sub-images with 4 x 4 patches."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig

from dragonfly.models.tower_structure import structure_of

SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
USUAL = {**SIZES, "intermediate_size": 64}

TOWERS: dict[str, dict[str, Any]] = {
    "clip": {"model_type": "clip_vision_model", **USUAL},
    "metaclip2": {"model_type": "metaclip_2_vision_model", **USUAL},
    "siglip": {"model_type": "siglip_vision_model", **USUAL},
    "so400m": {"model_type": "siglip_vision_model", **USUAL, "image_size": 38},  # 4 patches take 32 of 38 pixels, as 384 and 14
    "dinov2": {"model_type": "dinov2", **SIZES},
    "dinov2 registers": {"model_type": "dinov2_with_registers", **SIZES, "num_register_tokens": 4},
    "dinov3": {"model_type": "dinov3_vit", **USUAL, "num_register_tokens": 4},
    "vit": {"model_type": "vit", **USUAL},
    "deit": {"model_type": "deit", **USUAL},
    "beit": {"model_type": "beit", **USUAL, "use_relative_position_bias": True},
    "aimv2": {"model_type": "aimv2_vision_model", **USUAL},
    "idefics3": {"model_type": "idefics3_vision", **USUAL},
    "internvit": {"model_type": "internvl_vision", **USUAL, "image_size": [32, 32], "patch_size": [8, 8]},
}
"""Named in the documents."""

MORE: dict[str, dict[str, Any]] = {
    "altclip": {"model_type": "altclip_vision_model", **USUAL},
    "blip2": {"model_type": "blip_2_vision_model", **USUAL},
    "chinese clip": {"model_type": "chinese_clip_vision_model", **USUAL},
    "data2vec": {"model_type": "data2vec-vision", **USUAL},
    "dpt": {"model_type": "dpt", **USUAL},
    "flava": {"model_type": "flava_image_model", **USUAL},
    "git": {"model_type": "git_vision_model", **USUAL},
    "idefics2": {"model_type": "idefics2_vision", **USUAL},
    "ijepa": {"model_type": "ijepa", **USUAL},
    "janus": {"model_type": "janus_vision_model", **USUAL},
    "kosmos2": {"model_type": "kosmos_2_vision_model", **USUAL},
    "mlcd": {"model_type": "mlcd_vision_model", **USUAL},
    "phi4": {"model_type": "phi4_multimodal_vision", **USUAL},
    "pixio": {"model_type": "pixio", **USUAL},
    "radio": {"model_type": "radio", **USUAL},
    "sapiens2": {"model_type": "sapiens2", **USUAL},
    "smolvlm": {"model_type": "smolvlm_vision", **USUAL},
    "tipsv2": {"model_type": "tipsv2_vision_model", **USUAL},
    "vit msn": {"model_type": "vit_msn", **USUAL},
}
"""Others that transformers has; not every release has all of them."""

PREFIX_TOKENS = {"siglip": 0, "so400m": 0, "dinov2 registers": 5, "dinov3": 5, "deit": 2, "aimv2": 0, "idefics3": 0}
"""Of the first table, where it is not CLS alone."""

_TEXT = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4, "vocab_size": 64}
_CAUSAL = {**_TEXT, "model_type": "llama", "num_key_value_heads": 2, "pad_token_id": 0}
WHOLE: dict[str, tuple[str, dict[str, Any]]] = {
    "clip": ("CLIPModel", {"vision_config": USUAL, "text_config": _TEXT}),
    "siglip": ("SiglipModel", {"vision_config": USUAL, "text_config": _TEXT}),
    "metaclip_2": ("MetaClip2Model", {"vision_config": USUAL, "text_config": _TEXT}),
    "aimv2": ("Aimv2Model", {"vision_config": USUAL, "text_config": _TEXT}),
    "llava": ("LlavaForConditionalGeneration", {"vision_config": TOWERS["clip"], "text_config": _CAUSAL, "image_token_index": 5}),
    "idefics3": ("Idefics3ForConditionalGeneration", {"vision_config": USUAL, "text_config": _CAUSAL, "image_token_id": 5}),
    "internvl": (
        "InternVLForConditionalGeneration",
        {"vision_config": TOWERS["internvit"], "text_config": _CAUSAL, "image_token_id": 5},
    ),
    "vit": ("ViTForImageClassification", USUAL),
    "dinov2": ("Dinov2ForImageClassification", SIZES),
}
"""Model type -> class name and configuration of a model that holds a tower."""


def known(name: str) -> bool:
    """Whether the installed transformers has the family."""
    try:
        config(name)
    except ValueError:
        return False
    return True


def config(name: str, **changes: Any) -> PreTrainedConfig:
    """The configuration of a tiny tower."""
    values = {**(TOWERS | MORE)[name], **changes}
    return AutoConfig.for_model(values.pop("model_type"), **values)


def random(model: nn.Module, seed: int = 0) -> Any:
    """Every weight random and large enough that nothing passes for the identity; in evaluation mode."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.2)
    return model.eval()


def whole(settings: PreTrainedConfig) -> Any:
    """The tower of a configuration as transformers builds it, uncut."""
    structure_of(settings)  # makes those known to AutoModel that are only parts of whole models
    return random(AutoModel.from_config(settings))
