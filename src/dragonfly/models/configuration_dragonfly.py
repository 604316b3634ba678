# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""DragonflyConfig: a vision tower, a language model, and the encoder configuration that joins them.

The encoder configuration (`encoder`, a dictionary form of `vision.EncoderSpec`) is stored in the checkpoint, so a preset may
change its meaning in a later version without changing any model that was saved.
"""

from __future__ import annotations

from os import PathLike
from typing import Any, ClassVar

from transformers import AutoConfig, PreTrainedConfig

from dragonfly.models import released, remote_code
from dragonfly.models.head import has_bias
from dragonfly.models.tower import num_prefix_tokens, tower_config, tower_geometry
from dragonfly.vision.presets import get_preset
from dragonfly.vision.spec import EncoderSpec, spec_of


class DragonflyConfig(PreTrainedConfig):
    """Configuration of a Dragonfly model.

    Args:
        vision_config: any Hugging Face vision tower's configuration (object or dictionary with `model_type`).
        text_config: any Hugging Face causal language model's configuration.
        preset: name of a preset (`dragonfly presets`); gives `encoder` where that is not given.
        encoder: dictionary form of `vision.EncoderSpec`. Resolution, patch size and prefix tokens follow the tower where absent.
        image_token_id: id of the placeholder, one per feature of an image.
        separator_token_id: id of the ordinary token after each sub-image.
        vision_feature_layer: index into the tower's hidden states; -2 is the output of the last layer but one. Layers
            above it are not built.
        encoder_batch: most sub-images in one call of the tower; None for all at once.
        tie_word_embeddings: whether head and input embeddings are one matrix; as the language model's configuration says where
            not given.
        head_bias: whether the head has a bias; as the language model's family has it where not given.

    Raises:
        ValueError: for an unknown preset, or an encoder that does not fit the tower.
    """

    model_type = "dragonfly"
    keys_to_ignore_at_inference: ClassVar[Any] = ["past_key_values", "cache", "image_outputs"]
    sub_configs: ClassVar[Any] = {"text_config": AutoConfig, "vision_config": AutoConfig}

    vision_config: Any = None
    text_config: Any = None
    preset: str | None = None
    encoder: dict[str, Any] | None = None
    image_token_id: int | None = None
    separator_token_id: int | None = None
    vision_feature_layer: int = -2
    encoder_batch: int | None = None
    tie_word_embeddings: bool | None = None
    head_bias: bool | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        if self.vision_config is None:
            self.vision_config = {"model_type": "clip_vision_model"}
        if self.text_config is None:
            self.text_config = {"model_type": "llama"}
        self.vision_config = tower_config(self.vision_config)
        if isinstance(self.text_config, dict):
            values = dict(self.text_config)
            self.text_config = AutoConfig.for_model(values.pop("model_type", "llama"), **values)
        self.text_config = self.text_config.get_text_config()  # of a vision-language model, its language model's
        self._complete_head()
        self.encoder = self._complete_encoder().to_dict()
        self._check_feature_layer()
        super().__post_init__(**kwargs)
        head = "DragonflyForConditionalGeneration"
        self.auto_map = remote_code.auto_map(
            AutoConfig="DragonflyConfig",
            AutoModel="DragonflyModel",
            AutoModelForImageTextToText=head,
            AutoModelForMultimodalLM=head,
        )

    register_for_auto_class = remote_code.keeps_its_shim

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> Any:
        """As transformers, with the shim that loads it where this package was not imported."""
        remote_code.write_shim(save_directory)
        return super().save_pretrained(save_directory, *args, **kwargs)

    @property
    def spec(self) -> EncoderSpec:
        """The encoder configuration as an object."""
        return spec_of(self.encoder or {})

    @property
    def num_tower_layers(self) -> int:
        """Layers of the tower that are built: those below the hidden state that is used."""
        layer, layers = self.vision_feature_layer, self.vision_config.num_hidden_layers
        return layer if layer >= 0 else layers + 1 + layer

    def _complete_head(self) -> None:
        """Tied weights and the head's bias: what was given, else what the language model has."""
        if self.tie_word_embeddings is None:
            self.tie_word_embeddings = bool(getattr(self.text_config, "tie_word_embeddings", False))
        self.text_config.tie_word_embeddings = self.tie_word_embeddings  # vLLM reads it there
        if self.head_bias is None:
            self.head_bias = has_bias(self.text_config)

    def _complete_encoder(self) -> EncoderSpec:
        """The encoder configuration with the tower's own geometry, checked against it."""
        if not self.encoder:
            values = fit_to_tower(get_preset(self.preset or "v1").spec.to_dict(), self.vision_config)
        else:
            values = dict(self.encoder)
        resolution, patch_size = tower_geometry(self.vision_config)
        values = {"resolution": resolution, "patch_size": patch_size, **values}
        if "num_prefix_tokens" not in values:
            values["num_prefix_tokens"] = num_prefix_tokens(self.vision_config)
        spec = spec_of(values)
        if (spec.resolution, spec.patch_size) != (resolution, patch_size):
            raise ValueError(
                f"the encoder is for sub-images of {spec.resolution} px with patches of {spec.patch_size} px, the vision tower "
                f"for {resolution} px with {patch_size} px; choose a preset made for this tower"
            )
        return spec

    def check_tower(self) -> None:
        """Compare a stored encoder with what the tower does when it runs; the model asks for it when it is built.

        Raises:
            ValueError: if the tower does not fit, or gives another number of tokens before its patches.
        """
        expected, given = self.spec.num_prefix_tokens, num_prefix_tokens(self.vision_config)
        if expected != given:
            raise ValueError(
                f"the encoder expects {expected} tokens before the patch tokens, a tower of type "
                f"'{self.vision_config.model_type}' gives {given}; leave num_prefix_tokens out"
            )

    def _check_feature_layer(self) -> None:
        layers = self.vision_config.num_hidden_layers
        if not 0 < self.num_tower_layers <= layers:
            raise ValueError(
                f"vision_feature_layer {self.vision_feature_layer} is outside a tower of {layers} layers; "
                f"use 1 to {layers}, or -{layers} to -1"
            )

    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, pretrained_model_name_or_path: str | PathLike[str], **kwargs: Any
    ) -> Any:
        # The folder is needed to find the tower that a released config.json names; it is no part of the configuration.
        kwargs["folder"] = str(pretrained_model_name_or_path)
        return super().from_pretrained(pretrained_model_name_or_path, **kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        preset, folder = kwargs.pop("preset", None), kwargs.pop("folder", None)
        if released.is_released(config_dict):
            config_dict = released.translate_config(config_dict, folder or kwargs.get("name_or_path"), preset)
        if preset is not None:
            config_dict = {**config_dict, "preset": preset, "encoder": None}
        return super().from_dict(config_dict, **kwargs)


def fit_to_tower(values: dict[str, Any], vision: PreTrainedConfig) -> dict[str, Any]:
    """A preset's encoder with another tower's geometry: grids and selection policy stay, R and patches are the tower's.

    A pool window that does not divide the other tower's patch grid is left for `EncoderSpec` to refuse.
    """
    resolution, patch_size = tower_geometry(vision)
    geometry = {"resolution": resolution, "patch_size": patch_size, "num_prefix_tokens": num_prefix_tokens(vision)}
    return {**values, **geometry}
