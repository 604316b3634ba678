"""Vision towers of many families as they are built: plain features, known geometry, nothing unused, nothing guessed."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, CLIPImageProcessorPil, SiglipImageProcessorPil

from dragonfly.models import DragonflyForConditionalGeneration
from dragonfly.models.tower import build_tower, num_prefix_tokens, tower_config
from dragonfly.models.tower_files import fill_tower, tower_pixels
from dragonfly.models.tower_structure import FITS, structure_of
from dragonfly.vision.towers import MEAN_AND_STD, MORE_PREFIX_TOKENS, NOT_A_GRID, PREFIX_TOKENS
from tests import tiny, towers

ALL = [*towers.TOWERS, *(pytest.param(name, marks=pytest.mark.slow) for name in towers.MORE if towers.known(name))]
READ = ("clip", "llava", "idefics3", "internvl", "vit")
SAVED = ("clip", "metaclip2", "so400m", "dinov3", "internvit")


def pixels(settings: Any, seed: int = 0) -> torch.Tensor:
    side = settings.image_size if isinstance(settings.image_size, int) else settings.image_size[0]
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ALL)
def test_a_tower_gives_the_plain_hidden_state_of_its_last_layer(name: str) -> None:
    """Final norms, poolers and heads are above it: applied here, every feature would be another number.

    Prefix tokens stand first, patches after them in raster order: what a change of one patch changes before the first layer is
    that patch's token.
    """
    settings = towers.config(name)
    before = settings.to_dict()
    original = towers.whole(settings)
    images = pixels(settings)
    with torch.no_grad():
        states = original(pixel_values=images, output_hidden_states=True).hidden_states
    prefix = num_prefix_tokens(settings)
    if name in towers.TOWERS:
        assert prefix == towers.PREFIX_TOKENS.get(name, 1)
    if settings.model_type in PREFIX_TOKENS:  # what is known without building a tower
        assert prefix == PREFIX_TOKENS[settings.model_type] + getattr(settings, "num_register_tokens", 0)
    changed = images[:1].clone()
    changed[..., 8:16, 16:24] += 1.0  # row 1, column 2
    with torch.no_grad():
        moved = original(pixel_values=changed, output_hidden_states=True).hidden_states[0] != states[0][:1]
    assert moved.shape[1] == prefix + 16 and moved.any(dim=-1)[0].nonzero().flatten().tolist() == [prefix + 4 * 1 + 2]
    for layers in (3, 2, 1):  # vision_feature_layer -1, -2 and 1
        tower = build_tower(settings, layers).eval()
        result = tower.load_state_dict(original.state_dict(), strict=False)
        assert not result.missing_keys
        features = tower(pixel_values=images).last_hidden_state
        torch.testing.assert_close(features, states[layers])
        features.square().sum().backward()
        assert [key for key, parameter in tower.named_parameters() if parameter.grad is None] == []
    assert tower.config is settings and {**settings.to_dict(), "dtype": None} == {**before, "dtype": None}


def test_families_with_more_prefix_tokens_are_all_looked_at() -> None:
    tested = {values["model_type"] for values in (towers.TOWERS | towers.MORE).values()}
    assert set(MORE_PREFIX_TOKENS) <= tested


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in SAVED else pytest.mark.slow) for name in (*towers.TOWERS, "blip2", "kosmos2")]
)
def test_a_model_with_any_tower_saves_and_reloads_equal(name: str, tmp_path: Path) -> None:
    preset = "v2" if name in ("siglip", "dinov3", "vit") else "v1"  # pools 4 x 4 windows: one token of each sub-image
    settings = tiny.config(preset, vision_config=towers.config(name))
    model, processor = tiny.model(settings), tiny.processor(settings)
    batch = processor(text="<image>what is it", images=tiny.image(), return_tensors="pt")
    with torch.no_grad():
        expected = model(**batch).logits
    model.save_pretrained(tmp_path)
    again = DragonflyForConditionalGeneration.from_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(again(**batch).logits, expected)
    # A checkpoint that carries the whole tower, as the released ones do, loads strictly; what is above the features is left.
    original = towers.whole(settings.vision_config)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors.update({f"model.vision_tower.{key}": value.clone() for key, value in original.state_dict().items() if key})
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    full = DragonflyForConditionalGeneration.from_pretrained(tmp_path)
    states = original(pixel_values=pixels(settings.vision_config), output_hidden_states=True).hidden_states
    torch.testing.assert_close(full.model.encode(pixels(settings.vision_config)), states[2])


@pytest.mark.parametrize("name", ["clip", "siglip", "dinov2", "vit", "internvit"])
def test_the_tower_keeps_the_configuration_of_the_model(name: str) -> None:
    model = tiny.model(tiny.config(vision_config=towers.config(name)))
    assert model.model.vision_tower.config is model.config.vision_config
    assert model.config.vision_config.num_hidden_layers == 3 and model.config.num_tower_layers == 2
    images = pixels(model.config.vision_config)
    with torch.no_grad():
        expected = model.model.encode(images)
        model.set_attn_implementation({"vision_config": "eager"})
        assert model.model.vision_tower.config._attn_implementation == "eager"
        assert model.model.language_model.config._attn_implementation == "sdpa"
        torch.testing.assert_close(model.model.encode(images), expected, rtol=1e-4, atol=1e-5)


def test_a_tower_built_without_storage_has_none() -> None:
    with torch.device("meta"):
        tower = build_tower(towers.config("dinov2"), 2)
    assert all(tensor.is_meta for tensor in tower.state_dict().values())
    assert structure_of(towers.config("dinov2")).unused == ("embeddings.mask_token",)


@pytest.mark.parametrize(
    ("kind", "values", "reason"),
    [
        ("siglip2_vision_model", towers.USUAL, "varies from image to image .NaFlex.; a SigLIP2 of fixed resolution"),
        ("pixtral", towers.SIZES, "varies from image to image"),
        ("qwen2_vl_vision", {}, "varies from image to image"),
        ("video_llama_3_vision", towers.USUAL, "also needs grid_thw, merge_sizes beside pixel_values"),
        ("swin", {}, "coarser from stage to stage"),
        ("convnext", {}, "coarser from stage to stage"),
        ("sam_vision_model", {}, r"a map \(n, rows, columns, hidden\)"),
        ("yolos", {**towers.USUAL, "image_size": [32, 32]}, "detection tokens stand after"),
        ("vit_mae", towers.USUAL, "drops most patches at random"),
        ("vit", {**towers.USUAL, "image_size": (32, 48)}, r"image_size is \(32, 48\), and one square side is needed"),
        ("vit", {**towers.USUAL, "num_channels": 1}, "Expected 1 but got 3"),
        ("mllama_vision_model", {}, "also needs aspect_ratio_ids"),
    ],
)
def test_a_tower_that_does_not_fit_is_refused_in_one_line(kind: str, values: dict[str, Any], reason: str) -> None:
    settings = AutoConfig.for_model(kind, **values)
    with pytest.raises(ValueError, match=rf"^vision tower of type '{kind}' does not fit: .*{reason}") as caught:
        tiny.config(vision_config=settings)
    assert str(caught.value).endswith(FITS) and "\n" not in str(caught.value)


def test_what_has_no_tower_of_its_own_is_refused() -> None:
    settings = AutoConfig.for_model("bridgetower_vision_model", **towers.USUAL)
    settings.num_hidden_layers = 3
    with pytest.raises(ValueError, match="bridgetower_vision_model"):
        num_prefix_tokens(settings)


def test_a_stored_encoder_for_other_prefix_tokens_is_refused_when_the_model_is_built() -> None:
    encoder = {**(tiny.config().encoder or {}), "num_prefix_tokens": 1}
    settings = tiny.config(vision_config=towers.config("dinov3"), encoder=encoder)
    with pytest.raises(ValueError, match=r"expects 1 tokens before the patch tokens.*'dinov3_vit' gives 5"):
        DragonflyForConditionalGeneration(settings)


def test_refused_and_fitting_families_do_not_overlap() -> None:
    assert not set(NOT_A_GRID) & {values["model_type"] for values in (towers.TOWERS | towers.MORE).values()}


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=() if kind in READ else pytest.mark.slow) for kind in towers.WHOLE])
def test_the_weights_of_a_whole_model_fill_its_tower(kind: str, tmp_path: Path) -> None:
    name, values = towers.WHOLE[kind]
    model = towers.random(getattr(transformers, name)._from_config(AutoConfig.for_model(kind, **values)))
    model.save_pretrained(tmp_path)
    settings = tower_config(AutoConfig.from_pretrained(tmp_path))
    with torch.device("meta"):
        tower = build_tower(settings, 2)
    fill_tower(tower, str(tmp_path))
    assert tower.config is settings and not any(tensor.is_meta for tensor in [*tower.parameters(), *tower.buffers()])
    original = next(module for module in model.modules() if type(module) is type(tower))
    states = original(pixel_values=pixels(settings), output_hidden_states=True).hidden_states
    torch.testing.assert_close(tower.eval()(pixel_values=pixels(settings)).last_hidden_state, states[2])


def test_missing_and_mis_shaped_tensors_of_a_tower_are_named(tmp_path: Path) -> None:
    towers.whole(towers.config("clip")).save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    stored = next(name for name in tensors if name.endswith("layers.0.mlp.fc1.bias"))
    wide = next(name for name in tensors if name.endswith("pre_layrnorm.bias"))
    tensors[wide] = torch.zeros(7)
    del tensors[stored]
    tensors = {name: tensor for name, tensor in tensors.items() if "layers.2." not in name}  # above the features: not needed
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"missing encoder\.layers\.0\.mlp\.fc1\.bias; mis-shaped pre_layrnorm\.bias$"):
        fill_tower(build_tower(towers.config("clip"), 2), str(tmp_path))


def test_pixels_are_normalised_as_the_towers_own_image_processor_does(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    towers.config("siglip").save_pretrained(tmp_path)
    with caplog.at_level(logging.WARNING, logger="dragonfly.models.tower_files"):
        assert tower_pixels(str(tmp_path))["image_mean"] == [0.5, 0.5, 0.5]  # its family's
    assert "no preprocessor_config.json" in caplog.text
    CLIPImageProcessorPil(image_mean=[0.1, 0.2, 0.3], rescale_factor=1 / 128).save_pretrained(tmp_path)
    given = tower_pixels(str(tmp_path))
    assert given["image_mean"] == [0.1, 0.2, 0.3] and given["rescale_factor"] == 1 / 128
    SiglipImageProcessorPil(do_normalize=False).save_pretrained(tmp_path)
    assert tower_pixels(str(tmp_path))["image_std"] == [1.0, 1.0, 1.0]
    unknown = tmp_path / "unknown"
    towers.config("ijepa").save_pretrained(unknown)
    with pytest.raises(ValueError, match="type 'ijepa' are not known here"):
        tower_pixels(str(unknown))
    assert {"clip_vision_model", "siglip_vision_model", "dinov2"} <= set(MEAN_AND_STD)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_a_tower_is_looked_at_where_gradients_are_off(off: Any) -> None:
    """As `generate` makes configurations; the size is one that no other test has looked at before."""
    settings = towers.config("clip")
    settings.intermediate_size = 40 if off is torch.no_grad else 44
    with off():
        assert num_prefix_tokens(settings) == 1
