# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""A vision tower and a language model put together, the projector between them new.

Every weight of the two is kept as it is; the tokenizer gets a placeholder and a separator where it has none. The joined model is
held against the original on a short text (`hold_to_original`), so a family of which something would be lost is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedConfig,
)

from dragonfly.models import checkpoints
from dragonfly.models.configuration_dragonfly import DragonflyConfig
from dragonfly.models.connector import optional_modules
from dragonfly.models.head import embedding_width, wants_router_logits
from dragonfly.models.image_processing_dragonfly import DragonflyImageProcessor
from dragonfly.models.modeling_dragonfly import DragonflyForConditionalGeneration
from dragonfly.models.processing_dragonfly import DragonflyProcessor
from dragonfly.models.released import RELEASED_IMAGE_TOKEN, RELEASED_SEPARATOR_TOKEN
from dragonfly.models.tower import tower_config

logger = logging.getLogger(__name__)

PROBE = "The quick brown fox jumps over the lazy dog."
PROBE_TOKENS = 8
# Largest difference from the original's logits, as a share of the largest logit: the same operations in another order.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-8}
HALF_TOLERANCE = 2e-2


@dataclass(frozen=True)
class Parts:
    """What a model is joined from.

    Args:
        tower, language_model: directories, or names on the hub.
        image_token, separator_token: tokens that the tokenizer has, or that it is given; None for the usual ones.
    """

    tower: str
    language_model: str
    image_token: str | None = None
    separator_token: str | None = None


def read_tower_config(parts: Parts) -> PreTrainedConfig:
    """The tower's configuration; a whole CLIP or SigLIP model gives its vision half."""
    return tower_config(_read_config("tower", parts.tower))


def joined_processor(
    parts: Parts, encoder: dict[str, Any], preset: str | None = None, chat_template: str | None = None
) -> DragonflyProcessor:
    """The processor of the joined model: enough to look at data, without any weights.

    Args:
        encoder: dictionary form of `vision.EncoderSpec`, with the tower's geometry.
        preset: the name to record.
        chat_template: Jinja text in place of the tokenizer's own.
    """
    tokenizer, image_token, separator_token = _tokenizer(parts)
    return DragonflyProcessor(
        DragonflyImageProcessor(encoder=encoder, preset=preset),
        tokenizer,
        chat_template=chat_template or tokenizer.chat_template,
        image_token=image_token,
        separator_token=separator_token,
    )


def joined_model(
    parts: Parts,
    processor: DragonflyProcessor,
    *,
    preset: str | None = None,
    seed: int = 0,
    **loading: Any,
) -> DragonflyForConditionalGeneration:
    """Tower and language model put into place. Built without storage, so nothing is held twice.

    Args:
        processor: of `joined_processor`; the vocabulary grows to its tokenizer's.
        seed: of the new projector, which is then the same in every process.
        loading: `dtype`, `attn_implementation` and the like, as in `from_pretrained`.

    Raises:
        ValueError: in one line, if the two do not fit, or if something of the language model would be lost.
    """
    original = _language_model(parts.language_model, loading)
    decoder = _decoder(parts.language_model, original)
    _grow_vocabulary(original, len(processor.tokenizer))
    output = original.get_output_embeddings()
    config = DragonflyConfig(
        vision_config=read_tower_config(parts),
        text_config=decoder.config,
        preset=preset,
        encoder=processor.image_processor.encoder,
        image_token_id=processor.image_token_id,
        separator_token_id=processor.separator_token_id,
        tie_word_embeddings=bool(output.weight is original.get_input_embeddings().weight),
        head_bias=output.bias is not None,
        dtype=original.dtype,
    )
    with torch.device("meta"):
        model = DragonflyForConditionalGeneration(config)
    if type(model.model.language_model) is not type(decoder):
        raise _refusal(parts.language_model, original, f"its {type(decoder).__name__} is no model that AutoModel builds")
    model.model.language_model, model.lm_head = decoder, output
    _put_tower(model, parts.tower, original.dtype)
    width = embedding_width(config.text_config)
    for name, module in optional_modules(config.spec, width).items():
        setattr(model.model, name, module if name == "mean_embedding" else module.to(original.dtype))
    projector = nn.Linear(config.vision_config.hidden_size, width)
    _init_projector(projector, seed, getattr(config.text_config, "initializer_range", 0.02))
    model.model.multi_modal_projector = projector.to(original.dtype)
    model.generation_config = original.generation_config
    hold_to_original(model, original, parts.language_model, processor.tokenizer)
    return model


@torch.no_grad()
def hold_to_original(model: DragonflyForConditionalGeneration, original: Any, name: str, tokenizer: Any) -> None:
    """Compare logits of a few tokens: a batch of two, one padded on the left, then one more token from the cache.

    Then what an image brings: embeddings of which no token has any.

    Raises:
        ValueError: in one line, if logits differ, if no cache comes back, or if the language model cannot be called so.
    """
    ids = torch.tensor([tokenizer(PROBE, add_special_tokens=False)["input_ids"][:PROBE_TOKENS]]).repeat(2, 1)
    mask = torch.ones_like(ids)
    mask[1, : ids.shape[1] // 2] = 0
    with _evaluating(model, original):
        try:
            ours, theirs = (_two_steps(one, ids, mask) for one in (model, original))
            embeddings = model.get_input_embeddings()(ids)
            model(inputs_embeds=embeddings.roll(1, dims=-1), attention_mask=mask)
        except Exception as error:  # whatever a family raises on the usual arguments, its user reads one line
            raise _refusal(name, original, f"it cannot be called as Dragonfly does ({_one_line(error)})") from error
    if ours is None or theirs is None:
        raise _refusal(name, original, "it returns no past_key_values, so that every new token would read all others again")
    limit = TOLERANCE.get(original.dtype, HALF_TOLERANCE) * float(theirs.abs().max())
    difference = float((ours - theirs).abs().max())
    if not difference <= limit:  # or not a number
        raise _refusal(name, original, f"its logits on text would differ by {difference:.3g} (at most {limit:.3g} is rounding)")


def _two_steps(model: Any, ids: Tensor, mask: Tensor) -> Tensor | None:
    """Logits of all tokens that are not padding, the last of them from the cache: (tokens, vocabulary)."""
    # Originals compute an auxiliary loss even without labels, and fail at that where part of the tokens are in the cache.
    options: dict[str, Any] = {"use_cache": True}
    if wants_router_logits(model.config.get_text_config()):
        options["output_router_logits"] = False
    first = model(input_ids=ids[:, :-1], attention_mask=mask[:, :-1], **options)
    if getattr(first, "past_key_values", None) is None:
        return None
    last = model(input_ids=ids[:, -1:], attention_mask=mask, past_key_values=first.past_key_values, **options)
    return torch.cat([first.logits, last.logits], dim=1)[mask.bool()].float()


@contextmanager
def _evaluating(*models: nn.Module) -> Generator[None]:
    """Without dropout, then as before."""
    modes = [one.training for one in models]
    for one in models:
        one.eval()
    try:
        yield
    finally:
        for one, mode in zip(models, modes, strict=True):
            one.train(mode)


def _refusal(name: str, original: Any, reason: str) -> ValueError:
    return ValueError(f"language model {name!r} ({original.config.model_type}) cannot be joined: {reason}; choose another")


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split()):.200}"


def _read_config(what: str, name: str) -> PreTrainedConfig:
    try:
        return AutoConfig.from_pretrained(located(name))
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{what} {name!r} has no configuration that can be read ({_one_line(error)})") from error


def _language_model(name: str, loading: dict[str, Any]) -> Any:
    """The causal language model as transformers builds it; a vision-language model where that is what the name holds."""
    config = _read_config("language model", name)
    if config.is_encoder_decoder:
        raise ValueError(
            f"language model {name!r} ({config.model_type}) reads its text in an encoder; give a decoder-only language model"
        )
    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        kind: Any = AutoModelForCausalLM
    elif type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        kind = AutoModelForImageTextToText
    else:
        raise ValueError(
            f"transformers {transformers.__version__} knows no causal language model of type '{config.model_type}' ({name!r})"
        )
    model, info = kind.from_pretrained(located(name), output_loading_info=True, **loading)
    checkpoints.refuse_faults(name, {**info, "unexpected_keys": ()})
    return model


def _decoder(name: str, original: Any) -> Any:
    """The language model without its head; that of a vision-language model, without its tower. ValueError if there is none."""
    text = original.config.get_text_config()
    decoder = original.base_model if text is original.config else original.get_decoder()
    decoder = original.get_decoder() if decoder is original else decoder
    if getattr(decoder, "config", None) is None or decoder.config.model_type != text.model_type:
        raise _refusal(name, original, "no language model can be told from the rest of it")
    if not isinstance(original.get_output_embeddings(), nn.Linear):
        raise _refusal(name, original, "its head is not one linear layer")
    return decoder


def _grow_vocabulary(original: Any, size: int) -> None:
    """Rows for new tokens: the mean of all embeddings, and of the head's rows.

    Rows that are there but that no token had (vocabularies are often rounded up) stay as they are, and so do their logits.
    """
    known = original.get_input_embeddings().num_embeddings
    if size <= known:
        return
    original.resize_token_embeddings(size, mean_resizing=False)
    output = original.get_output_embeddings()
    grown = {
        id(tensor): tensor
        for tensor in (original.get_input_embeddings().weight, output.weight, output.bias)
        if tensor is not None
    }
    with torch.no_grad():
        for tensor in grown.values():
            tensor[known:] = tensor[:known].float().mean(dim=0).to(tensor.dtype)


def _put_tower(model: DragonflyForConditionalGeneration, name: str, dtype: torch.dtype) -> None:
    """Copy the weights below the feature layer; buffers that a checkpoint does not hold are made anew."""
    tower = model.model.vision_tower
    tower.to_empty(device="cpu").to(dtype)
    whole, info = AutoModel.from_pretrained(located(name), dtype=dtype, output_loading_info=True)
    loaded, built = _inner(whole), _inner(tower)
    weights = {**loaded.state_dict(), **dict(loaded.named_buffers())}
    tensors = {**dict(built.named_parameters()), **dict(built.named_buffers())}
    invented = {key.removeprefix("vision_model.") for key in info["missing_keys"]}
    if missing := [key for key in tensors if key not in weights or key in invented]:
        raise ValueError(f"tower {name!r} lacks {missing[0]} and {len(missing) - 1} more tensors; is it a vision tower?")
    with torch.no_grad():
        for key, tensor in tensors.items():
            tensor.copy_(weights[key])


def _inner(tower: nn.Module) -> nn.Module:
    """The encoder itself where a whole CLIP or SigLIP model, or a wrapper, was loaded."""
    return getattr(tower, "vision_model", tower)


def _init_projector(projector: nn.Linear, seed: int, deviation: float) -> None:
    """Normal weights of the language model's own spread, the same on every rank."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        projector.weight.normal_(0.0, deviation, generator=generator)
        projector.bias.zero_()


def _tokenizer(parts: Parts) -> tuple[Any, str, str]:
    """The language model's tokenizer, and its placeholder and separator: named, reserved, or added."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(located(parts.language_model))
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"language model {parts.language_model!r} has no tokenizer that can be read ({_one_line(error)})"
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    known = tokenizer.get_vocab()
    chosen = []
    for named, reserved, added in (
        (parts.image_token, RELEASED_IMAGE_TOKEN, "<image>"),
        (parts.separator_token, RELEASED_SEPARATOR_TOKEN, "<separator>"),
    ):
        token = named or (reserved if reserved in known else added)
        if token not in known:
            tokenizer.add_special_tokens({"additional_special_tokens": [token]}, replace_extra_special_tokens=False)
            logger.info("added the token %s to the tokenizer", token)
        chosen.append(token)
    return tokenizer, chosen[0], chosen[1]


def located(name: str) -> str:
    """A hub name as it is, a directory's path; ValueError when it names a path and there is nothing."""
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        path = Path(name).expanduser()
        if not (path / "config.json").is_file():
            raise ValueError(f"no model directory {name!r} (no config.json there); give a directory or a hub name 'owner/model'")
        return str(path)
    return name
