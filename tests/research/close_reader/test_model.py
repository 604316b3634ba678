"""A close reader is the bundled model's parts as LLaVA-NeXT puts them together: its crops become the same embeddings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from dragonfly.installation import bundled_model
from dragonfly.lens import Lens
from dragonfly.models import DragonflyForConditionalGeneration
from dragonfly.research.close_reader.model import begun, close_reader, save


@pytest.fixture(scope="module")
def bundled() -> tuple[Any, Any]:
    path = bundled_model()
    model = DragonflyForConditionalGeneration.from_pretrained(path, dtype=torch.float32)
    return model.eval(), AutoProcessor.from_pretrained(path)


def crop() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


@torch.inference_mode()
def test_a_crop_becomes_the_bundled_models_embeddings(pair: tuple[Any, Any], bundled: tuple[Any, Any]) -> None:
    model, processor = pair
    ours, own = bundled
    given = processor.image_processor(images=[crop()], return_tensors="pt")
    pixels = own.image_processor(images=[crop()], return_tensors="pt")["pixel_values"][0, :1]
    expected = ours.model.multi_modal_projector(ours.model.run_tower(pixels).last_hidden_state[:, 1:])[0]
    found = model.model.get_image_features(given["pixel_values"], given["image_sizes"]).pooler_output[0]
    newline = ours.get_input_embeddings().weight[ours.config.separator_token_id]
    torch.testing.assert_close(found[:16], expected)
    rows = found[16:].unflatten(0, (4, 5))  # the one tile, a newline after each row
    torch.testing.assert_close(rows[:, :4].flatten(0, 1), expected)
    torch.testing.assert_close(rows[:, 4], newline.expand(4, -1))


@torch.inference_mode()
def test_text_has_the_bundled_models_logits(pair: tuple[Any, Any], bundled: tuple[Any, Any]) -> None:
    ids = bundled[1].tokenizer("What is the total?", return_tensors="pt")["input_ids"]
    torch.testing.assert_close(pair[0](input_ids=ids).logits, bundled[0](input_ids=ids).logits)


def test_it_loads_as_any_llava_next_does_and_goes_on_where_it_was(pair: tuple[Any, Any], tmp_path: Path) -> None:
    model, processor = pair
    save(model, processor, tmp_path)
    loaded: Any = AutoModelForImageTextToText.from_pretrained(tmp_path, dtype=torch.float32)
    assert loaded.config.model_type == "llava_next"
    again, words = begun(tmp_path)
    for name, tensor in model.state_dict().items():
        expected = tensor.to(torch.bfloat16).float()
        assert torch.equal(loaded.state_dict()[name], expected) and torch.equal(again.state_dict()[name], expected), name
    assert words.chat_template == processor.chat_template
    answer = Lens(tmp_path, method="residual", device="cpu").ask(crop().resize((256, 192)), "What is this?", max_tokens=216)
    assert answer.calls == 1 and len(answer.views) == 6 and answer.image_tokens <= 216


def test_another_tower_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours: Any = DragonflyForConditionalGeneration.from_pretrained(bundled_model())
    ours.config.vision_feature_layer = [1, 2]
    monkeypatch.setattr(DragonflyForConditionalGeneration, "from_pretrained", lambda *_, **__: ours)
    with pytest.raises(ValueError, match=r"reads layer \[1, 2\]; a close reader is made of"):
        close_reader(bundled_model())
