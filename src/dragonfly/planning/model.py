"""A model as planning sees it: an encoder, a tower's and a language model's sizes, and how many elements each part has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from dragonfly.planning.configs import read_config
from dragonfly.planning.cost import tower_parameters
from dragonfly.planning.language_models import LanguageModelSize
from dragonfly.planning.towers import TowerSize, tower_values
from dragonfly.vision.inputs import reads_question
from dragonfly.vision.presets import get_preset
from dragonfly.vision.spec import EncoderSpec, spec_of
from dragonfly.vision.towers import PREFIX_TOKENS

PARTS = ("vision_tower", "multi_modal_projector", "sub_image_position", "query_projection", "language_model", "lm_head")
"""What a model is made of, by the names that recipes train them under."""


@dataclass(frozen=True)
class ModelSize:
    """Encoder, tower and language model, with the tower's configuration for what has no formula.

    `notes` say what was counted by building it without storage.
    """

    spec: EncoderSpec
    tower: TowerSize
    tower_config: Mapping[str, Any] = field(repr=False, hash=False, compare=False)
    language_model: LanguageModelSize
    tower_parameters: int
    encoder_batch: int | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def from_configs(
        cls,
        tower: Mapping[str, Any],
        language_model: Mapping[str, Any],
        *,
        preset: str = "v1",
        encoder: Mapping[str, Any] | None = None,
        feature_layer: int = -2,
        encoder_batch: int | None = None,
    ) -> Self:
        """A model of two configurations, as `dragonfly new` joins them.

        Args:
            tower, language_model: config.json of each, as dictionaries; a composite's half is taken.
            preset: its grids and policy, with the tower's geometry.
            encoder: dictionary form of an `EncoderSpec`, in place of the preset.
            feature_layer: index into the tower's hidden states (`DragonflyConfig.vision_feature_layer`).
            encoder_batch: most sub-images in one call of the tower; None for all at once.

        Raises:
            ValueError: if the preset does not fit the tower, or a configuration is not one of a known architecture.
        """
        vision = tower_values(tower)
        layers = feature_layer if feature_layer >= 0 else vision["num_hidden_layers"] + 1 + feature_layer
        size = TowerSize.from_config(vision, layers)
        head = LanguageModelSize.from_config(language_model, count=True)
        values = dict(encoder) if encoder else {**get_preset(preset).spec.to_dict(), **_geometry(vision)}
        notes: list[str] = []
        if size.held is None:
            notes.append(f"the parameters of a '{size.model_type}' tower were counted on a model without storage")
        if head.counted_layer is not None:
            notes.append(
                f"a '{head.model_type}' language model was counted on a model without storage, its activations as Llama's"
            )
        parameters = tower_parameters(vision, size)
        return cls(spec_of(values), size, vision, head, parameters, encoder_batch, tuple(notes))

    @classmethod
    def of_checkpoint(cls, model: str | Path) -> Self:
        """The model of a Dragonfly directory, the path of its config.json, or the name of one that was downloaded before.

        Raises:
            ValueError: if there is none, or it is in the released format, whose config.json names its tower alone.
        """
        values = read_config(model, {}, "model")
        if values["model_type"] != "dragonfly" or "vision_config" not in values:
            raise ValueError(
                f"'{model}' is no Dragonfly model of ours (model_type '{values['model_type']}'); name a tower and a language "
                "model instead: --tower T --language-model L"
            )
        text = {**values["text_config"]}
        text.setdefault("tie_word_embeddings", bool(values.get("tie_word_embeddings", False)))
        return cls.from_configs(
            values["vision_config"],
            text,
            preset=values.get("preset") or "v1",
            encoder=values.get("encoder"),
            feature_layer=values.get("vision_feature_layer", -2),
            encoder_batch=values.get("encoder_batch"),
        )

    def with_spec(self, spec: EncoderSpec) -> Self:
        """The same tower and language model with another encoder."""
        return replace(self, spec=spec)

    def with_preset(self, name: str) -> Self:
        """The same with another preset's grids and policy. ValueError if it does not fit the tower."""
        return self.with_spec(spec_of({**get_preset(name).spec.to_dict(), **_geometry(self.tower_config)}))

    @property
    def elements(self) -> dict[str, int]:
        """Parameters of each of `PARTS`. Tied embeddings are the language model's."""
        size, hidden = self.language_model, self.language_model.hidden_size
        rows, cols = self.spec.largest_grid
        return {
            "vision_tower": self.tower_parameters,
            "multi_modal_projector": (self.tower.hidden_size + 1) * hidden,
            "sub_image_position": (3 + rows + cols) * hidden if self.spec.position == "learned" else 0,
            "query_projection": self.spec.selection.query_parameters(hidden) if reads_question(self.spec) else 0,
            "language_model": size.parameters - size.head,
            "lm_head": size.head,
        }


def _geometry(vision: Mapping[str, Any]) -> dict[str, int]:
    """The tower's geometry for an encoder. ValueError for a type whose tokens before the patches are not known."""
    kind = str(vision["model_type"])
    if kind not in PREFIX_TOKENS:
        raise ValueError(
            f"vision tower of type '{kind}' is not known here ({', '.join(PREFIX_TOKENS)}); "
            "say how many tokens stand before its patch tokens in an encoder of your own"
        )
    prefix = PREFIX_TOKENS[kind] + int(vision.get("num_register_tokens") or 0)
    return {"resolution": vision["image_size"], "patch_size": vision["patch_size"], "num_prefix_tokens": prefix}
