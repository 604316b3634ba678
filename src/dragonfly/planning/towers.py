# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""The sizes of a vision tower as the model builds it: parameters and FLOPs of a sub-image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dragonfly.planning.configs import completed, part, read_config
from dragonfly.vision.spec import EncoderSpec
from dragonfly.vision.towers import KNOWN_TOWERS

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

SIZES = ("hidden_size", "num_hidden_layers", "image_size", "patch_size")
KINDS = {"clip": "clip_vision_model", "siglip": "siglip_vision_model", "siglip_vision": "siglip_vision_model"}


@dataclass(frozen=True)
class TowerSize:
    """The sizes of a vision transformer with full attention and a feed-forward network of two matrices (CLIP, SigLIP, ViT).

    `num_layers` are the layers below the hidden state that is used; those above are neither built nor run. `gated` towers
    have three matrices (DINOv2 giant's SwiGLU). `held` are the parameters, None where no formula is known. `stem` are the FLOPs
    of convolutions that stand in place of the patch embedding.
    """

    model_type: str
    hidden_size: int
    intermediate_size: int
    num_layers: int
    image_size: int
    patch_size: int
    num_channels: int = 3
    gated: bool = False
    held: int | None = None
    quick: bool = False
    stem: int = 0

    @classmethod
    def from_config(cls, config: PreTrainedConfig | Mapping[str, Any], num_layers: int | None = None) -> Self:
        """The sizes of a transformers configuration or of its dictionary form; a composite gives its vision half.

        Args:
            config: of the vision tower.
            num_layers: layers that are built (`DragonflyConfig.num_tower_layers`); None for all but the last, as the paper
                and every preset have it.

        Raises:
            ValueError: if the configuration has neither intermediate_size nor mlp_ratio, so that the FLOP formula cannot hold.
        """
        values = tower_values(config)
        if "intermediate_size" not in values and "mlp_ratio" not in values:
            raise ValueError(
                f"cannot count the FLOPs of a vision tower of type '{values['model_type']}': its configuration has no "
                "intermediate_size (CLIP, SigLIP and ViT have one)"
            )
        hidden, gated = values["hidden_size"], bool(values.get("use_swiglu_ffn") or values.get("use_gated_mlp"))
        inner = values.get("intermediate_size") or int(hidden * values["mlp_ratio"])
        if values.get("use_swiglu_ffn"):  # two thirds, rounded up to a multiple of 8
            inner = (inner * 2 // 3 + 7) // 8 * 8
        return cls(
            model_type=values["model_type"],
            hidden_size=hidden,
            intermediate_size=inner,
            num_layers=values["num_hidden_layers"] - 1 if num_layers is None else num_layers,
            image_size=values["image_size"],
            patch_size=values["patch_size"],
            num_channels=values.get("num_channels", 3),
            gated=gated,
            held=_held(values, num_layers),
            quick=values.get("hidden_act", "quick_gelu" if values["model_type"] == KINDS["clip"] else "gelu") == "quick_gelu",
            stem=_stem_flops(values) if "stem_channels" in values else 0,
        )

    def flops(self, spec: EncoderSpec) -> int:
        """FLOPs of one sub-image: the patch embedding, or the stem in its place, and `num_layers` layers.

        Raises:
            ValueError: if the tower's image or patch size is not the spec's.
        """
        for name, ours, theirs in (
            ("image_size", spec.resolution, self.image_size),
            ("patch_size", spec.patch_size, self.patch_size),
        ):
            if ours != theirs:
                raise ValueError(f"the vision tower's {name} {theirs} is not the encoder's {ours}; use the preset's tower")
        patches = spec.patch_side**2
        tokens, hidden = patches + spec.num_prefix_tokens, self.hidden_size
        embedding = self.stem or 2 * patches * self.num_channels * self.patch_size**2 * hidden
        projections = 8 * tokens * hidden**2
        attention = 4 * tokens**2 * hidden
        feed_forward = 2 * (3 if self.gated else 2) * tokens * hidden * self.intermediate_size
        return embedding + self.num_layers * (projections + attention + feed_forward)


def _stem_flops(values: Mapping[str, Any]) -> int:
    """Of `dragonfly_conv_tower`: every stage's first convolution halves the side, as does the one to `hidden_size`."""
    side, channels, total, kernel = values["image_size"], values.get("num_channels", 3), 0, 5
    for out, depth in zip(values["stem_channels"], values["stem_depths"], strict=True):
        side //= 2
        total += 2 * side**2 * (kernel**2 * channels + (depth - 1) * 9 * out) * out
        channels, kernel = out, 3
    return total + 2 * (side // 2) ** 2 * 9 * channels * values["hidden_size"]


def tower_values(config: PreTrainedConfig | Mapping[str, Any]) -> dict[str, Any]:
    """A tower's configuration as a dictionary with all that its size follows from."""
    values = dict(config) if isinstance(config, Mapping) else {**config.to_dict(), "model_type": config.model_type}
    values = part(values, "vision_config")
    kind = str(values.get("model_type"))
    values["model_type"] = KINDS.get(kind, kind)
    named = completed(values, (*SIZES, *(("intermediate_size",) if "mlp_ratio" not in values else ())))
    for name in ("image_size", "patch_size"):  # InternViT writes [448, 448]
        sides = named[name] if isinstance(named[name], list | tuple) else [named[name]]
        if len(set(sides)) != 1:
            raise ValueError(f"the vision tower's {name} is {list(sides)}; sub-images and patches are square")
        named[name] = sides[0]
    return named


def read_tower(name: str | Path) -> dict[str, Any]:
    """A tower's configuration by its name or path (`configs.read_config`); a composite gives its vision half."""
    return tower_values(read_config(name, KNOWN_TOWERS, "vision tower"))


def _held(values: Mapping[str, Any], num_layers: int | None) -> int | None:
    """Weights of the lowest layers with no norm after them; None where no formula is known."""
    kind, hidden, channels = values["model_type"], values["hidden_size"], values.get("num_channels", 3)
    layers = values["num_hidden_layers"] - 1 if num_layers is None else num_layers
    swiglu = bool(values.get("use_swiglu_ffn"))
    inner = values.get("intermediate_size") or int(hidden * values.get("mlp_ratio", 4))
    patches = (values["image_size"] // values["patch_size"]) ** 2
    matrix = channels * values["patch_size"] ** 2 * hidden
    # Vectors of the hidden size outside of layers: CLS and its position, register tokens, norms, biases.
    registers = values.get("num_register_tokens", 4) if kind == "dinov2_with_registers" else 0
    vectors = {
        "clip_vision_model": 4,  # CLS, its position, the norm before the layers
        "siglip_vision_model": 1,  # the patch embedding's bias
        "vit": 3,  # CLS, its position, that bias
        "deit": 5,  # and the distillation token with its position
        "dinov2": 3,  # as ViT: the mask token is none of the weights that are built
        "dinov2_with_registers": 3 + registers,
    }.get(kind)
    if vectors is None or swiglu or values.get("qkv_bias") is False:
        return None
    scales = 2 * hidden if kind.startswith("dinov2") else 0
    layer = 4 * (hidden + 1) * hidden + 2 * hidden * inner + hidden + inner + 4 * hidden + scales
    return matrix + (patches + vectors) * hidden + layers * layer
