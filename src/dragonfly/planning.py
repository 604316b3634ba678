# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""The cost of an encoder configuration on an image, before any weights exist: tokens, encoder passes, FLOPs, parameters.

`plan(spec, size, tower, language_model)` reads the layout and two sets of sizes; no network is run. FLOPs are those of the
matrix products and of the patch convolution, a multiply-add counted as 2 and attention as the full square: the numbers that
`torch.utils.flop_counter` reports for the same work. Normalisations, activations, means, rotary angles and a selection's own
dot products are left out. FLOPs say nothing about time or memory.

CLIP towers and known language models are counted without torch and transformers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dragonfly.config import nearest
from dragonfly.vision.layout import Size, SubImageLayout, make_layout
from dragonfly.vision.spec import EncoderSpec, Grid, LevelName

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Decoders whose layers are q, k, v, o and a gated feed-forward of three matrices: what `LanguageModelSize` counts.
GATED_DECODERS = ("llama", "mistral", "qwen2", "qwen3", "gemma", "phi3", "olmo2", "smollm3", "granite")


@dataclass(frozen=True)
class TowerSize:
    """The sizes of a vision transformer with full attention and a feed-forward network of two matrices (CLIP, SigLIP, ViT).

    `num_layers` are the layers below the hidden state that is used; those above are neither built nor run.
    """

    model_type: str
    hidden_size: int
    intermediate_size: int
    num_layers: int
    image_size: int
    patch_size: int
    num_channels: int = 3

    @classmethod
    def from_config(cls, config: PreTrainedConfig | Mapping[str, Any], num_layers: int | None = None) -> Self:
        """The sizes of a transformers configuration or of its dictionary form.

        Args:
            config: of the vision tower.
            num_layers: layers that are built (`DragonflyConfig.num_tower_layers`); None for all but the last, as the paper
                and every preset have it.

        Raises:
            ValueError: if the configuration has no intermediate_size, so that the FLOP formula cannot hold.
        """
        values: dict[str, Any] = (
            dict(config) if isinstance(config, Mapping) else {"model_type": config.model_type, **vars(config)}
        )
        if "intermediate_size" not in values:
            raise ValueError(
                f"cannot count the FLOPs of a vision tower of type '{values['model_type']}': its configuration has no "
                "intermediate_size (CLIP, SigLIP and ViT have one)"
            )
        names = ("model_type", "hidden_size", "intermediate_size", "image_size", "patch_size")
        layers = values["num_hidden_layers"] - 1 if num_layers is None else num_layers
        return cls(**{name: values[name] for name in names}, num_layers=layers, num_channels=values.get("num_channels", 3))

    def flops(self, spec: EncoderSpec) -> int:
        """FLOPs of one sub-image: the patch embedding and `num_layers` layers.

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
        embedding = 2 * patches * self.num_channels * self.patch_size**2 * hidden
        projections = 8 * tokens * hidden**2
        attention = 4 * tokens**2 * hidden
        feed_forward = 4 * tokens * hidden * self.intermediate_size
        return embedding + self.num_layers * (projections + attention + feed_forward)

    @property
    def clip_parameters(self) -> int:
        """Weights of a CLIP tower with `num_layers` layers and no norm after them."""
        hidden, inner = self.hidden_size, self.intermediate_size
        patches = (self.image_size // self.patch_size) ** 2
        embedding = self.num_channels * self.patch_size**2 * hidden + (patches + 2) * hidden  # patches, positions, CLS
        attention, feed_forward, norms = 4 * (hidden + 1) * hidden, 2 * hidden * inner + hidden + inner, 4 * hidden
        return embedding + 2 * hidden + self.num_layers * (attention + feed_forward + norms)


@dataclass(frozen=True)
class LanguageModelSize:
    """The sizes of a dense decoder with grouped-query attention and a gated feed-forward network."""

    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    tied_embeddings: bool = False

    @classmethod
    def from_config(cls, config: PreTrainedConfig) -> Self:
        """The sizes of a transformers configuration; a vision-language one gives its text half.

        Raises:
            ValueError: if the architecture is not one that the FLOP formulas hold for.
        """
        text = config.get_text_config()
        if text.model_type not in GATED_DECODERS:
            raise ValueError(
                f"cannot count the FLOPs of a language model of type '{text.model_type}' "
                f"(known: {', '.join(GATED_DECODERS)}); for another gated decoder pass a LanguageModelSize"
            )
        heads = text.num_attention_heads
        return cls(
            hidden_size=text.hidden_size,
            intermediate_size=text.intermediate_size,
            num_layers=text.num_hidden_layers,
            num_heads=heads,
            num_key_value_heads=getattr(text, "num_key_value_heads", None) or heads,
            head_dim=getattr(text, "head_dim", None) or text.hidden_size // heads,
            vocab_size=text.vocab_size,
            tied_embeddings=bool(text.tie_word_embeddings),
        )

    @property
    def layer_matrix_parameters(self) -> int:
        """Elements of one layer's matrices: q and o, k and v, gate, up and down."""
        attention = 2 * self.hidden_size * self.head_dim * (self.num_heads + self.num_key_value_heads)
        return attention + 3 * self.hidden_size * self.intermediate_size

    @property
    def parameters(self) -> int:
        """All weights. Exact for Llama and Mistral; biases and extra norms of other families are not counted."""
        norms = (2 * self.num_layers + 1) * self.hidden_size
        embeddings = self.vocab_size * self.hidden_size * (1 if self.tied_embeddings else 2)
        return self.num_layers * self.layer_matrix_parameters + norms + embeddings

    def flops(self, new_tokens: int, context: int) -> int:
        """FLOPs of one forward pass over `new_tokens` that attend to `context` tokens, themselves included.

        Logits are computed for the last position alone, as in generation.
        """
        attention = 4 * new_tokens * context * self.num_heads * self.head_dim
        layers = self.num_layers * (2 * new_tokens * self.layer_matrix_parameters + attention)
        return layers + 2 * self.hidden_size * self.vocab_size


_LLAMA_8B = LanguageModelSize(4096, 14336, 32, 32, 8, 128, 128256)  # the models' published config.json
LANGUAGE_MODELS: dict[str, LanguageModelSize] = {
    "meta-llama/Meta-Llama-3-8B-Instruct": _LLAMA_8B,
    "meta-llama/Llama-3.1-8B-Instruct": _LLAMA_8B,
}


@dataclass(frozen=True)
class LevelCost:
    """One level of an image.

    Args:
        name: low, mid or high.
        grid: (rows, cols) of sub-images.
        sub_images, encoded, kept: sub-images that there are, that go through the tower, and that reach the language model.
        tokens: of each sub-image, its separator not counted.
    """

    name: LevelName
    grid: Grid
    sub_images: int
    encoded: int
    kept: int
    tokens: int


@dataclass(frozen=True)
class Cost:
    """The cost of one image and one prompt. Costs of a tower or language model that was not named are None.

    Args:
        size: (height, width) of the image.
        levels: the levels that the image gets.
        num_encoded: sub-images that go through the tower (encoder passes).
        num_kept: sub-images that reach the language model.
        num_features: rows that the model computes for the image, one per image placeholder.
        num_image_tokens: tokens that the image takes in the prompt, separators included.
        prompt_tokens: image tokens and text tokens.
        tower_flops: the vision tower up to the hidden state that is used, over all encoded sub-images.
        projector_flops: the projector, over the tokens that are kept and those that the selection compares.
        prefill_flops: the language model over the prompt.
        flops_per_generated_token: the language model over the first generated token, everything before it cached.
        tower_parameters, projector_parameters, language_model_parameters: weights that the model holds; the tower's layers
            above the hidden state that is used are not among them.
    """

    size: Size
    levels: tuple[LevelCost, ...]
    num_encoded: int
    num_kept: int
    num_features: int
    num_image_tokens: int
    prompt_tokens: int
    tower_flops: int | None
    projector_flops: int | None
    prefill_flops: int | None
    flops_per_generated_token: int | None
    tower_parameters: int | None
    projector_parameters: int | None
    language_model_parameters: int | None

    def to_dict(self) -> dict[str, Any]:
        """A dictionary that JSON holds."""
        return json.loads(json.dumps(asdict(self)))


def plan(
    spec: EncoderSpec,
    size: Size,
    tower: PreTrainedConfig | Mapping[str, Any] | None = None,
    language_model: LanguageModelSize | PreTrainedConfig | str | Path | None = None,
    text_tokens: int = 64,
    tower_layers: int | None = None,
) -> Cost:
    """The cost of an image under an encoder configuration.

    Args:
        spec: the encoder configuration, for example `PRESETS["v1"].spec`.
        size: (height, width) of the image in pixels.
        tower: the vision tower's configuration, or its dictionary form; None leaves its costs out.
        language_model: sizes, a transformers configuration, a name from `LANGUAGE_MODELS`, or the path of a config.json
            or of the directory that holds one; None leaves its costs out.
        text_tokens: tokens of the prompt besides the image.
        tower_layers: layers of the tower that are built (`DragonflyConfig.num_tower_layers`); None for all but the last.

    Raises:
        ValueError: if the image is empty, the tower does not fit the spec, or the language model is unknown.
    """
    if text_tokens < 0:
        raise ValueError(f"text_tokens must be 0 or more, got {text_tokens}")
    layout = make_layout(size, spec)
    levels = _levels(layout, spec)
    encoded = sum(level.encoded for level in levels)
    head = None if language_model is None else language_model_size(language_model)
    prompt = layout.num_image_tokens + text_tokens
    size_of_tower = None if tower is None else TowerSize.from_config(tower, tower_layers)
    width = size_of_tower.hidden_size if size_of_tower else None
    return Cost(
        size=layout.size,
        levels=levels,
        num_encoded=encoded,
        num_kept=layout.num_kept,
        num_features=layout.num_features,
        num_image_tokens=layout.num_image_tokens,
        prompt_tokens=prompt,
        tower_flops=encoded * size_of_tower.flops(spec) if size_of_tower else None,
        projector_flops=2 * projected_rows(layout, spec) * width * head.hidden_size if width and head else None,
        prefill_flops=head.flops(prompt, prompt) if head else None,
        flops_per_generated_token=head.flops(1, prompt + 1) if head else None,
        tower_parameters=_tower_parameters(tower, size_of_tower) if tower is not None and size_of_tower else None,
        projector_parameters=(width + 1) * head.hidden_size if width and head else None,
        language_model_parameters=head.parameters if head else None,
    )


def _levels(layout: SubImageLayout, spec: EncoderSpec) -> tuple[LevelCost, ...]:
    early = spec.selection.early
    costs: list[LevelCost] = []
    for level in layout.levels:
        count = level.num_sub_images
        kept = layout.num_kept_high if level.name == "high" else count
        costs.append(LevelCost(level.name, level.grid, count, kept if early else count, kept, level.tokens))
    return tuple(costs)


def projected_rows(layout: SubImageLayout, spec: EncoderSpec) -> int:
    """Tokens that go through the projector for one image.

    Tokens are pooled first and only what is kept is projected. A policy that scores tokens also needs the projected embedding
    of every mid and high sub-image, or (`detail`) every patch token of the high ones; `diversity` needs the embeddings under
    any policy. The query projection of `question` is not counted: one token.
    """
    high, rule = layout.count("high"), spec.selection
    if high == layout.num_kept_high or rule.early:
        return layout.num_features
    rows = high * spec.patch_side**2 if rule.policy == "detail" else 0
    if rule.policy != "detail" or rule.diversity:
        rows += layout.count("mid") + high
    return layout.num_features + rows


def _tower_parameters(tower: PreTrainedConfig | Mapping[str, Any], size: TowerSize) -> int:
    """Weights of the tower as the model builds it: by formula for CLIP, else counted on a tower without storage."""
    if size.model_type == "clip_vision_model":
        return size.clip_parameters
    import torch

    from dragonfly.models.tower import build_tower, tower_config

    with torch.device("meta"):
        model = build_tower(tower_config(dict(tower) if isinstance(tower, Mapping) else tower), size.num_layers)
    return sum(parameter.numel() for parameter in model.parameters())


def language_model_size(model: LanguageModelSize | PreTrainedConfig | str | Path) -> LanguageModelSize:
    """The sizes of a language model that is given as sizes, a configuration, a known name, or a path (see `plan`)."""
    if isinstance(model, LanguageModelSize):
        return model
    if not isinstance(model, str | Path):
        return LanguageModelSize.from_config(model)
    if str(model) in LANGUAGE_MODELS:
        return LANGUAGE_MODELS[str(model)]
    path = Path(model)
    path = path / "config.json" if path.is_dir() else path
    if not path.is_file():
        raise ValueError(f"unknown language model {nearest(str(model), LANGUAGE_MODELS)}; or give the path of a config.json")
    return LanguageModelSize.from_config(_read_config(path))


def _read_config(path: Path) -> PreTrainedConfig:
    from transformers import AutoConfig

    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values = dict(values.get("text_config") or values)
        kind = values.pop("model_type")
    except (ValueError, AttributeError, KeyError) as error:
        raise ValueError(f"{path} is not a model's config.json (a JSON object with a model_type): {error}") from None
    if kind not in GATED_DECODERS:
        raise ValueError(f"{path}: cannot count a language model of type '{kind}' (known: {', '.join(GATED_DECODERS)})")
    return AutoConfig.for_model(kind, **values)
