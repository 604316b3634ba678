"""Checkpoints in the released format load by every door, in every form they come in, whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, AutoProcessor

from dragonfly.models import (
    DragonflyConfig,
    DragonflyForConditionalGeneration,
    DragonflyImageProcessor,
    DragonflyModel,
    DragonflyProcessor,
)
from tests.models import golden as g
from tests.models.golden import Golden

VERSIONS = g.parameters(list(g.versions()))


@pytest.fixture(params=VERSIONS)
def golden(request: pytest.FixtureRequest) -> Golden:
    return request.param


@pytest.fixture
def copy(golden: Golden, tmp_path: Path) -> Path:
    """A copy of the version's folder; `checkpoint` lies in it, the tower's folder beside that."""
    folders = shutil.ignore_patterns("cases", "pixels")
    return Path(shutil.copytree(golden.folder, tmp_path / "copy", ignore=folders)) / "checkpoint"


def edit(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def tower_name(golden: Golden) -> str:
    return json.loads((golden.checkpoint / "config.json").read_text())["image_encoder"]


def same_weights(model: torch.nn.Module, other: torch.nn.Module) -> bool:
    state, reference = model.state_dict(), other.state_dict()
    return state.keys() == reference.keys() and all(torch.equal(state[key], reference[key]) for key in state)


def test_every_door(golden: Golden) -> None:
    reference, processor = g.load(golden)
    folder = golden.checkpoint
    for config in (AutoConfig.from_pretrained(folder), DragonflyConfig.from_pretrained(folder)):
        assert type(config) is DragonflyConfig and config.preset == f"{golden.version}-released"
    loaded: Any = AutoModelForImageTextToText.from_pretrained(folder, output_loading_info=True)
    full, info = loaded
    assert type(full) is DragonflyForConditionalGeneration and same_weights(full, reference)
    assert not any(info.values())
    for base in (AutoModel.from_pretrained(folder), DragonflyModel.from_pretrained(folder)):
        assert type(base) is DragonflyModel and same_weights(base, reference.model)
    for found in (AutoProcessor.from_pretrained(folder), processor):
        assert type(found) is DragonflyProcessor and found.block_first
        assert type(found.image_processor) is DragonflyImageProcessor and found.image_processor.released_images
    assert DragonflyImageProcessor.from_pretrained(folder).spec == reference.config.spec


def test_the_checkpoint_has_the_last_word_on_the_tower(golden: Golden) -> None:
    """The folder that `image_encoder` names has other weights; only its configuration counts."""
    reference, _ = g.load(golden)
    name = "embeddings.class_embedding"
    stored = load_file(golden.checkpoint / "model.safetensors")[f"image_encoder.vision_model.{name}"]
    assert torch.equal(reference.model.vision_tower.state_dict()[name], stored)


def test_bin_shards(golden: Golden, copy: Path) -> None:
    """Item 31: two .bin shards with an index; read as plain tensors, never unpickled into code."""
    tensors = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    names = sorted(tensors)
    shards = {f"pytorch_model-0000{part + 1}-of-00002.bin": names[part::2] for part in range(2)}
    for file, keys in shards.items():
        torch.save({key: tensors[key] for key in keys}, copy / file)
    index = {"metadata": {}, "weight_map": {key: file for file, keys in shards.items() for key in keys}}
    (copy / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert same_weights(AutoModelForImageTextToText.from_pretrained(copy), g.load(golden)[0])
    first = copy / next(iter(shards))
    torch.save({**torch.load(first, weights_only=True), "code": Path("run")}, first)
    with pytest.raises(Exception, match=r"weights_only|Weights only"):
        AutoModelForImageTextToText.from_pretrained(copy)


def test_places_of_the_tower(golden: Golden, copy: Path) -> None:
    expected, preset = g.load(golden)[0].config.vision_config.to_dict(), f"{golden.version}-released"
    name = tower_name(golden)
    assert AutoConfig.from_pretrained(copy).vision_config.to_dict() == expected  # beside it
    edit(copy, image_encoder=str(copy.parent / name))
    assert AutoConfig.from_pretrained(copy).vision_config.to_dict() == expected  # an absolute path
    edit(copy, image_encoder=name)
    (copy.parent / name).rename(copy / name)
    assert AutoConfig.from_pretrained(copy).vision_config.to_dict() == expected  # inside
    shutil.rmtree(copy / name)
    known = {"v1": "openai/clip-vit-base-patch32", "v2": "openai/clip-vit-large-patch14-336"}[golden.version]
    edit(copy, image_encoder=known)
    config = AutoConfig.from_pretrained(copy)
    assert config.preset == preset and config.vision_config.num_hidden_layers in (12, 24)  # by name, without a network


@pytest.mark.parametrize("place", ["elsewhere/tower", "/elsewhere/tower", "../../tower"])
def test_no_tower(copy: Path, place: str) -> None:
    edit(copy, image_encoder=place)
    for door in (AutoConfig, AutoModelForImageTextToText, AutoProcessor):
        with pytest.raises(ValueError, match=f"names the vision tower '{place}', which is neither known") as caught:
            door.from_pretrained(copy)
        assert "\n" not in str(caught.value) and "put the tower's folder there" in str(caught.value)


def test_a_tower_without_a_preset(golden: Golden, copy: Path) -> None:
    file = copy.parent / tower_name(golden) / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "image_size": 448, "patch_size": 14}))
    with pytest.raises(ValueError, match=r"no released preset has a tower of 448 px .* say preset='\.\.\.'"):
        AutoConfig.from_pretrained(copy)
    config = AutoConfig.from_pretrained(copy, preset="v2")
    processor = AutoProcessor.from_pretrained(copy, preset="v2")
    assert config.spec.resolution == 448 and processor.image_processor.spec == config.spec


@pytest.mark.parametrize("saved", [False, True])
def test_preset_overrides_for_config_model_and_processor(golden: Golden, tmp_path: Path, saved: bool) -> None:
    """The image goes before BOS only under the released presets."""
    folder = golden.checkpoint
    if saved:
        folder = tmp_path / "saved"
        for part in g.load(golden):
            part.save_pretrained(folder)
    config = AutoConfig.from_pretrained(folder, preset=golden.version)
    model = AutoModelForImageTextToText.from_pretrained(folder, preset=golden.version)
    processor = AutoProcessor.from_pretrained(folder, preset=golden.version)
    image_processor = DragonflyImageProcessor.from_pretrained(folder, preset=golden.version)
    for part in (config, model.config, processor.image_processor, image_processor):
        assert part.preset == golden.version and part.spec == config.spec
    assert config.spec.grid_rule == "aspect" and config.spec.regions == "spatial"
    assert not processor.block_first and not image_processor.released_images
    message = [{"role": "user", "content": [{"type": "text", "text": "Look:"}, {"type": "image"}]}]
    prompt = processor.apply_chat_template(message)
    assert prompt.index("Look:") < prompt.index(processor.image_token)
    with pytest.raises(ValueError, match="unknown preset: 'v3' is not one of"):
        AutoConfig.from_pretrained(folder, preset="v3")


def test_text_config_is_followed_as_found(copy: Path) -> None:
    """Item 30: a rope_scaling that was lost when the weights were saved stays lost; one that is there counts."""
    text = json.loads((copy / "config.json").read_text())["text_config"]
    edit(copy, text_config={**text, "rope_scaling": None})
    assert AutoConfig.from_pretrained(copy).text_config.rope_parameters["rope_type"] == "default"
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    scaling["original_max_position_embeddings"] = 8192
    edit(copy, text_config={**text, "rope_scaling": scaling, "max_position_embeddings": 131072}, rope_scaling=None)
    config = AutoConfig.from_pretrained(copy)
    assert config.text_config.rope_parameters["rope_type"] == "llama3"
    assert config.text_config.rope_parameters["rope_theta"] == text["rope_theta"]
    assert not hasattr(config, "hidden_size") and not hasattr(config, "patch_size")  # top-level copies are dropped


def test_stored_dtype(copy: Path) -> None:
    edit(copy, torch_dtype="bfloat16")
    assert DragonflyForConditionalGeneration.from_pretrained(copy).dtype == torch.bfloat16
    assert AutoModelForImageTextToText.from_pretrained(copy, dtype=torch.float32).dtype == torch.float32


def test_generation_stops_at_the_end_of_a_turn(golden: Golden, copy: Path) -> None:
    """Item 21: the stored generation configuration knows only end_of_text."""
    ids = golden.manifest["special_token_ids"]
    for present in (True, False):
        settings = AutoModelForImageTextToText.from_pretrained(copy).generation_config
        assert settings.eos_token_id == [ids["<|eot_id|>"], ids["<|end_of_text|>"]]
        assert settings.pad_token_id == ids["<|end_of_text|>"]
        if present:
            (copy / "generation_config.json").unlink()


def test_special_ids_without_tokenizer_json(golden: Golden, copy: Path) -> None:
    expected = AutoConfig.from_pretrained(golden.checkpoint).image_token_id
    assert expected == golden.manifest["special_token_ids"]["<|reserved_special_token_0|>"]
    (copy / "tokenizer.json").unlink()
    assert AutoConfig.from_pretrained(copy).image_token_id == expected  # from tokenizer_config.json
    (copy / "tokenizer_config.json").unlink()
    model = AutoModelForImageTextToText.from_pretrained(copy)
    inputs = g.our_inputs(g.smallest_image_case(golden), g.load(golden)[1])
    with pytest.raises(ValueError, match=r"config\.image_token_id is not set and no tokenizer lay beside the weights"):
        model(**inputs)


FAULTS = {
    "missing": ("vision_embed_tokens.bias", "missing (model.)?multi_modal_projector.bias"),
    "unexpected": ("language_model.model.layers.9.input_layernorm.weight", "unexpected .*layers.9.input_layernorm.weight"),
    "mis-shaped": ("language_model.model.norm.weight", "mis-shaped (model.)?language_model.norm.weight"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_tensors_that_do_not_fit_are_named(copy: Path, fault: str) -> None:
    tensors = load_file(copy / "model.safetensors")
    name, message = FAULTS[fault]
    if fault == "missing":
        del tensors[name]
    else:
        tensors[name] = torch.zeros(7)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    for door in (AutoModelForImageTextToText, DragonflyForConditionalGeneration, DragonflyModel):
        with pytest.raises(ValueError, match=rf"checkpoint '.*' does not fit the model: {message}") as caught:
            door.from_pretrained(copy)
        assert "\n" not in str(caught.value)
