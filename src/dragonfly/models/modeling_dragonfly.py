# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""Dragonfly as transformers knows models: one tower, one linear projector, one language model.

Any Hugging Face vision tower and causal language model fit. The geometry comes from the image processor as tensors with one
row per image; nothing is recomputed here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, GenerationMixin
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils.generic import TransformersKwargs, can_return_tuple
from transformers.utils.import_utils import torch_compilable_check

from dragonfly.models import checkpoints, head
from dragonfly.models.arguments import refuse_unknown
from dragonfly.models.configuration_dragonfly import DragonflyConfig
from dragonfly.models.connector import (
    OPTIONAL,
    Connected,
    LevelCounts,
    Modules,
    Views,
    check_selected,
    connect,
    image_features,
    optional_modules,
    views_of_images,
    with_choice,
)
from dragonfly.models.outputs import (
    CACHE,
    DragonflyCausalLMOutputWithPast,
    DragonflyImageFeatures,
    DragonflyModelOutputWithPast,
    by_image,
    joined,
)
from dragonfly.models.pretrained import DragonflyPreTrainedModel
from dragonfly.models.query_projection import embed_questions
from dragonfly.models.tower import build_tower, unused_weights
from dragonfly.vision.layout import PADDING, level_counts

HEAD = "lm_head."
Encoded = tuple[Views, LevelCounts]  # of one image


class DragonflyModel(DragonflyPreTrainedModel):
    """Vision tower, projector and language model, without a head."""

    def __init__(self, config: DragonflyConfig) -> None:
        super().__init__(config)
        config.check_tower()
        layers = config.num_tower_layers
        self.vision_tower = build_tower(config.vision_config, layers)
        width = head.embedding_width(config.get_text_config())
        self.multi_modal_projector = nn.Linear(config.vision_config.hidden_size, width)
        self.language_model = AutoModel.from_config(config.text_config)
        self._language_arguments = head.accepted_arguments(self.language_model)
        self._is_stateful = self.language_model._is_stateful
        self.spec = config.spec
        for name, module in optional_modules(self.spec, width).items():
            setattr(self, name, module)
        self._keep_in_fp32_modules_strict = {"mean_embedding"} if hasattr(self, "mean_embedding") else None
        # Full checkpoints carry the tower's unused top; what other policies use may lie beside, and may be new.
        self._keys_to_ignore_on_load_unexpected = [
            *unused_weights(config.vision_config, layers),
            *checkpoints.optional_keys(name for name in OPTIONAL if not hasattr(self, name)),
        ]
        self._keys_to_ignore_on_load_missing = checkpoints.keys_that_may_be_new()
        self.post_init()

    def _adjust_missing_and_unexpected_keys(self, loading_info: Any) -> None:
        """As transformers; a full checkpoint also carries a head.

        Not a pattern in the list above: vLLM, which puts a head beside this model, would leave its weights out.
        """
        super()._adjust_missing_and_unexpected_keys(loading_info)
        loading_info.unexpected_keys = {key for key in loading_info.unexpected_keys if not key.startswith(HEAD)}

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def encode(self, sub_images: Tensor) -> Tensor:
        """Run the tower over (n, 3, R, R) sub-images: (n, tokens, hidden)."""
        last: Any = self.run_tower(sub_images).last_hidden_state
        return last

    def run_tower(self, sub_images: Tensor, **kwargs: Any) -> BaseModelOutput:
        """The tower's output over (n, 3, R, R) sub-images, at most `config.encoder_batch` of them at once.

        Sub-images that are encoded already, (n, tokens, hidden), are their own output.
        """
        dtype = next(self.vision_tower.parameters()).dtype
        if sub_images.ndim == 3:
            return BaseModelOutput(sub_images.to(dtype))  # pyright: ignore[reportArgumentType]
        batches = sub_images.to(dtype).split(self.config.encoder_batch or len(sub_images))
        return joined([self.vision_tower(pixel_values=batch, return_dict=True, **kwargs) for batch in batches])

    def embed_sub_images(self, sub_images: Tensor) -> Tensor:
        """The mean projected token of each of (n, 3, R, R) sub-images: (n, hidden)."""
        return self.multi_modal_projector(self.encode(sub_images).mean(dim=1))

    @can_return_tuple
    def get_image_features(
        self,
        pixel_values: Tensor,
        sub_image_regions: Tensor | None = None,
        num_sub_images: Tensor | None = None,
        selected_high: Tensor | None = None,
        sub_image_positions: Tensor | None = None,
        question_ids: Tensor | None = None,
        question_mask: Tensor | None = None,
        evidence_high: Tensor | None = None,
        image_position_ids: Tensor | None = None,
        **kwargs: Any,
    ) -> DragonflyImageFeatures:
        """Encode images up to the language model's embeddings.

        Args:
            pixel_values: (num_images, num_sub_images, 3, R, R), in the layout's order; or what the tower makes of them,
                (num_images, num_sub_images, tokens, vision hidden), which then does not run.
            sub_image_regions: (num_images, num_sub_images) codes of the layout.
            num_sub_images: (num_images,) where images differ in number; what lies beyond never enters the tower.
            selected_high: (num_images, kept) ascending indices of the high sub-images to keep; overrules the policy. If
                `pixel_values` still holds all of them, the others are left out before the tower, but for a pooled remainder.
            sub_image_positions: (num_images, num_sub_images, 3) level, row and column, for a learned position or a row's context.
            question_ids, question_mask: (num_images, length) what each image is asked, for policy `question`.
            evidence_high: (num_images, high) areas shared with the answer's boxes; gives `selection_loss` under that policy.
            image_position_ids: `sub_image_regions` by a name that TRL's trainers by reward forward; says `num_sub_images` too.
            kwargs: what transformers' towers take, such as `output_hidden_states`.

        Returns:
            `pooler_output`: list with one (features, hidden) tensor per image; `selection`: `vision.Selection`, a list with
            one per image where images differ in number, or None if the model chose nothing.

        Raises:
            ValueError: for an unknown keyword argument.
        """
        refuse_unknown(kwargs, TransformersKwargs.__annotations__, "get_image_features")
        if image_position_ids is not None:
            sub_image_regions = image_position_ids
            if level_counts(self.spec) is None:
                num_sub_images = (image_position_ids != PADDING).sum(dim=1)
        question = self.embed_questions(question_ids, question_mask)
        views = Views(pixel_values, sub_image_regions, sub_image_positions, None, question, evidence_high)
        if num_sub_images is not None:
            images = views_of_images(views, num_sub_images, selected_high, self.spec)
            images, output = self._encode_images(images, **kwargs)
            done = [self.connect(*one) for one in images]
            tower = by_image(output, [one.features.shape[1] for one, _ in images])
            return image_features(done, [one.tokens[0] for one in done], [one.selection for one in done], **tower)
        counts = LevelCounts.of_number(pixel_values.shape[1], self.spec)
        if selected_high is not None:
            check_selected(selected_high, (pixel_values.shape[0], counts.kept))
            views, counts = with_choice(views, selected_high, counts, self.spec)
        number, sub_images = views.features.shape[:2]
        tower = by_image(self.run_tower(views.features.flatten(0, 1), **kwargs), [sub_images] * number)
        connected = self.connect(replace(views, features=tower["last_hidden_state"]), counts)
        return image_features([connected], list(connected.tokens.unbind()), connected.selection, **tower)

    def embed_questions(self, ids: Tensor | None, mask: Tensor | None) -> Tensor | None:
        """What each image is asked as a vector, where the policy wants to know: (num_images, hidden)."""
        if ids is None or mask is None or not hasattr(self, "query_projection"):
            return None
        return embed_questions(self.get_input_embeddings(), ids, mask)

    def connect(self, views: Views, counts: LevelCounts) -> Connected:
        """Encoded images -> the language model's embeddings of them; the same for every policy and every caller."""
        optional = {name: getattr(self, name, None) for name in OPTIONAL}
        return connect(views, counts, self.spec, Modules(self.multi_modal_projector, **optional))

    def encode_views(self, views: Views, num_sub_images: Tensor | None = None, selected: Tensor | None = None) -> list[Encoded]:
        """Images one by one, after one pass of the tower over all: what `connect` takes, for any question, any number of times.

        Args:
            views: `features` holds the pixels, (num_images, num_sub_images, 3, R, R).
            num_sub_images, selected: as in `get_image_features`.
        """
        return self._encode_images(views_of_images(views, num_sub_images, selected, self.spec))[0]

    def _encode_images(self, images: list[Encoded], **kwargs: Any) -> tuple[list[Encoded], BaseModelOutput]:
        """One pass of the tower over all sub-images; also what it gave beside the features."""
        rows = [one.features[0] for one, _ in images]
        output = self.run_tower(torch.cat(rows), **kwargs)
        last: Any = output.last_hidden_state
        encoded = last.split([len(row) for row in rows])
        done = [(replace(one, features=features[None]), count) for (one, count), features in zip(images, encoded, strict=True)]
        return done, output

    def get_placeholder_mask(self, input_ids: Tensor | None, inputs_embeds: Tensor, image_features: Tensor) -> Tensor:
        """(batch, length, 1) mask of the placeholders, checked against the number of features.

        Raises:
            ValueError: with both numbers, if they differ; or if the configuration does not say which token is the placeholder.
        """
        if self.config.image_token_id is None:
            raise ValueError("config.image_token_id is not set and no tokenizer lay beside the weights; set it to use images")
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
        inputs_embeds: Tensor | None = None,
        sub_image_regions: Tensor | None = None,
        num_sub_images: Tensor | None = None,
        selected_high: Tensor | None = None,
        sub_image_positions: Tensor | None = None,
        question_ids: Tensor | None = None,
        question_mask: Tensor | None = None,
        evidence_high: Tensor | None = None,
        image_position_ids: Tensor | None = None,
        mm_encoder_outputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> DragonflyModelOutputWithPast:
        """Ids (batch, length) and images -> hidden states (batch, length, hidden).

        Images stand in the order of their placeholder blocks, row after row; rows without images bring none.
        `mm_encoder_outputs={"image": get_image_features(...)}` takes the place of `pixel_values`. The rest goes to the language
        model: so does the key-value cache, which transformers 5.24 calls `cache` and earlier ones `past_key_values`.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        encoded: Any = (mm_encoder_outputs or {}).get("image")
        if pixel_values is not None and encoded is not None:
            raise ValueError("give pixel_values or mm_encoder_outputs, not both: they are the same images")
        embeds: Tensor = self.get_input_embeddings()(input_ids) if inputs_embeds is None else inputs_embeds
        if pixel_values is not None:
            encoded = self.get_image_features(
                pixel_values,
                sub_image_regions,
                num_sub_images,
                selected_high,
                sub_image_positions,
                question_ids,
                question_mask,
                evidence_high,
                image_position_ids,
                return_dict=True,
            )
        features = None
        if encoded is not None:
            features = torch.cat(list(encoded.pooler_output)).to(embeds.device, embeds.dtype)
            mask = self.get_placeholder_mask(input_ids, embeds, features)
            embeds = embeds.masked_scatter(mask, features)
        given = {"attention_mask": attention_mask, "position_ids": position_ids, "inputs_embeds": embeds}
        outputs = self.language_model(**head.fitting({**given, **kwargs}, self._language_arguments))
        return DragonflyModelOutputWithPast(
            last_hidden_state=outputs.last_hidden_state,
            hidden_states=outputs.hidden_states,
            attentions=getattr(outputs, "attentions", None),
            image_hidden_states=features,
            image_outputs=encoded,
            selection_loss=getattr(encoded, "selection_loss", None),
            router_logits=getattr(outputs, "router_logits", None),
            **{CACHE: getattr(outputs, CACHE, None)},
        )


class DragonflyForConditionalGeneration(DragonflyPreTrainedModel, GenerationMixin):
    """A `DragonflyModel` with a language-model head."""

    _tied_weights_keys = {"lm_head.weight": "model.language_model.embed_tokens.weight"}  # noqa: RUF012
    _tp_plan = {"lm_head": "colwise_gather_output"}  # noqa: RUF012

    def __init__(self, config: DragonflyConfig) -> None:
        super().__init__(config)
        self.model = DragonflyModel(config)
        text = config.get_text_config()
        self.lm_head = nn.Linear(head.embedding_width(text), text.vocab_size, bias=bool(config.head_bias))
        name = head.embedding_name(self.model.language_model)
        self._tied_weights_keys = {"lm_head.weight": f"model.language_model.{name}.weight"}
        self._is_stateful = self.model._is_stateful
        self.post_init()

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
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        sub_image_regions: Tensor | None = None,
        num_sub_images: Tensor | None = None,
        selected_high: Tensor | None = None,
        sub_image_positions: Tensor | None = None,
        question_ids: Tensor | None = None,
        question_mask: Tensor | None = None,
        evidence_high: Tensor | None = None,
        image_position_ids: Tensor | None = None,
        mm_encoder_outputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> DragonflyCausalLMOutputWithPast:
        """As `DragonflyModel.forward`, then logits of the last `logits_to_keep` positions (0: all); given labels, the loss.

        Logits have the language model's own factor and soft cap. Given labels, `output_router_logits` (in `text_config`, or
        here) adds the auxiliary loss of a mixture of experts.
        """
        text = self.config.get_text_config()
        routed = kwargs.pop("output_router_logits", None)
        if routed is None and labels is not None:
            routed = head.wants_router_logits(text)
        outputs = self.model(
            input_ids=input_ids,
            pixel_values=pixel_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            sub_image_regions=sub_image_regions,
            num_sub_images=num_sub_images,
            selected_high=selected_high,
            sub_image_positions=sub_image_positions,
            question_ids=question_ids,
            question_mask=question_mask,
            evidence_high=evidence_high,
            image_position_ids=image_position_ids,
            mm_encoder_outputs=mm_encoder_outputs,
            **({"output_router_logits": True} if routed else {}),
            **kwargs,
        )
        positions = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = head.shaped(self.lm_head(outputs.last_hidden_state[:, positions]), text)
        loss, balance, weight = None, None, 0.0
        if routed:
            balance, weight = head.auxiliary_loss(self.model.language_model, outputs.router_logits, attention_mask)
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=text.vocab_size, **kwargs)
            if balance is not None:
                loss = loss + weight * balance.to(loss.device)
        return DragonflyCausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=outputs.image_hidden_states,
            image_outputs=outputs.image_outputs,
            selection_loss=outputs.selection_loss,
            aux_loss=balance,
            router_logits=outputs.router_logits,
            **{CACHE: getattr(outputs, CACHE)},
        )
