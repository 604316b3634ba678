"""Tiny random models of every shape the project supports; made in milliseconds, no files, no network."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from dragonfly.models import DragonflyConfig, DragonflyForConditionalGeneration, DragonflyImageProcessor, DragonflyProcessor

SPECIAL = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<image>",
    "<separator>",
]

TOWERS: dict[str, dict[str, Any]] = {
    "clip": {"model_type": "clip_vision_model", "num_hidden_layers": 3},
    "siglip": {"model_type": "siglip_vision_model", "num_hidden_layers": 3},
}
HEADS = ("llama", "qwen2", "mistral")


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level, no merges, so any text round-trips; adds BOS by itself as Llama-3's does."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(SPECIAL + alphabet)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    backend.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    backend.add_special_tokens(SPECIAL)
    bos = ("<|begin_of_text|>", vocabulary["<|begin_of_text|>"])
    backend.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single="<|begin_of_text|> $A", special_tokens=[bos]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        pad_token="<|eot_id|>",  # on purpose the same: masks must never come from ids
        extra_special_tokens={"image_token": "<image>"},
        clean_up_tokenization_spaces=False,
    )


def config(preset: str = "v1", tower: str = "clip", head: str = "llama", **changes: Any) -> DragonflyConfig:
    """A preset on a 3-layer tower of 32-px sub-images with 4 x 4 patches, and a 2-layer language model."""
    vision = {
        **TOWERS[tower],
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    text = {
        "model_type": head,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": len(tokenizer()),
        "bos_token_id": 0,
        "eos_token_id": 4,
        "pad_token_id": 4,
        "max_position_embeddings": 4096,
    }
    ids = {"image_token_id": SPECIAL.index("<image>"), "separator_token_id": SPECIAL.index("<separator>")}
    return DragonflyConfig(**{"vision_config": vision, "text_config": text, "preset": preset, **ids, **changes})


def model(settings: DragonflyConfig | None = None, seed: int = 0) -> Any:
    """Random weights, in evaluation mode. Standard deviation 0.2 gives logits that differ clearly between inputs."""
    torch.manual_seed(seed)
    built = DragonflyForConditionalGeneration(settings or config()).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.2)
    return built


def processor(settings: DragonflyConfig | None = None, **changes: Any) -> DragonflyProcessor:
    settings = settings or config()
    image_processor = DragonflyImageProcessor(encoder=settings.encoder, preset=settings.preset)
    return DragonflyProcessor(image_processor, tokenizer(), **changes)


def image(width: int = 96, height: int = 64, seed: int = 0) -> Image.Image:
    """A smooth random image, so that sub-images differ."""
    noise = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def conversation(question: str, images: int = 1) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"type": "image"} for _ in range(images)]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]
