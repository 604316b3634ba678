# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""A vision tower and a language model put together, the projector between them new.

Every weight of the two is kept as it is; the tokenizer gets a placeholder and a separator where it has none. The joined model is
held against the original on a short text (`models/probe.py`), so a family of which something would be lost is refused.

Image features stand among token embeddings as `get_input_embeddings` gives them. What a family does to these afterwards (Gemma 2
and Granite multiply by a constant) happens to image features too; where the embedding itself multiplies (Gemma 3), features are
not multiplied. Either way the new projector starts at the spread of the language model's weights and learns the scale.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedConfig,
)

from dragonfly.files import atomic_directory, one_line, result_header
from dragonfly.models import checkpoints
from dragonfly.models.chat_templates import joined_chat_template
from dragonfly.models.configuration_dragonfly import DragonflyConfig
from dragonfly.models.connector import optional_modules
from dragonfly.models.head import embedding_width
from dragonfly.models.image_processing_dragonfly import DragonflyImageProcessor
from dragonfly.models.modeling_dragonfly import DragonflyForConditionalGeneration
from dragonfly.models.origin import write_origin
from dragonfly.models.probe import hold_to_original, refusal
from dragonfly.models.processing_dragonfly import DragonflyProcessor
from dragonfly.models.released import RELEASED_IMAGE_TOKEN, RELEASED_SEPARATOR_TOKEN
from dragonfly.models.tower import tower_config, tower_geometry
from dragonfly.models.tower_files import fill_tower, tower_pixels

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """What a model is joined from.

    Args:
        tower, language_model: directories, or names on the hub.
        image_token, separator_token: tokens that the tokenizer has, or that it is given; None for the usual ones.
        chat_template: a Jinja file in place of the tokenizer's own; needed where it has none.
    """

    tower: str
    language_model: str
    image_token: str | None = None
    separator_token: str | None = None
    chat_template: str | None = None


def new(
    parts: Parts,
    preset: str,
    folder: str | Path,
    *,
    dtype: str = "auto",
    seed: int = 0,
) -> DragonflyForConditionalGeneration:
    """Join the parts and write the model's directory: weights, configuration, processor, `dragonfly.json`; whole or not at all.

    Args:
        preset: its grids, levels and policy; the geometry is the tower's.
        folder: a new directory; may exist only if it is empty.
        dtype: of the weights (float32, bfloat16, float16); `auto` for the language model's own.
        seed: of the projector.

    Raises:
        ValueError: if a part cannot be read, the preset does not fit the tower, something of the language model would be lost, or
            `folder` is not empty.
    """
    if dtype != "auto" and dtype not in checkpoints.DTYPES:
        raise ValueError(f"unknown dtype '{dtype}'; use auto or one of {', '.join(checkpoints.DTYPES)}")
    with atomic_directory(folder) as made:
        encoder = DragonflyConfig(vision_config=read_tower_config(parts), preset=preset).encoder
        processor = joined_processor(parts, encoder or {}, preset)
        model = joined_model(parts, processor, preset=preset, seed=seed, dtype=checkpoints.DTYPES.get(dtype, "auto"))
        model.save_pretrained(made)
        processor.save_pretrained(made)
        write_origin(made, _record(parts, preset, seed))
    return model


def stop_at_turns(generation_config: Any, processor: DragonflyProcessor) -> None:
    """Let plain `generate` stop where an answer ends, and pad; saved with the model."""
    ends = processor.stop_ids(generation_config)
    generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]
    if generation_config.pad_token_id is None:
        generation_config.pad_token_id = processor.tokenizer.pad_token_id


def planned_config(parts: Parts, preset: str) -> DragonflyConfig:
    """What the joined model's configuration would be, from those of its parts: no weights, no tokenizer, no new tokens yet."""
    text = read_config("language model", parts.language_model)
    return DragonflyConfig(vision_config=read_tower_config(parts), text_config=text.get_text_config(), preset=preset)


def _record(parts: Parts, preset: str, seed: int) -> dict[str, Any]:
    header = result_header()
    names = {"tower": parts.tower, "language_model": parts.language_model}
    return {
        "preset": preset,
        # of a directory the name alone: where it lay on this machine is nobody else's business
        "joined": {key: Path(name).name if Path(name).exists() else name for key, name in names.items()},
        "projector": f"new, from seed {seed}",
        **{key: header[key] for key in ("date", "commit", "dirty", "versions")},
    }


def read_tower_config(parts: Parts) -> PreTrainedConfig:
    """The tower's configuration; a whole model gives its vision part. ValueError if it is no vision transformer."""
    config = tower_config(read_config("tower", parts.tower))
    tower_geometry(config)  # refuses what is no vision transformer, in its own words
    return config


def joined_processor(parts: Parts, encoder: dict[str, Any], preset: str | None = None) -> DragonflyProcessor:
    """The processor of the joined model: enough to look at data, without any weights.

    Args:
        encoder: dictionary form of `vision.EncoderSpec`, with the tower's geometry.
        preset: the name to record.
    """
    tokenizer, image_token, separator_token = _tokenizer(parts)
    return DragonflyProcessor(
        DragonflyImageProcessor(encoder=encoder, preset=preset, **tower_pixels(located(parts.tower))),
        tokenizer,
        chat_template=joined_chat_template(tokenizer, image_token, parts.chat_template),
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
        raise refusal(parts.language_model, original, f"its {type(decoder).__name__} is no model that AutoModel builds")
    model.model.language_model, model.lm_head = decoder, output
    fill_tower(model.model.vision_tower, located(parts.tower), original.dtype)
    width = embedding_width(config.text_config)
    for name, module in optional_modules(config.spec, width).items():
        setattr(model.model, name, module if name == "mean_embedding" else module.to(original.dtype))
    projector = nn.Linear(config.vision_config.hidden_size, width)
    _init_projector(projector, seed, getattr(config.text_config, "initializer_range", 0.02))
    model.model.multi_modal_projector = projector.to(original.dtype)
    model.generation_config = original.generation_config
    stop_at_turns(model.generation_config, processor)
    hold_to_original(model, original, parts.language_model, processor.tokenizer)
    return model


def read_config(what: str, name: str) -> PreTrainedConfig:
    """The configuration of a directory or a hub name; ValueError in one line, naming `what` it was to be."""
    place = located(name)
    try:
        return AutoConfig.from_pretrained(place)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{what} {name!r} has no configuration that can be read ({one_line(error, 200)})") from error


def _language_model(name: str, loading: dict[str, Any]) -> Any:
    """The causal language model as transformers builds it; a vision-language model where that is what the name holds."""
    config = read_config("language model", name)
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
    if decoder is original:  # Llama 4 names its parts otherwise than it says
        decoder = getattr(original, "model", original)
    if getattr(decoder, "config", None) is None or decoder.config.model_type != text.model_type:
        raise refusal(name, original, "no language model can be told from the rest of it")
    if not isinstance(original.get_output_embeddings(), nn.Linear):
        raise refusal(name, original, "its head is not one linear layer")
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


def _init_projector(projector: nn.Linear, seed: int, deviation: float) -> None:
    """Normal weights of the language model's own spread, the same on every rank."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        projector.weight.normal_(0.0, deviation, generator=generator)
        projector.bias.zero_()


def _tokenizer(parts: Parts) -> tuple[Any, str, str]:
    """The language model's tokenizer, and its placeholder and separator: named, reserved, or added."""
    place = located(parts.language_model)
    try:
        tokenizer = AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"language model {parts.language_model!r} has no tokenizer that can be read ({one_line(error, 200)})"
        ) from error
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
