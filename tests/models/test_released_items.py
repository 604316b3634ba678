"""Faults of the released code that stay fixed, and what ours decides otherwise; the items are those of docs/fidelity.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import DynamicCache

from dragonfly.models import connector, get_preset
from dragonfly.models.image_processing_dragonfly import DragonflyImageProcessor
from dragonfly.models.outputs import CACHE
from dragonfly.vision.selection import SelectionInputs, select
from tests import tiny


@pytest.fixture(scope="module")
def processor() -> Any:
    return tiny.processor()


@pytest.fixture(scope="module")
def released() -> Any:
    """A processor that puts images before BOS, as the released weights want it."""
    return tiny.processor(block_first=True)


def test_images_in_every_form(processor: Any) -> None:
    """Item 19: no form of `images` ends in an unrelated error; an image is never dropped to fit the texts."""
    image = tiny.image()
    expected = processor(text=["<image>a"], images=[image], return_tensors="pt")
    for images in (image, [[image]], np.asarray(image)):
        found = processor(text="<image>a", images=images, return_tensors="pt")
        assert torch.equal(found["pixel_values"], expected["pixel_values"])
        assert torch.equal(found["input_ids"], expected["input_ids"])
    for nothing in (None, [], [[]]):
        assert "pixel_values" not in processor(text=["a"], images=nothing, return_tensors="pt")
    with pytest.raises(ValueError, match="NoneType is not a path, URL, bytes, PIL image or numpy array"):
        processor(text=["<image>a"], images=[None])


def test_unequal_numbers_are_refused(released: Any) -> None:
    """Item 19: texts and images are not zipped to the shorter."""
    with pytest.raises(ValueError, match="got 1 images and 2 texts; give one each, or nested lists"):
        released(text=["a", "b"], images=[tiny.image()])
    two = released(text=["a"], images=[tiny.image(), tiny.image(seed=1)], return_tensors="pt")
    assert len(two["pixel_values"]) == 2  # several images for one prompt


def test_one_bos(released: Any) -> None:
    """Items 24 and 26: BOS is the tokenizer's own, written once, and a text's own is neither doubled nor overwritten."""
    bos = released.tokenizer.bos_token_id
    for text in ("Hi", "<|begin_of_text|>Hi"):
        ids = released(text=[text], images=[tiny.image()], return_tensors="pt")["input_ids"][0].tolist()
        assert ids.count(bos) == 1
        assert ids[ids.index(bos) :] == released.tokenizer.encode("Hi")
        assert set(ids[: ids.index(bos)]) == {released.image_token_id, released.separator_token_id}


def test_end_of_text_is_written_where_asked_for(processor: Any, released: Any) -> None:
    """Item 26: the option has its effect, or is refused."""
    ids = released(text=["Hi"], add_end_of_text=True)["input_ids"][0]
    assert ids == [*released.tokenizer.encode("Hi"), released.tokenizer.eos_token_id]
    with pytest.raises(ValueError, match=r"add_end_of_text belongs to released weights \(block_first\)"):
        processor(text=["Hi"], add_end_of_text=True)


def test_box_tags_are_plain_text(processor: Any) -> None:
    """Item 20."""
    ids = processor(text=["<box>1, 2</box>"])["input_ids"][0]
    assert processor.tokenizer.decode(ids, skip_special_tokens=True) == "<box>1, 2</box>"
    assert not hasattr(processor, "post_process_box_coordinates")


def test_no_vocabulary_is_built_for_a_call(processor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Item 33: special ids are looked up when the processor is made."""

    def refuse(*_: Any) -> Any:
        raise AssertionError("the whole vocabulary was built")

    monkeypatch.setattr(type(processor.tokenizer), "get_vocab", refuse)
    monkeypatch.setattr(type(processor.tokenizer), "vocab", property(refuse))
    processor(text=["<image>a", "<image>b"], images=[[tiny.image()], [tiny.image()]], padding=True)


def test_scores_are_float32_in_every_dtype() -> None:
    """Item 11: bfloat16 embeddings are multiplied in float32, so scores are not rounded a second time."""
    generator = torch.Generator().manual_seed(0)
    spec, regions = get_preset("v1").spec.selection, torch.arange(24).div(6, rounding_mode="floor")[None]
    mid, high = (torch.randn(1, n, 16, generator=generator).bfloat16() for n in (4, 24))
    scores = select(SelectionInputs(mid, high), regions, spec, num_kept=12).scores
    assert scores.dtype == torch.float32
    exact = (high[0].double() * mid[0].double()[regions[0]]).sum(-1)
    assert torch.allclose(scores[0].double(), exact, atol=1e-5)


def test_images_count_beside_embeddings_an_empty_cache_and_tuples() -> None:
    """Item 32: images are used with inputs_embeds and with an empty cache; return_dict=False gives values, not names."""
    model, processor = tiny.model(), tiny.processor()
    inputs = processor(text=["<image>a"], images=[tiny.image()], return_tensors="pt")
    with torch.no_grad():
        expected = model(**inputs).logits
        rest = {name: value for name, value in inputs.items() if name != "input_ids"}
        embeds = model.get_input_embeddings()(inputs["input_ids"])
        assert torch.equal(model(**rest, inputs_embeds=embeds).logits, expected)
        assert torch.equal(model(**inputs, **{CACHE: DynamicCache()}).logits, expected)
        assert torch.equal(model(**inputs, return_dict=False)[0], expected)


def test_no_gradient_passes_through_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Item 10: scores carry no gradient, whatever the rest of the step needs."""
    seen: list[torch.Tensor] = []

    def noted(inputs: SelectionInputs, *rest: Any, **more: Any) -> Any:
        seen.append(inputs.high)  # pyright: ignore[reportArgumentType]
        return select(inputs, *rest, **more)

    monkeypatch.setattr(connector, "select", noted)
    model, processor = tiny.model(), tiny.processor()
    inputs = processor(text=["<image>a"], images=[tiny.image()], return_tensors="pt")
    assert model(**inputs).logits.requires_grad and not seen[0].requires_grad


def test_exif_orientation_follows_the_preset(tmp_path: Path) -> None:
    """Item 7: ignored under the released presets, honoured under ours."""
    image, path = tiny.image(90, 60), tmp_path / "turned.png"
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(path, exif=exif)
    sizes = {name: DragonflyImageProcessor(preset=name).fetch_images(str(path)).size for name in ("v1-released", "v1")}
    assert sizes == {"v1-released": (90, 60), "v1": (60, 90)}
