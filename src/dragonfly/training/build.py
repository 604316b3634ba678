"""A stage's beginning: model and processor from a recipe's `init_from`, and the hook by which other beginnings plug in.

Training's own two are a `checkpoint`, and a `tower` and a `language_model` with a new projector. Knows no data and no optimiser.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import MODEL_MAPPING, AutoProcessor, PreTrainedConfig

from dragonfly.config import Config
from dragonfly.inference.integrity import check_record
from dragonfly.inference.loading import find_directory
from dragonfly.installation import bundled_model, bundled_name, install_advice
from dragonfly.models import DragonflyConfig, DragonflyForConditionalGeneration, DragonflyProcessor
from dragonfly.models.joining import Parts, joined_model, joined_processor, located, read_config, read_tower_config, stop_at_turns
from dragonfly.vision.presets import get_preset
from dragonfly.vision.spec import GEOMETRY, EncoderSpec

if TYPE_CHECKING:
    from .recipe import InitFrom, ModelOptions, Recipe

logger = logging.getLogger(__name__)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Initializer:
    """What a key of a recipe's `init_from` names: where model and processor come from.

    Args:
        options: that key's section of a recipe.
        processor: enough to look at data, without any weights.
        model: every weight in place and the encoder that of the processor; nothing is frozen yet.
    """

    options: type[Config]
    processor: Callable[[Recipe], DragonflyProcessor]
    model: Callable[[Recipe, DragonflyProcessor], DragonflyForConditionalGeneration]


def build_processor(recipe: Recipe) -> DragonflyProcessor:
    """The stage's processor, alone: enough to look at data, without any weights."""
    source = recipe.init_from
    if initializer := recipe.initializer_hook:
        return initializer.processor(recipe)
    return _loaded_processor(recipe, source.checkpoint) if source.checkpoint is not None else _joined_processor(recipe)


def build_model(recipe: Recipe, processor: DragonflyProcessor) -> DragonflyForConditionalGeneration:
    """The stage's model, its encoder that of the processor, every weight in place; nothing is frozen yet."""
    source = recipe.init_from
    if initializer := recipe.initializer_hook:
        model = initializer.model(recipe, processor)
    elif source.checkpoint is not None:
        model = _loaded_model(recipe, source.checkpoint, processor)
    else:
        model = _joined_model(recipe, processor)
    model.config.encoder_batch = None  # all ranks must call the tower equally often
    stop_at_turns(model.generation_config, processor)
    return model


def weights_dtype(recipe: Recipe) -> torch.dtype:
    """The number format in which a run holds the weights that it loads."""
    # DeepSpeed keeps float32 masters of its own and LoRA leaves the base as it is; else the weights are the masters.
    lean = recipe.deepspeed is not None or recipe.lora is not None
    return DTYPES[recipe.precision] if lean else torch.float32


def loading_options(recipe: Recipe, config: PreTrainedConfig) -> dict[str, Any]:
    """Arguments of `from_pretrained` for what `config` describes: the format of its weights, and its attention."""
    attention = {"attn_implementation": known_attention(recipe.attention, config)} if recipe.attention is not None else {}
    return {"dtype": weights_dtype(recipe), **attention}


def known_attention(wanted: str | dict[str, str], config: PreTrainedConfig) -> str | dict[str, str]:
    """The attention that a recipe names, but `eager`, with a warning, for a part that has none by `sdpa` (Gemma 2)."""
    if not isinstance(wanted, str) or wanted != "sdpa":
        return wanted
    parts: dict[str, PreTrainedConfig] = {key: getattr(config, key) for key in config.sub_configs} or {"": config}
    lacking = {key: part for key, part in parts.items() if not _has_sdpa(part)}
    if not lacking:
        return wanted
    types = ", ".join(part.model_type for part in lacking.values())
    logger.warning("attention=sdpa is not known to %s, so eager takes its place there; it holds a matrix of scores", types)
    return "eager" if "" in lacking else {key: "eager" if key in lacking else wanted for key in parts}


def _has_sdpa(config: PreTrainedConfig) -> bool:
    model: Any = MODEL_MAPPING.get(type(config), None)
    return model is None or bool(model._supports_sdpa)


def encoder_of(recipe: Recipe, tower: PreTrainedConfig) -> dict[str, Any]:
    """The encoder (dictionary form) of a new model with this tower."""
    options = recipe.model
    given: dict[str, Any] = {"encoder": options.encoder} if options.encoder is not None else {"preset": options.preset}
    return encoder_for(options, DragonflyConfig(vision_config=tower, **given).encoder)


def _loaded_processor(recipe: Recipe, checkpoint: str) -> DragonflyProcessor:
    place = Path(_directory(checkpoint))
    if place.is_dir():
        check_record(place)  # training from a damaged model would hide the damage
    processor = cast(DragonflyProcessor, AutoProcessor.from_pretrained(_directory(checkpoint)))
    processor.image_processor.encoder = encoder_for(recipe.model, processor.image_processor.encoder)
    return processor


def _loaded_model(recipe: Recipe, checkpoint: str, processor: DragonflyProcessor) -> DragonflyForConditionalGeneration:
    config = DragonflyConfig.from_pretrained(_directory(checkpoint))
    options = loading_options(recipe, config)
    config.encoder = processor.image_processor.encoder
    config.preset = recipe.model.preset or config.preset
    if recipe.lora is not None and recipe.lora.quantize:
        options["quantization_config"] = four_bits(recipe.precision)
    return DragonflyForConditionalGeneration.from_pretrained(_directory(checkpoint), config=config, **options)


def _joined_processor(recipe: Recipe) -> DragonflyProcessor:
    parts = _parts(recipe.init_from)
    return joined_processor(parts, encoder_of(recipe, read_tower_config(parts)), recipe.model.preset)


def encoder_for(options: ModelOptions, encoder: Any) -> dict[str, Any]:
    """`encoder` (dictionary form) with a recipe's changes. ValueError naming what does not fit."""
    if options.preset is not None and options.encoder is not None:
        raise ValueError("model.preset and model.encoder both describe the encoder; give one")
    values = dict(encoder)
    if options.encoder is not None:
        values = dict(options.encoder)
    elif options.preset is not None:
        geometry = {key: values[key] for key in GEOMETRY}
        values = {**get_preset(options.preset).spec.to_dict(), **geometry}
    changes = options.model_dump(exclude_none=True, exclude={"preset", "encoder"})
    return EncoderSpec.from_dict(values).changed(changes).to_dict()


def warn_of_stale_query_projection(model: DragonflyForConditionalGeneration) -> None:
    """Warn where policy `question` has a learned query projection that stays as it is while what it compares is trained."""
    projection = getattr(model.model, "query_projection", None)
    if projection is None or not projection.learned() or any(weight.requires_grad for weight in projection.parameters()):
        return
    compared = {
        "vision_tower": model.model.vision_tower,
        "multi_modal_projector": model.model.multi_modal_projector,
        "embeddings": model.get_input_embeddings(),
    }
    moving = [name for name, part in compared.items() if any(weight.requires_grad for weight in part.parameters())]
    if moving:
        logger.warning(
            "policy 'question' chooses by a query projection that was learned for the %s as they were, and this run trains them: "
            "it will choose worse. Train language_model.layers alone, or learn it again afterwards (dragonfly lab calibrate), or "
            "choose without it (model.selection.policy=detail)",
            ", ".join(moving),
        )


def four_bits(precision: str) -> Any:
    """The language model in 4 bits (NF4), tower, projector and head as they are. ValueError where that cannot run."""
    try:
        import bitsandbytes  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        advice = install_advice("qlora")
        raise ValueError(f"lora.quantize needs bitsandbytes: {advice}, or set lora.quantize=false") from None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=DTYPES[precision],
        # By their full names: a part is found by how a module's name begins, or ends.
        llm_int8_skip_modules=["model.vision_tower", "model.multi_modal_projector", "lm_head"],
    )


def _joined_model(recipe: Recipe, processor: DragonflyProcessor) -> DragonflyForConditionalGeneration:
    parts = _parts(recipe.init_from)
    options = loading_options(recipe, read_config("language model", parts.language_model))
    return joined_model(parts, processor, preset=recipe.model.preset, seed=recipe.seed, **options)


def _parts(source: InitFrom) -> Parts:
    return Parts(
        existing(source.tower or ""),
        existing(source.language_model or ""),
        source.image_token,
        source.separator_token,
        source.chat_template,
    )


def _directory(checkpoint: str) -> str:
    """Where a checkpoint lies; the hub is asked by our own words, so a fault names the key that named it."""
    return str(find_directory(checkpoint, setting="init_from.checkpoint"))


def existing(name: str) -> str:
    """The name itself, or the directory of a model in the package; ValueError when it names a path and there is nothing."""
    own = bundled_name(name)
    return str(bundled_model(own)) if own else located(name)
