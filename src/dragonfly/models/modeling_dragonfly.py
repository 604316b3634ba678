"""Dragonfly as transformers knows models: one tower, one linear projector, one language model.

`DragonflyModel` has no head; `DragonflyForConditionalGeneration` adds it. Any Hugging Face vision tower and causal language
model fit. The geometry comes from the image processor as tensors with one row per picture; nothing is recomputed here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, GenerationMixin, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.utils.generic import can_return_tuple
from transformers.utils.import_utils import torch_compilable_check

from dragonfly.models import conversion
from dragonfly.models.configuration_dragonfly import DragonflyConfig
from dragonfly.models.connector import LevelCounts, connect, keep_high
from dragonfly.models.outputs import DragonflyCausalLMOutputWithPast, DragonflyImageFeatures, DragonflyModelOutputWithPast
from dragonfly.models.shared_mean import SharedMean
from dragonfly.models.towers import build_tower, unused_weights
from dragonfly.vision.layout import LOW, MID, level_counts
from dragonfly.vision.selection import Selection

HEAD = r"^lm_head\."
OPTIONAL = [r"shared_mean\."]  # tensors that an encoder configuration may bring along


class DragonflyPreTrainedModel(PreTrainedModel):
    config_class = DragonflyConfig
    config: DragonflyConfig
    base_model_prefix = "model"
    input_modalities = ["image", "text"]  # noqa: RUF012
    supports_gradient_checkpointing = True
    _skip_keys_device_placement = ["past_key_values"]  # noqa: RUF012
    _keep_in_fp32_modules_strict = {"shared_mean"}  # noqa: RUF012
    _keys_to_ignore_on_load_missing = OPTIONAL  # then they are new: zero, and without effect or refused in use
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, SharedMean):
            module.mean.zero_()
            module.count.zero_()

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, strict: bool = True, **kwargs: Any) -> Any:
        """As transformers, but a checkpoint that does not fit is refused instead of patched with random weights.

        Args:
            strict: False warns as transformers does.

        Raises:
            ValueError: naming the missing, unexpected or mis-shaped tensors.
        """
        wants_info = kwargs.pop("output_loading_info", False)
        if strict:
            kwargs["ignore_mismatched_sizes"] = True  # so that they are named below, with the other faults
        kwargs["output_loading_info"] = True
        loaded: Any = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        model, info = loaded
        if strict:
            _refuse_faults(str(pretrained_model_name_or_path), info)
        if model.can_generate() and "generation_config" not in kwargs:
            _end_at_turns(model, str(pretrained_model_name_or_path))
        return (model, info) if wants_info else model

    def save_pretrained(self, save_directory: Any, *args: Any, save_original_format: bool = False, **kwargs: Any) -> None:
        """As transformers, but under our own tensor names even if the checkpoint was read under others."""
        super().save_pretrained(save_directory, *args, save_original_format=save_original_format, **kwargs)


class DragonflyModel(DragonflyPreTrainedModel):
    """Vision tower, projector and language model, without a head."""

    def __init__(self, config: DragonflyConfig) -> None:
        super().__init__(config)
        layers = config.num_tower_layers
        self.vision_tower = build_tower(config.vision_config, layers)
        self.multi_modal_projector = nn.Linear(config.vision_config.hidden_size, config.get_text_config().hidden_size)
        self.language_model = AutoModel.from_config(config.text_config)
        self.spec = config.spec
        if self.spec.selects and self.spec.selection.policy == "centred":
            self.shared_mean = SharedMean(config.get_text_config().hidden_size)
        # Full checkpoints carry the tower's unused top; a language-model head has no place here.
        # What only another keep rule would use may lie beside: a rule can be changed when a model is loaded.
        self._keys_to_ignore_on_load_unexpected = [*unused_weights(config.vision_config, layers), *OPTIONAL, HEAD]
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def encode(self, sub_images: Tensor) -> Tensor:
        """Run the tower over (n, 3, R, R) sub-images, at most `config.encoder_batch` at once: (n, tokens, hidden)."""
        dtype = next(self.vision_tower.parameters()).dtype
        batches = sub_images.to(dtype).split(self.config.encoder_batch or len(sub_images))
        outputs = [self.vision_tower(pixel_values=batch).last_hidden_state for batch in batches]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def summarise(self, sub_images: Tensor) -> Tensor:
        """The mean projected token of each of (n, 3, R, R) sub-images: (n, hidden)."""
        return self.multi_modal_projector(self.encode(sub_images).mean(dim=1))

    @can_return_tuple
    def get_image_features(
        self,
        pixel_values: Tensor,
        sub_image_regions: Tensor | None = None,
        num_sub_images: Tensor | None = None,
        selected_high: Tensor | None = None,
        **kwargs: Any,
    ) -> DragonflyImageFeatures:
        """Encode pictures up to the language model's embeddings.

        Args:
            pixel_values: (num_images, num_sub_images, 3, R, R), in the layout's order.
            sub_image_regions: (num_images, num_sub_images) codes of the layout.
            num_sub_images: (num_images,) where pictures differ in number; what lies beyond never enters the tower.
            selected_high: (num_images, kept) ascending indices of the high sub-images to keep; overrules the policy. If
                `pixel_values` still holds all of them, the others are left out before the tower.

        Returns:
            `pooler_output`: list with one (features, hidden) tensor per picture; `selection`: `vision.Selection`, a list with
            one per picture where pictures differ in number, or None if the model chose nothing.
        """
        if num_sub_images is not None:
            return self._uneven_features(pixel_values, sub_image_regions, num_sub_images, selected_high)
        counts = self._level_counts(pixel_values.shape[1])
        if selected_high is not None:
            _check_selected(selected_high, (pixel_values.shape[0], counts.kept))
            if counts.high > counts.kept:
                pixel_values = keep_high(pixel_values, selected_high, counts)
                counts = LevelCounts(counts.low, counts.mid, counts.kept, counts.kept)
        encoded = self.encode(pixel_values.flatten(0, 1)).unflatten(0, pixel_values.shape[:2])
        tokens, selection = self._connect(encoded, sub_image_regions, counts)
        return DragonflyImageFeatures(pooler_output=list(tokens.unbind()), selection=selection)  # pyright: ignore[reportArgumentType]

    def _connect(self, encoded: Tensor, codes: Tensor | None, counts: LevelCounts) -> tuple[Tensor, Selection | None]:
        shared_mean = getattr(self, "shared_mean", None)
        return connect(encoded, codes, counts, self.spec, self.multi_modal_projector, shared_mean)

    def _level_counts(self, num_sub_images: int) -> LevelCounts:
        """Split a picture's number of sub-images into levels, from the configuration alone (no tensor is read)."""
        counts = level_counts(self.spec)
        if counts is None:
            raise ValueError("pictures differ in their number of sub-images under this encoder; pass num_sub_images")
        high = num_sub_images - counts["low"] - counts["mid"]
        kept = self.spec.num_kept_high(counts["mid"], counts["high"])
        if high not in (counts["high"], kept):
            raise ValueError(
                f"pixel_values has {num_sub_images} sub-images per picture; this encoder makes {sum(counts.values())} "
                f"(or {counts['low'] + counts['mid'] + kept} after selection); use the model's own image processor"
            )
        return LevelCounts(counts["low"], counts["mid"], high, kept)

    def _uneven_features(
        self, pixel_values: Tensor, codes: Tensor | None, num_sub_images: Tensor, selected_high: Tensor | None
    ) -> DragonflyImageFeatures:
        """Pictures with different numbers of sub-images: one pass of the tower over all, then each picture by itself."""
        if codes is None:
            raise ValueError("num_sub_images needs sub_image_regions, which the image processor makes beside it")
        numbers = num_sub_images.tolist()
        counts = [_count_codes(row[:n].tolist(), self.spec.num_kept_high) for row, n in zip(codes, numbers, strict=True)]
        rows = [row[:n] for row, n in zip(pixel_values, numbers, strict=True)]
        if selected_high is not None:
            width = max(count.kept for count in counts)  # rows may be padded beyond it, for batch mates that are elsewhere
            _check_selected(selected_high[:, :width], (len(rows), width))
            for index, count in enumerate(counts):
                if count.high > count.kept:
                    rows[index] = keep_high(rows[index][None], selected_high[index][None, : count.kept], count)[0]
                    counts[index] = LevelCounts(count.low, count.mid, count.kept, count.kept)
        encoded = self.encode(torch.cat(rows)).split([len(row) for row in rows])
        results = [
            self._connect(features[None], row[None, : count.total], count)
            for features, row, count in zip(encoded, codes, counts, strict=True)
        ]
        return DragonflyImageFeatures(
            pooler_output=[tokens[0] for tokens, _ in results],  # pyright: ignore[reportArgumentType]
            selection=[selection for _, selection in results],
        )

    def get_placeholder_mask(self, input_ids: Tensor | None, inputs_embeds: Tensor, image_features: Tensor) -> Tensor:
        """(batch, length, 1) mask of the placeholders, checked against the number of features.

        Raises:
            ValueError: with both numbers, if they differ; or if the configuration does not say which token is the placeholder.
        """
        if self.config.image_token_id is None:
            raise ValueError("config.image_token_id is not set and no tokenizer lay beside the weights; set it to use pictures")
        if input_ids is None:
            token = torch.tensor(self.config.image_token_id, device=inputs_embeds.device)
            mask = (inputs_embeds == self.get_input_embeddings()(token)).all(-1)
        else:
            mask = input_ids == self.config.image_token_id
        count = mask.sum()
        torch_compilable_check(
            count == image_features.shape[0],
            f"Image features and image tokens do not match, tokens: {count}, features: {image_features.shape[0]}; "
            "the prompt must come from the processor of this model, uncut",
        )
        return mask.unsqueeze(-1)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        sub_image_regions: Tensor | None = None,
        num_sub_images: Tensor | None = None,
        selected_high: Tensor | None = None,
        mm_encoder_outputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> DragonflyModelOutputWithPast:
        """Ids (batch, length) and pictures -> hidden states (batch, length, hidden).

        Pictures stand in the order of their placeholder blocks, row after row; rows without pictures bring none.
        `mm_encoder_outputs={"image": get_image_features(...)}` takes the place of `pixel_values`.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        encoded: Any = (mm_encoder_outputs or {}).get("image")
        if pixel_values is not None and encoded is not None:
            raise ValueError("give pixel_values or mm_encoder_outputs, not both: they are the same pictures")
        embeds: Tensor = self.get_input_embeddings()(input_ids) if inputs_embeds is None else inputs_embeds
        if pixel_values is not None:
            encoded = self.get_image_features(pixel_values, sub_image_regions, num_sub_images, selected_high, return_dict=True)
        features = None
        if encoded is not None:
            features = torch.cat(list(encoded.pooler_output)).to(embeds.device, embeds.dtype)
            mask = self.get_placeholder_mask(input_ids, embeds, features)
            embeds = embeds.masked_scatter(mask, features)
        outputs = self.language_model(
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=embeds,
            **kwargs,
        )
        return DragonflyModelOutputWithPast(
            last_hidden_state=outputs.last_hidden_state,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=features,
        )


class DragonflyForConditionalGeneration(DragonflyPreTrainedModel, GenerationMixin):
    """A `DragonflyModel` with a language-model head."""

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}  # noqa: RUF012
    _tp_plan = {"lm_head": "colwise_gather_output"}  # noqa: RUF012

    def __init__(self, config: DragonflyConfig) -> None:
        super().__init__(config)
        self.model = DragonflyModel(config)
        text = config.get_text_config()
        self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        self.post_init()
        ignored: Any = self._keys_to_ignore_on_load_unexpected  # what the parts ignore, collected by post_init
        self._keys_to_ignore_on_load_unexpected = {key for key in ignored if key != HEAD}  # a stray head is a fault here

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def get_image_features(self, *args: Any, **kwargs: Any) -> DragonflyImageFeatures:
        """See `DragonflyModel.get_image_features`."""
        return self.model.get_image_features(*args, **kwargs)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        sub_image_regions: Tensor | None = None,
        num_sub_images: Tensor | None = None,
        selected_high: Tensor | None = None,
        mm_encoder_outputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> DragonflyCausalLMOutputWithPast:
        """As `DragonflyModel.forward`, then logits of the last `logits_to_keep` positions (0: all); given labels, the loss."""
        outputs = self.model(
            input_ids=input_ids,
            pixel_values=pixel_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            sub_image_regions=sub_image_regions,
            num_sub_images=num_sub_images,
            selected_high=selected_high,
            mm_encoder_outputs=mm_encoder_outputs,
            **kwargs,
        )
        positions = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, positions])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.get_text_config().vocab_size, **kwargs)
        return DragonflyCausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=outputs.image_hidden_states,
        )


def _end_at_turns(model: Any, name: str) -> None:
    """Released generation configurations stop at the end of the text only, which a chat answer never reaches."""
    released = conversion.read_released(name)
    if released is not None:
        end_of_text = released.get("eos_token_id")
        model.generation_config.eos_token_id = conversion.end_ids(name, end_of_text) or None
        model.generation_config.pad_token_id = end_of_text


def _refuse_faults(name: str, info: dict[str, Any]) -> None:
    """Raise one line that names every tensor that is missing, unexpected or of another shape."""
    faults = [
        f"{kind} {', '.join(sorted(str(key[0]) if isinstance(key, tuple) else str(key) for key in keys)[:5])}"
        + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
        for kind, keys in (
            ("missing", info["missing_keys"]),
            ("unexpected", info["unexpected_keys"]),
            ("mis-shaped", info["mismatched_keys"]),
        )
        if keys
    ]
    if faults:
        raise ValueError(f"checkpoint '{name}' does not fit the model: {'; '.join(faults)}")


def _check_selected(selected_high: Tensor, expected: tuple[int, int]) -> None:
    """The number kept is part of the encoder configuration (placeholders are counted from it), so no caller may change it."""
    if selected_high.shape != expected:
        raise ValueError(
            f"selected_high has shape {tuple(selected_high.shape)}, this encoder keeps {expected[1]} high sub-images of each of "
            f"{expected[0]} pictures: give {expected}"
        )


def _count_codes(codes: list[int], num_kept: Any) -> LevelCounts:
    low, mid = codes.count(LOW), codes.count(MID)
    high = len(codes) - low - mid
    return LevelCounts(low, mid, high, min(high, num_kept(mid, high)))
