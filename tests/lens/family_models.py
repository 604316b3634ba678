"""Tiny random models of other families, each from its own configuration classes and with its own processor; no files needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.glm4v.image_processing_pil_glm4v import Glm4vImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.smolvlm import processing_smolvlm
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from dragonfly.lens.loading import images_only

TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 32_768,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
VISION: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}:{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}BLOCK{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<end>{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"
)


def tokenizer(special: list[str], **named: str) -> PreTrainedTokenizerFast:
    """Byte-level, no merges; `named` are the tokens that a family's processor looks up by attribute."""
    extra = ["<pad>", "<s>", "<end>", *special]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(extra + alphabet)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    backend.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    backend.add_special_tokens([AddedToken(one, special=True) for one in extra])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="<end>", pad_token="<pad>", extra_special_tokens=named
    )


def _id(words: PreTrainedTokenizerFast, token: str) -> int:
    found = words.convert_tokens_to_ids(token)
    assert isinstance(found, int)
    return found


def qwen2_5_vl() -> tuple[Any, Any]:
    words = tokenizer(["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"])
    ids: dict[str, Any] = {name: _id(words, token) for name, token in _QWEN_IDS.items()}
    config = transformers.Qwen2_5_VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 14,
            "window_size": 112,
            "fullatt_block_indexes": [1],
            "out_hidden_size": 32,
        },
        text_config={
            **TEXT,
            "vocab_size": len(words),
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [1, 1, 2]},
        },
        **ids,
    )
    image_processor = Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 1280})
    block = "<|vision_start|><|image_pad|><|vision_end|>"
    processor = images_only(transformers.Qwen2_5_VLProcessor)(image_processor, words, None, chat_template=_template(block))
    return _model(transformers.Qwen2_5_VLForConditionalGeneration, config), processor


def qwen3_vl() -> tuple[Any, Any]:
    words = tokenizer(["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"])
    ids: dict[str, Any] = {name: _id(words, token) for name, token in _QWEN_IDS.items()}
    config = transformers.Qwen3VLConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 16,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        text_config={
            **TEXT,
            "vocab_size": len(words),
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 1, 1]},
        },
        **ids,
    )
    image_processor = Qwen2VLImageProcessorPil(patch_size=16, size={"shortest_edge": 256 * 256, "longest_edge": 4096 * 4096})
    block = "<|vision_start|><|image_pad|><|vision_end|>"
    processor = images_only(transformers.Qwen3VLProcessor)(image_processor, words, None, chat_template=_template(block))
    return _model(transformers.Qwen3VLForConditionalGeneration, config), processor


def llava_next() -> tuple[Any, Any]:
    words = tokenizer(["<image>"])
    pinpoints = [[56, 112], [112, 56], [112, 112], [168, 56], [56, 168]]
    config = transformers.LlavaNextConfig(
        vision_config={**VISION, "model_type": "clip_vision_model", "image_size": 56, "patch_size": 14},
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(words)},
        image_grid_pinpoints=pinpoints,
        image_token_index=_id(words, "<image>"),
    )
    image_processor = LlavaNextImageProcessorPil(
        image_grid_pinpoints=pinpoints, size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}
    )
    processor = transformers.LlavaNextProcessor(
        image_processor,
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_template("<image>"),
    )
    return _model(transformers.LlavaNextForConditionalGeneration, config), processor


def llava_onevision() -> tuple[Any, Any]:
    words = tokenizer(["<image>", "<video>"])
    pinpoints = [[56 * rows, 56 * cols] for rows in range(1, 4) for cols in range(1, 4)]
    config = transformers.LlavaOnevisionConfig(
        vision_config={
            **VISION,
            "model_type": "siglip_vision_model",
            "image_size": 56,
            "patch_size": 14,
            "vision_use_head": False,
        },
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(words)},
        image_grid_pinpoints=pinpoints,
        image_token_index=_id(words, "<image>"),
        video_token_index=_id(words, "<video>"),
    )
    image_processor = LlavaOnevisionImageProcessorPil(image_grid_pinpoints=pinpoints, size={"height": 56, "width": 56})
    processor = images_only(transformers.LlavaOnevisionProcessor)(
        image_processor,
        words,
        None,
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=_template("<image>"),
    )
    return _model(transformers.LlavaOnevisionForConditionalGeneration, config), processor


def internvl() -> tuple[Any, Any]:
    names = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    words = tokenizer(list(names.values()), **names)
    config = transformers.InternVLConfig(
        vision_config={**VISION, "image_size": [56, 56], "patch_size": [14, 14]},
        text_config={**TEXT, "model_type": "qwen2", "vocab_size": len(words)},
        image_token_id=_id(words, "<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    image_processor = GotOcr2ImageProcessorPil(size={"height": 56, "width": 56}, crop_to_patches=True, max_patches=12)
    processor = images_only(transformers.InternVLProcessor)(
        image_processor, words, None, image_seq_length=4, chat_template=_template("<IMG_CONTEXT>")
    )
    return _model(transformers.InternVLForConditionalGeneration, config), processor


def idefics3() -> tuple[Any, Any]:
    special = ["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>"]
    special += [f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7)]
    words = tokenizer(special)
    config = transformers.Idefics3Config(
        vision_config={**VISION, "image_size": 56, "patch_size": 14},
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(words)},
        scale_factor=2,
        image_token_id=_id(words, "<image>"),
    )
    image_processor = Idefics3ImageProcessorPil(size={"longest_edge": 4 * 56}, max_image_size={"longest_edge": 56})
    processor = transformers.Idefics3Processor(image_processor, words, image_seq_len=4, chat_template=_template("<image>"))
    return _model(transformers.Idefics3ForConditionalGeneration, config), processor


def gemma3() -> tuple[Any, Any]:
    names = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    words = tokenizer(list(names.values()), **names)
    config = transformers.Gemma3Config(
        vision_config={
            **VISION,
            "model_type": "siglip_vision_model",
            "image_size": 56,
            "patch_size": 14,
            "vision_use_head": False,
        },
        text_config={**TEXT, "model_type": "gemma3_text", "vocab_size": len(words)},
        mm_tokens_per_image=4,
        image_token_index=_id(words, "<image_soft_token>"),
        boi_token_index=_id(words, "<start_of_image>"),
        eoi_token_index=_id(words, "<end_of_image>"),
    )
    processor = transformers.Gemma3Processor(
        Gemma3ImageProcessorPil(size={"height": 56, "width": 56}),
        words,
        image_seq_length=4,
        chat_template=_template("<start_of_image>"),
    )
    return _model(transformers.Gemma3ForConditionalGeneration, config), processor


def paligemma() -> tuple[Any, Any]:
    words = tokenizer(["<image>"], image_token="<image>")
    config = transformers.PaliGemmaConfig(
        vision_config={
            **VISION,
            "model_type": "siglip_vision_model",
            "image_size": 56,
            "patch_size": 14,
            "vision_use_head": False,
        },
        text_config={**TEXT, "model_type": "gemma", "vocab_size": len(words)},
        image_token_index=_id(words, "<image>"),
        projection_dim=32,
    )
    image_processor: Any = SiglipImageProcessorPil(size={"height": 56, "width": 56})
    image_processor.image_seq_length = 16
    return (
        _model(transformers.PaliGemmaForConditionalGeneration, config),
        transformers.PaliGemmaProcessor(image_processor, words),
    )


def smolvlm() -> tuple[Any, Any]:
    special = ["<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>"]
    special += [f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7)]
    words = tokenizer(special)
    config = transformers.SmolVLMConfig(
        vision_config={**VISION, "image_size": 56, "patch_size": 14},
        text_config={**TEXT, "model_type": "llama", "vocab_size": len(words)},
        scale_factor=2,
        image_token_id=_id(words, "<image>"),
    )
    image_processor = SmolVLMImageProcessorPil(size={"longest_edge": 4 * 56}, max_image_size={"longest_edge": 56})
    names: dict[str, Any] = processing_smolvlm.__dict__
    names["num2words"] = names["num2words"] or str  # says how long a video is; the processor is not made without
    kind = images_only(transformers.SmolVLMProcessor)
    processor = kind(image_processor, words, None, image_seq_len=4, chat_template=_template("<image>"))
    return _model(transformers.SmolVLMForConditionalGeneration, config), processor


def glm4v() -> tuple[Any, Any]:
    words = tokenizer([*_GLM_IDS.values()], image_token="<|image|>", video_token="<|video|>")
    ids: dict[str, Any] = {name: _id(words, token) for name, token in _GLM_IDS.items()}
    config = transformers.Glm4vConfig(
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 14,
            "out_hidden_size": 32,
            "image_size": 336,
        },
        text_config={
            **TEXT,
            "vocab_size": len(words),
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]},
        },
        **ids,
    )
    image_processor = Glm4vImageProcessorPil(size={"shortest_edge": 112 * 112, "longest_edge": 28 * 28 * 15_000})
    block = "<|begin_of_image|><|image|><|end_of_image|>"
    processor = images_only(transformers.Glm4vProcessor)(image_processor, words, None, chat_template=_template(block))
    return _model(transformers.Glm4vForConditionalGeneration, config), processor


_GLM_IDS = {
    "image_token_id": "<|image|>",
    "video_token_id": "<|video|>",
    "image_start_token_id": "<|begin_of_image|>",
    "image_end_token_id": "<|end_of_image|>",
    "video_start_token_id": "<|begin_of_video|>",
    "video_end_token_id": "<|end_of_video|>",
}
_QWEN_IDS = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}


def _template(block: str) -> str:
    return TEMPLATE.replace("BLOCK", block)


def _model(kind: Any, config: Any) -> Any:
    torch.manual_seed(0)
    built = kind(config).eval()
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, 0.2)
    return built


FAMILIES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
    "llava_next": llava_next,
    "llava_onevision": llava_onevision,
    "internvl": internvl,
    "idefics3": idefics3,
    "gemma3": gemma3,
    "paligemma": paligemma,
    "glm4v": glm4v,
}


def saved(family: str, directory: Path) -> Path:
    """A family's model and processor as a directory."""
    for part in FAMILIES[family]():
        part.save_pretrained(directory)
    return directory
