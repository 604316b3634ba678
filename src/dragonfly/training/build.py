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
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoProcessor, AutoTokenizer, PreTrainedConfig

from dragonfly.config import Config
from dragonfly.inference.loading import bundled_model
from dragonfly.models import DragonflyConfig, DragonflyForConditionalGeneration, DragonflyImageProcessor, DragonflyProcessor
from dragonfly.models.chat_templates import joined_chat_template
from dragonfly.models.connector import optional_modules
from dragonfly.models.released import RELEASED_IMAGE_TOKEN, RELEASED_SEPARATOR_TOKEN
from dragonfly.models.tower import tower_config
from dragonfly.vision.presets import get_preset
from dragonfly.vision.spec import GEOMETRY, EncoderSpec

if TYPE_CHECKING:
    from .recipe import InitFrom, ModelOptions, Recipe

logger = logging.getLogger(__name__)

BUNDLED = "nano"
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


def stop_at_turns(generation_config: Any, processor: DragonflyProcessor) -> None:
    """Let plain `generate` stop where an answer ends, and pad; saved with the model."""
    ends = processor.stop_ids(generation_config)
    generation_config.eos_token_id = ends if len(ends) > 1 else ends[0]
    if generation_config.pad_token_id is None:
        generation_config.pad_token_id = processor.tokenizer.pad_token_id


def loading_options(recipe: Recipe) -> dict[str, Any]:
    """Arguments of `from_pretrained`: the number format of the weights, and the attention implementation."""
    # DeepSpeed keeps float32 masters of its own and LoRA leaves the base as it is; else the weights are the masters.
    lean = recipe.deepspeed is not None or recipe.lora is not None
    options: dict[str, Any] = {"dtype": DTYPES[recipe.precision] if lean else torch.float32}
    if recipe.attention is not None:
        options["attn_implementation"] = recipe.attention
    return options


def encoder_of(recipe: Recipe, tower: PreTrainedConfig) -> dict[str, Any]:
    """The encoder (dictionary form) of a new model with this tower."""
    options = recipe.model
    given: dict[str, Any] = {"encoder": options.encoder} if options.encoder is not None else {"preset": options.preset}
    return encoder_for(options, DragonflyConfig(vision_config=tower, **given).encoder)


def _loaded_processor(recipe: Recipe, checkpoint: str) -> DragonflyProcessor:
    processor = cast(DragonflyProcessor, AutoProcessor.from_pretrained(existing(checkpoint)))
    processor.image_processor.encoder = encoder_for(recipe.model, processor.image_processor.encoder)
    return processor


def _loaded_model(recipe: Recipe, checkpoint: str, processor: DragonflyProcessor) -> DragonflyForConditionalGeneration:
    options = loading_options(recipe)
    config = DragonflyConfig.from_pretrained(existing(checkpoint))
    config.encoder = processor.image_processor.encoder
    config.preset = recipe.model.preset or config.preset
    if recipe.lora is not None and recipe.lora.quantize:
        options["quantization_config"] = four_bits()
    return DragonflyForConditionalGeneration.from_pretrained(existing(checkpoint), config=config, **options)


def _joined_processor(recipe: Recipe) -> DragonflyProcessor:
    tokenizer, image_token, separator_token = _tokenizer(recipe.init_from)
    encoder = encoder_of(recipe, _tower_config(recipe.init_from))
    image_processor = DragonflyImageProcessor(encoder=encoder, preset=recipe.model.preset)
    template = joined_chat_template(tokenizer, image_token, recipe.init_from.chat_template)
    tokens: dict[str, Any] = {"image_token": image_token, "separator_token": separator_token}
    return DragonflyProcessor(image_processor, tokenizer, chat_template=template, **tokens)


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


def four_bits() -> Any:
    """The language model in 4 bits (NF4), tower, projector and head as they are. ValueError where that cannot run."""
    try:
        import bitsandbytes  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError("lora.quantize needs bitsandbytes; install it, or set lora.quantize=false") from None
    if not torch.cuda.is_available():
        raise ValueError("lora.quantize needs a CUDA device; set lora.quantize=false")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=["vision_tower", "multi_modal_projector", "lm_head"],
    )


def _joined_model(recipe: Recipe, processor: DragonflyProcessor) -> DragonflyForConditionalGeneration:
    """Tower and language model put into place, the projector new. Built without storage, so nothing is held twice."""
    source, options = recipe.init_from, loading_options(recipe)
    language: Any = AutoModelForCausalLM.from_pretrained(existing(source.language_model or ""), **options)
    if len(processor.tokenizer) > language.get_input_embeddings().num_embeddings:
        language.resize_token_embeddings(len(processor.tokenizer), mean_resizing=False)
    config = DragonflyConfig(
        vision_config=_tower_config(source),
        text_config=language.config.get_text_config(),
        preset=recipe.model.preset,
        encoder=processor.image_processor.encoder,
        image_token_id=processor.image_token_id,
        separator_token_id=processor.separator_token_id,
        tie_word_embeddings=bool(language.config.tie_word_embeddings),
        dtype=options["dtype"],
    )
    with torch.device("meta"):
        model = DragonflyForConditionalGeneration(config)
    model.model.language_model = language.base_model
    model.lm_head = language.get_output_embeddings()
    model.model.vision_tower.to_empty(device="cpu").to(options["dtype"])
    _fill_tower(model.model.vision_tower, source, options["dtype"])
    for name, module in optional_modules(config.spec, config.text_config.hidden_size).items():
        setattr(model.model, name, module if name == "mean_embedding" else module.to(options["dtype"]))
    projector = nn.Linear(config.vision_config.hidden_size, config.text_config.hidden_size)
    _init_projector(projector, recipe.seed, config.text_config.initializer_range)
    model.model.multi_modal_projector = projector.to(options["dtype"])
    model.generation_config = language.generation_config
    return model


def _init_projector(projector: nn.Linear, seed: int, deviation: float) -> None:
    """Normal weights of the language model's own spread, the same on every rank."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        projector.weight.normal_(0.0, deviation, generator=generator)
        projector.bias.zero_()


def _fill_tower(tower: nn.Module, source: InitFrom, dtype: torch.dtype) -> None:
    """Copy the weights below the feature layer; buffers that a checkpoint does not hold are made anew."""
    loaded, built = _inner(AutoModel.from_pretrained(existing(source.tower or ""), dtype=dtype)), _inner(tower)
    weights = {**loaded.state_dict(), **dict(loaded.named_buffers())}
    tensors = {**dict(built.named_parameters()), **dict(built.named_buffers())}
    if missing := [name for name in tensors if name not in weights]:
        raise ValueError(f"tower {source.tower!r} lacks {missing[0]} and {len(missing) - 1} more tensors; is it a vision tower?")
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(weights[name])


def _inner(tower: nn.Module) -> nn.Module:
    """The encoder itself where a whole CLIP or SigLIP model, or a wrapper, was loaded."""
    return getattr(tower, "vision_model", tower)


def _tower_config(source: InitFrom) -> Any:
    return tower_config(AutoConfig.from_pretrained(existing(source.tower or "")))


def _tokenizer(source: InitFrom) -> tuple[Any, str, str]:
    """The language model's tokenizer, and its placeholder and separator: named, reserved, or added."""
    tokenizer = AutoTokenizer.from_pretrained(existing(source.language_model or ""))
    known = tokenizer.get_vocab()
    chosen = []
    for named, reserved, added in (
        (source.image_token, RELEASED_IMAGE_TOKEN, "<image>"),
        (source.separator_token, RELEASED_SEPARATOR_TOKEN, "<separator>"),
    ):
        token = named or (reserved if reserved in known else added)
        if token not in known:
            tokenizer.add_special_tokens({"additional_special_tokens": [token]}, replace_extra_special_tokens=False)
            logger.info("added the token %s to the tokenizer", token)
        chosen.append(token)
    return tokenizer, chosen[0], chosen[1]


def existing(name: str) -> str:
    """The name itself, or the bundled model's directory for `nano`; ValueError when it names a path and there is nothing."""
    if name == BUNDLED:
        return str(bundled_model())
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        path = Path(name).expanduser()
        if not (path / "config.json").is_file():
            raise ValueError(f"no model directory {name!r} (no config.json there); give a directory or a hub name 'owner/model'")
        return str(path)
    return name
