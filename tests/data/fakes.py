"""A small processor with a real tokenizer and chat template: bytes for text, two or three sub-images per image."""

from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import BatchFeature, PreTrainedTokenizerFast
from transformers.image_processing_utils import BaseImageProcessor
from transformers.processing_utils import MultiModalData, ProcessorMixin

from dragonfly.data.sample import ImageRef, Message, Part, Sample

TOKENS_PER_SUB_IMAGE = 3

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|start|>{{ m.role }}<|stop|>"
    "{% if m.role == 'assistant' %}{% generation %}"
    "{% for c in m.content %}{{ '<image>' if c.type == 'image' else c.text }}{% endfor %}<|eot|>{% endgeneration %}"
    "{% else %}{% for c in m.content %}{{ '<image>' if c.type == 'image' else c.text }}{% endfor %}<|eot|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant<|stop|>{% endif %}"
)


def sub_images(height: int, width: int) -> int:
    return 3 if width > height else 2


class FakeImageProcessor(BaseImageProcessor):
    model_input_names = ["pixel_values"]  # noqa: RUF012

    def __call__(self, images: Any, **kwargs: Any) -> BatchFeature:
        flat = [image for row in images for image in (row if isinstance(row, list) else [row])]
        counts = [sub_images(image.height, image.width) for image in flat]
        pixels = torch.zeros(len(flat), max(counts), 3, 2, 2)
        regions = torch.full((len(flat), max(counts)), -3, dtype=torch.long)
        for row, (image, count) in enumerate(zip(flat, counts, strict=True)):
            pixels[row, :count] = float(np.asarray(image).mean()) + 1
            regions[row, :count] = torch.arange(count)
        data = {"pixel_values": pixels, "sub_image_regions": regions}
        if len(set(counts)) > 1:
            data["num_sub_images"] = torch.tensor(counts)
        return BatchFeature(data)

    def fetch_images(self, images: Any) -> Any:
        return images


class FakeProcessor(ProcessorMixin):
    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None) -> None:
        self.image_token, self.image_token_id = "<image>", tokenizer.convert_tokens_to_ids("<image>")
        self.separator_token, self.separator_token_id = "<sep>", tokenizer.convert_tokens_to_ids("<sep>")
        super().__init__(image_processor, tokenizer, chat_template=chat_template)

    def replace_image_token(self, image_inputs: Any, image_idx: int, **kwargs: Any) -> str:
        count = int((image_inputs["sub_image_regions"][image_idx] != -3).sum())
        return ("<image>" * TOKENS_PER_SUB_IMAGE + "<sep>") * count

    def _get_num_multimodal_tokens(self, image_sizes: Any = None, **kwargs: Any) -> MultiModalData:
        tokens = [sub_images(height, width) * (TOKENS_PER_SUB_IMAGE + 1) for height, width in image_sizes]
        return MultiModalData(num_image_tokens=tokens, num_image_patches=[1] * len(tokens))


def make_processor(template: str = TEMPLATE) -> Any:
    alphabet = {symbol: i for i, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    backend = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    backend.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|begin|>",
        eos_token="<|eot|>",
        pad_token="<|eot|>",  # as the released models have it: padding looks like an end of turn
        additional_special_tokens=["<image>", "<sep>", "<|start|>", "<|stop|>"],
    )
    return FakeProcessor(FakeImageProcessor(), tokenizer, chat_template=template)


def image(width: int = 8, height: int = 4, shade: int = 100) -> Image.Image:
    return Image.new("RGB", (width, height), (shade, shade, shade))


def turns(*texts: str) -> tuple[Message, ...]:
    """question, answer, question, ...; each `<image>` of a text is a placeholder."""
    messages = []
    for number, text in enumerate(texts):
        parts: list[Part] = []
        for piece_number, piece in enumerate(text.split("<image>")):
            parts += [Part("image")] if piece_number else []
            parts += [Part("text", piece)] if piece else []
        messages.append(Message(("user", "assistant")[number % 2], tuple(parts)))
    return tuple(messages)


def sample(*texts: str, images: tuple[ImageRef, ...] = (), name: str = "s", **fields: Any) -> Sample:
    return Sample(id=name, source="test", images=images, messages=turns(*texts), **fields)
