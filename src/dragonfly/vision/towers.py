"""What is known of vision towers without their weights: published sizes, and the tokens before the patch tokens."""

from __future__ import annotations

from typing import Any

CLIP_BASE = "openai/clip-vit-base-patch32"
CLIP_LARGE = "openai/clip-vit-large-patch14-336"

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
