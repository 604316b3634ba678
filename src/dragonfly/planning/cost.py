# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""The cost of an encoder configuration on an image, before any weights exist: tokens, encoder passes, FLOPs, parameters.

`plan(spec, size, tower, language_model)` reads the layout and two sets of sizes; no network is run. FLOPs are those of the
matrix products and of the patch convolution, a multiply-add counted as 2 and attention as the full square: the numbers that
`torch.utils.flop_counter` reports for the same work. Normalisations, activations, means, rotary angles and a selection's own
dot products are left out. FLOPs say nothing about time or memory.

Known families (`families`, `towers`) are counted without torch and transformers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragonfly.planning.language_models import LanguageModelSize, language_model_size
from dragonfly.planning.towers import TowerSize, tower_values
from dragonfly.vision.layout import Size, SubImageLayout, make_layout
from dragonfly.vision.spec import EncoderSpec, Grid, LevelName

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


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
    language_model: LanguageModelSize | PreTrainedConfig | Mapping[str, Any] | str | Path | None = None,
    text_tokens: int = 64,
    tower_layers: int | None = None,
) -> Cost:
    """The cost of an image under an encoder configuration.

    Args:
        spec: the encoder configuration, for example `PRESETS["v1"].spec`.
        size: (height, width) of the image in pixels.
        tower: the vision tower's configuration, or its dictionary form; None leaves its costs out.
        language_model: sizes, a transformers configuration, its dictionary form, a known name, or the path of a
            config.json or of the directory that holds one; None leaves its costs out.
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
        tower_parameters=tower_parameters(tower, size_of_tower) if tower is not None and size_of_tower else None,
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


def tower_parameters(tower: PreTrainedConfig | Mapping[str, Any], size: TowerSize) -> int:
    """Weights of the tower as the model builds it: by formula, else counted on a tower without storage (imports torch)."""
    if size.held is not None:
        return size.held
    import torch

    from dragonfly.models.tower import build_tower, tower_config

    with torch.device("meta"):
        model = build_tower(tower_config(tower_values(tower)), size.num_layers)
    return sum(parameter.numel() for parameter in model.parameters())
