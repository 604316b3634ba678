"""DragonflyConfig: what it accepts, what it fills in, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoConfig, CLIPVisionConfig, LlamaConfig

from dragonfly.models import PRESETS, DragonflyConfig
from dragonfly.models.released import translate_config
from dragonfly.models.tower import tower_config
from dragonfly.vision.towers import KNOWN_TOWERS
from tests import tiny


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_a_preset_is_fitted_to_another_tower(preset: str) -> None:
    spec = tiny.config(preset).spec
    assert (spec.resolution, spec.patch_size, spec.num_prefix_tokens) == (32, 8, 1)
    original = PRESETS[preset].spec
    assert (spec.mid, spec.high, spec.selection, spec.regions) == (
        original.mid,
        original.high,
        original.selection,
        original.regions,
    )


def test_siglip_has_no_prefix_token() -> None:
    assert tiny.config(tower="siglip").spec.num_prefix_tokens == 0


def test_sub_configurations_may_be_dictionaries_or_objects() -> None:
    one = tiny.config()
    other = tiny.config(vision_config=one.vision_config, text_config=one.text_config)
    assert isinstance(one.vision_config, CLIPVisionConfig) and isinstance(one.text_config, LlamaConfig)
    assert other.to_dict() == one.to_dict()
    assert one.get_text_config() is one.text_config


def test_a_full_clip_configuration_gives_its_vision_half() -> None:
    assert tower_config({"model_type": "clip", "vision_config": {"image_size": 64}}).image_size == 64


@pytest.mark.parametrize("preset", ["v1", "v2", "low-only"])
def test_dictionary_and_file_round_trip(preset: str, tmp_path: Path) -> None:
    settings = tiny.config(preset, encoder_batch=3, tie_word_embeddings=True)
    assert DragonflyConfig.from_dict(settings.to_dict()).to_dict() == settings.to_dict()
    settings.save_pretrained(tmp_path)
    read = AutoConfig.from_pretrained(tmp_path)
    assert type(read) is DragonflyConfig
    assert read.spec == settings.spec and read.encoder_batch == 3 and read.tie_word_embeddings
    assert read.image_token_id == settings.image_token_id and read.separator_token_id == settings.separator_token_id


def test_a_stored_encoder_outlives_its_preset(tmp_path: Path) -> None:
    encoder = tiny.config("v1").encoder
    tiny.config("v1", encoder={**(encoder or {}), "max_enlargement": 2.0}).save_pretrained(tmp_path)
    assert DragonflyConfig.from_pretrained(tmp_path).spec.max_enlargement == 2.0


def test_preset_overrules_a_stored_encoder(tmp_path: Path) -> None:
    tiny.config("v1").save_pretrained(tmp_path)
    read = DragonflyConfig.from_pretrained(tmp_path, preset="v2")
    assert read.preset == "v2" and read.spec == tiny.config("v2").spec


def test_unknown_preset() -> None:
    with pytest.raises(ValueError, match=r"unknown preset: 'v1-releasd'.*did you mean 'v1-released'"):
        tiny.config("v1-releasd")


def test_an_encoder_for_another_tower_is_one_clear_line() -> None:
    with pytest.raises(
        ValueError, match=r"sub-images of 224 px with patches of 32 px, the vision tower for 32 px with 8 px"
    ) as caught:
        tiny.config(encoder=PRESETS["v1"].spec.to_dict())
    assert "\n" not in str(caught.value)


def test_unknown_encoder_key_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"encoder key 'grid_rul'.*did you mean 'grid_rule'"):
        tiny.config(encoder={"grid_rul": "aspect"})


def test_a_pool_window_that_does_not_divide() -> None:
    with pytest.raises(ValueError, match=r"mid.pool 3 does not divide the 4 x 4 patch grid"):
        tiny.config(encoder={"mid": {"grids": [[2, 2]], "pool": 3}})


@pytest.mark.parametrize(("layer", "built"), [(-1, 3), (-2, 2), (-3, 1), (1, 1), (3, 3)])
def test_feature_layer_counts_the_layers_below(layer: int, built: int) -> None:
    assert tiny.config(vision_feature_layer=layer).num_tower_layers == built


@pytest.mark.parametrize("layer", [0, 4, -4, -9])
def test_feature_layer_out_of_bounds(layer: int) -> None:
    with pytest.raises(ValueError, match=f"vision_feature_layer {layer} is outside a tower of 3 layers; use 1 to 3, or -3 to -1"):
        tiny.config(vision_feature_layer=layer)


def released(tmp_path: Path, image_encoder: str = "openai/clip-vit-base-patch32") -> Path:
    """A config.json as the released checkpoints have it, with top-level copies of language-model fields."""
    values = {
        "model_type": "dragonfly",
        "image_encoder": image_encoder,
        "hidden_size": 4096,
        "vocab_size": 128256,
        "rope_theta": 500000.0,
        "eos_token_id": 4,
        "text_config": {"model_type": "llama", "hidden_size": 32, "vocab_size": 263, "num_hidden_layers": 1},
    }
    (tmp_path / "config.json").write_text(json.dumps(values), encoding="utf-8")
    return tmp_path


def test_released_config_drops_legacy_top_level_keys(tmp_path: Path) -> None:
    settings = AutoConfig.from_pretrained(released(tmp_path))
    assert type(settings) is DragonflyConfig and settings.preset == "v1-released"
    assert settings.vision_config.hidden_size == KNOWN_TOWERS["openai/clip-vit-base-patch32"]["hidden_size"]
    assert settings.text_config.hidden_size == 32
    written = settings.to_dict()
    assert not {"hidden_size", "vocab_size", "rope_theta", "image_encoder"} & set(written)


def test_released_config_with_a_tower_no_preset_belongs_to(tmp_path: Path) -> None:
    folder = tmp_path / "own" / "tower"
    folder.mkdir(parents=True)
    tiny.config().vision_config.save_pretrained(folder)
    checkpoint = released(tmp_path, "own/tower")
    with pytest.raises(ValueError, match=r"no released preset has a tower of 32 px sub-images with 8 px patches.*preset="):
        DragonflyConfig.from_pretrained(checkpoint)
    settings = DragonflyConfig.from_pretrained(checkpoint, preset="v1-released")
    assert settings.preset == "v1-released" and settings.spec.resolution == 32


def test_released_config_with_an_unknown_tower_lists_the_places(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"names the vision tower 'no/such', which is neither known .*looked for .*config.json"
    ) as caught:
        DragonflyConfig.from_pretrained(released(tmp_path, "no/such"))
    assert "\n" not in str(caught.value)


def test_released_towers_are_not_looked_for_outside(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    tiny.config().vision_config.save_pretrained(tmp_path / "secret")
    (tmp_path / "a" / "checkpoint").mkdir(parents=True)
    config = json.loads((released(tmp_path / "a" / "checkpoint", "../../secret") / "config.json").read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match=r"neither known"):
        translate_config(config, str(tmp_path / "a" / "checkpoint"))
