"""What a server needs of a model whose answers come from vLLM: images as the model gets them, prompts, and text of token ids.

A `Viewer` is an `Engine` without a language model. Where the policy is decided before the tower, or all is kept, it loads no
weights; else it loads tower and projector, so that what is shown is what the model chooses.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoProcessor, GenerationConfig

from dragonfly.imaging import LoadedImage
from dragonfly.inference import Answer, EncodedImage, Engine, Options
from dragonfly.inference.answer import describe_selection
from dragonfly.inference.encoded import EncodedCache
from dragonfly.inference.engine import Clock
from dragonfly.inference.integrity import check_record, check_tokens
from dragonfly.inference.loading import resolve
from dragonfly.models import DragonflyConfig, DragonflyModel, released
from dragonfly.serving.vllm.plugin import check
from dragonfly.vision.spec import EncoderSpec
from dragonfly.vision.trimming import image_layout

LAYERS = "language_model.layers."


@dataclass(frozen=True)
class ViewedImage(EncodedImage):
    """An image as it is shown and sent on: no tokens, but its pixels after orientation and conversion, as a PNG in a data URL."""

    url: str = ""

    @property
    def nbytes(self) -> int:
        return len(self.url)


class Viewer(Engine):
    """See above.

    Args:
        model: a directory (ours, or in the released format), or a name on the Hugging Face hub.

    Raises:
        ValueError: for an adapter, and for what the plug-in refuses (`plugin.check`).
    """

    def __init__(self, model: str | None) -> None:
        path, adapter = resolve(model)
        if adapter is not None:
            raise ValueError(
                f"'{model}' is an adapter; write it as one model (dragonfly merge {model} DIRECTORY) and serve that, "
                "or serve its base by vLLM's own --enable-lora (docs/serving.md)"
            )
        check_record(path)
        config: Any = DragonflyConfig.from_pretrained(path)
        check(config)
        processor: Any = AutoProcessor.from_pretrained(path)
        check_tokens(path, config, processor)
        described: Any = SimpleNamespace(config=config, generation_config=_generation(path))
        super().__init__(described, processor, name=str(model or path.name))
        self.path, self.eyes = path, None
        if chooses_in_model(config.spec):
            body = load_eyes(path)
            seeing: Any = SimpleNamespace(**vars(described), model=body, get_input_embeddings=body.get_input_embeddings)
            self.eyes = Engine(seeing, processor, self.name)
            self.eyes.cache = EncodedCache(0)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def _encode(self, images: dict[str, LoadedImage], clock: Clock) -> dict[str, EncodedImage]:
        seen = self.eyes._encode(images, clock) if self.eyes else {key: self._chosen(key, one) for key, one in images.items()}
        found: dict[str, EncodedImage] = {}
        for key, one in seen.items():
            label, url = images[key].label, _png(images[key].image)
            found[key] = ViewedImage(key, one.layout, selection=one.selection, notes=one.notes, label=label, url=url)
            self.cache.put(found[key])
        return found

    def _chosen(self, key: str, image: LoadedImage) -> EncodedImage:
        """The choice of a policy that needs no tower."""
        processor = self.processor.image_processor
        if not processor.spec.selection.early:
            layout = image_layout(image.image, processor.spec)
            return EncodedImage(key, layout, selection=describe_selection(layout, None, None), notes=image.notes)
        batch = processor([image.image], return_tensors="pt")
        layout, kept = batch["layouts"][0], [index for index in batch["selected_high"][0].tolist() if index >= 0]
        return EncodedImage(key, layout, selection=describe_selection(layout, kept, None), notes=image.notes)

    def connect_all(self, images: Sequence[EncodedImage], questions: Sequence[str]) -> list[EncodedImage]:
        """The images as they are: no policy that vLLM runs reads the question."""
        return [*images]

    def answered(
        self, ids: list[int], logprobs: list[float], prompt: int, images: Sequence[EncodedImage], options: Options
    ) -> Answer:
        """The Answer of ids that vLLM generated, with the text that `Engine` makes of them."""
        return self.finish(ids, logprobs, prompt, list(images), options, {})


def chooses_in_model(spec: EncoderSpec) -> bool:
    """Whether which sub-images are kept is known only after the tower."""
    return spec.selects and not spec.selection.early


def load_eyes(path: Path) -> DragonflyModel:
    """Tower and projector (and the embeddings that lie beside them), in float32: the language model has no layers."""
    config: Any = DragonflyConfig.from_pretrained(path)
    text = config.get_text_config()
    text.num_hidden_layers = 0
    for name in ("layer_types", "no_rope_layers"):
        if getattr(text, name, None):
            setattr(text, name, [])
    return _Eyes.from_pretrained(path, config=config, dtype=torch.float32).eval()


class _Eyes(DragonflyModel):
    def _adjust_missing_and_unexpected_keys(self, loading_info: Any) -> None:
        super()._adjust_missing_and_unexpected_keys(loading_info)
        left_out = {key for key in loading_info.unexpected_keys if LAYERS in key or key.startswith("language_model.model.")}
        loading_info.unexpected_keys -= left_out


def _generation(path: Path) -> GenerationConfig:
    found = GenerationConfig.from_pretrained(path) if (path / "generation_config.json").is_file() else GenerationConfig()
    if (own := released.read_released(str(path))) is not None:
        found.eos_token_id = released.end_ids(str(path), own.get("eos_token_id")) or None
    return found


def _png(image: Any) -> str:
    out = BytesIO()
    image.save(out, format="PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
