"""What is known of vision towers without building one: published sizes, tokens before patches, mean and deviation of pixels.

Planning counts by it without torch. A model takes its geometry from the tower itself (`models/tower_structure.py`); tests hold
the two to each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

CLIP_BASE = "openai/clip-vit-base-patch32"
CLIP_LARGE = "openai/clip-vit-large-patch14-336"
SIGLIP_SO400M = "google/siglip-so400m-patch14-384"

# Published sizes: of the two towers of the paper, so that its checkpoints are read without a network, and of a usual SigLIP.
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
    SIGLIP_SO400M: {
        "model_type": "siglip_vision_model",
        "hidden_act": "gelu_pytorch_tanh",
        "layer_norm_eps": 1e-6,
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "image_size": 384,
        "patch_size": 14,
    },
}

# Tokens before the patch tokens, by model type; `num_register_tokens` come on top.
PREFIX_TOKENS = {
    **dict.fromkeys(("clip_vision_model", "metaclip_2_vision_model", "chinese_clip_vision_model"), 1),
    **dict.fromkeys(("dinov2", "dinov2_with_registers", "dinov3_vit", "vit", "beit", "internvl_vision"), 1),
    **dict.fromkeys(("siglip_vision_model", "aimv2_vision_model", "idefics3_vision", "smolvlm_vision", "ijepa"), 0),
    "dragonfly_conv_tower": 0,
    "deit": 2,
}


def square_side(value: Any) -> int | None:
    """The side of a square that a configuration gives as one number or as one per axis; None if it is no square."""
    axes = list(cast(Sequence[Any], value)) if isinstance(value, list | tuple) else [value]
    return axes[0] if axes and all(isinstance(axis, int) and axis == axes[0] for axis in axes) else None


# Families with more tokens before their patches than CLS and `num_register_tokens`: all of them stand before.
MORE_PREFIX_TOKENS = ("deit", "pixio", "radio", "sapiens2", "tipsv2_vision_model")

# Well-known towers that cannot be used, and why. Others that do not fit are found out when they are built.
_STAGES = "it makes its grid coarser from stage to stage, so no layer but one has the tokens of a fixed grid"
_VARYING = "it takes patches of a grid that varies from image to image"
NOT_A_GRID = {
    **dict.fromkeys(("convnext", "convnextv2", "dinov3_convnext", "efficientnet", "resnet"), _STAGES),
    **dict.fromkeys(("donut-swin", "hiera", "maskformer-swin", "swin", "swinv2"), _STAGES),
    **dict.fromkeys(("glm4v_vision", "pixtral", "qwen2_vl_vision", "qwen2_5_vl_vision", "qwen3_vl_vision"), _VARYING),
    **dict.fromkeys(("sam_vision_model", "sam_hq_vision_model"), "it gives a map (n, rows, columns, hidden), not tokens"),
    "siglip2_vision_model": f"{_VARYING} (NaFlex); a SigLIP2 of fixed resolution has the type 'siglip_vision_model'",
    "vit_mae": "it drops most patches at random",
    "yolos": "its detection tokens stand after its patches",
}

# What is subtracted from pixels of 0 to 1 and what they are then divided by, as published with each family.
_CLIP_PIXELS = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
_IMAGENET_PIXELS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_EVEN_PIXELS = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
MEAN_AND_STD: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    **dict.fromkeys(("clip_vision_model", "metaclip_2_vision_model", "aimv2_vision_model"), _CLIP_PIXELS),
    **dict.fromkeys(("dinov2", "dinov2_with_registers", "dinov3_vit", "deit", "internvl_vision"), _IMAGENET_PIXELS),
    **dict.fromkeys(("siglip_vision_model", "vit", "beit", "idefics3_vision", "smolvlm_vision"), _EVEN_PIXELS),
    "dragonfly_conv_tower": _EVEN_PIXELS,
}
