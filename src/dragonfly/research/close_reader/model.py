# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""A LLaVA-NeXT model made of a small Dragonfly model's parts: tower, projector and language model, none of them changed.

LLaVA-NeXT's projector has two layers. With the identity between them and as the second, it is the one linear layer of a Dragonfly
model, and a crop's patches become the very same embeddings. What differs is what LLaVA-NeXT does with them: it drops the class
token, shows every view as a whole and in tiles, and ends each row of patches with a newline.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor, LlavaNextConfig, LlavaNextForConditionalGeneration, LlavaNextProcessor
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from dragonfly.models import DragonflyForConditionalGeneration

TILES = ((1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 2), (1, 3), (3, 1))
"""(rows, cols) of tiles in which a view may be shown, whichever keeps most of it."""


def begun(source: str | Path) -> tuple[Any, Any]:
    """A close reader that `save` wrote, in float32, with its processor; of a Dragonfly model's directory a new one."""
    path = Path(source)
    if json.loads((path / "config.json").read_text(encoding="utf-8"))["model_type"] != "llava_next":
        return close_reader(path)
    model: Any = LlavaNextForConditionalGeneration.from_pretrained(path, dtype=torch.float32)
    return model.eval(), AutoProcessor.from_pretrained(path)


def save(model: Any, processor: Any, folder: Path) -> None:
    """In bfloat16, as a directory that transformers loads."""
    with torch.no_grad():
        whole: Any = LlavaNextForConditionalGeneration(model.config)
        whole.to(torch.bfloat16).load_state_dict({name: tensor.to(torch.bfloat16) for name, tensor in model.state_dict().items()})
    whole.generation_config = model.generation_config
    whole.save_pretrained(folder)
    processor.save_pretrained(folder)


def close_reader(source: str | Path) -> tuple[Any, Any]:
    """The model in float32 and its processor, from a directory that holds a Dragonfly model with a CLIP tower and a Llama.

    Raises:
        ValueError: for a tower or a feature layer that LLaVA-NeXT would read otherwise.
    """
    ours: Any = DragonflyForConditionalGeneration.from_pretrained(source, dtype=torch.float32)
    processor: Any = AutoProcessor.from_pretrained(source)
    tower = ours.config.vision_config
    if tower.model_type != "clip_vision_model" or not isinstance(ours.config.vision_feature_layer, int):
        raise ValueError(
            f"'{source}' has a tower of type '{tower.model_type}' and reads layer {ours.config.vision_feature_layer}; "
            "a close reader is made of a 'clip_vision_model' and one layer"
        )
    model: Any = LlavaNextForConditionalGeneration(_config(ours, processor))
    _copy(ours, model)
    model.generation_config = ours.generation_config
    return model.eval(), _processor(processor, tower)


def _config(ours: Any, processor: Any) -> LlavaNextConfig:
    own: Any = {
        "vision_config": ours.config.vision_config.to_dict(),
        "text_config": ours.config.text_config.to_dict(),
        "image_token_index": processor.image_token_id,
        "image_grid_pinpoints": _pinpoints(ours.config.vision_config.image_size),
        "projector_hidden_act": "linear",
        "vision_feature_layer": ours.config.vision_feature_layer,
        "vision_feature_select_strategy": "default",
        "tie_word_embeddings": ours.config.tie_word_embeddings,
    }
    return LlavaNextConfig(**own)


def _pinpoints(side: int) -> list[list[int]]:
    return [[side * rows, side * cols] for rows, cols in TILES]


@torch.no_grad()
def _copy(ours: Any, model: Any) -> None:
    """All weights; a newline begins as what ours sets between sub-images."""
    base = model.model
    left_out = base.vision_tower.load_state_dict(ours.model.vision_tower.state_dict(), strict=False)
    unused = {"post_layernorm.weight", "post_layernorm.bias"}  # of the class token alone, which neither model reads
    assert set(left_out.missing_keys) <= unused and not left_out.unexpected_keys, left_out
    base.language_model.load_state_dict(ours.model.language_model.state_dict())
    model.lm_head.load_state_dict(ours.lm_head.state_dict())
    model.tie_weights()
    first, second = base.multi_modal_projector.linear_1, base.multi_modal_projector.linear_2
    first.load_state_dict(ours.model.multi_modal_projector.state_dict())
    torch.nn.init.eye_(second.weight)
    torch.nn.init.zeros_(second.bias)
    base.image_newline.copy_(ours.get_input_embeddings().weight[ours.config.separator_token_id])


def _processor(ours: Any, tower: Any) -> LlavaNextProcessor:
    side, images = tower.image_size, ours.image_processor
    own: Any = {
        "image_grid_pinpoints": _pinpoints(side),
        "size": {"shortest_edge": side},
        "crop_size": {"height": side, "width": side},
        "image_mean": images.image_mean,
        "image_std": images.image_std,
    }
    return LlavaNextProcessor(
        LlavaNextImageProcessorPil(**own),
        ours.tokenizer,
        patch_size=tower.patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=ours.chat_template,
    )
