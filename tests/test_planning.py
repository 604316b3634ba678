"""Plans: FLOPs equal to torch's own counter, token totals of every preset, and what selection saves and costs."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedConfig

from dragonfly.inference.loading import locate
from dragonfly.models import DragonflyConfig
from dragonfly.models.outputs import CACHE
from dragonfly.models.tower import build_tower, tower_config
from dragonfly.planning import (
    LanguageModelSize,
    TowerSize,
    language_model_size,
    plan,
    projected_rows,
)
from dragonfly.planning.families import FAMILIES
from dragonfly.vision import make_layout
from dragonfly.vision.presets import PRESETS
from dragonfly.vision.towers import CLIP_BASE, CLIP_LARGE, KNOWN_TOWERS
from tests import tiny

FORMULAS = sorted(set(FAMILIES) - {"mixtral", "qwen3_moe"})  # experts are counted in test_planning_sizes.py
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
TOKENS = {  # (sub-images kept, tokens to the language model with separators)
    "low-only": (1, 51),
    "baseline-1": (5, 5 * 51),
    "baseline-2": (17, 17 * 51),
    "baseline-3": (25, 25 * 51),
    "v1": (17, 867),
    "v1-global": (17, 867),
    "v1-paper": (17, 867),
    "v1-high16": (17, 867),
    "v1-high48": (17, 867),
    "v1-any": (17, 867),
    "v1-released": (17, 867),
    "v2": (41, 2098),
    "v2-released": (41, 2098),
}
TINY_TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}


def counted(model: torch.nn.Module, *args: Any, **kwargs: Any) -> tuple[int, Any]:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        output = model(*args, **kwargs)
    return counter.get_total_flops(), output


def on_meta(config: PreTrainedConfig, auto: Any = AutoModel) -> torch.nn.Module:
    with torch.device("meta"):
        return auto.from_config(config)


def counted_tower(config: PreTrainedConfig, layers: int) -> tuple[int, int]:
    """(FLOPs, parameters) by torch of one sub-image through the lowest `layers` layers of a tower that the model builds."""
    with torch.device("meta"):
        tower = build_tower(config, layers)
    pixels = torch.zeros(1, 3, config.image_size, config.image_size, device="meta")
    return counted(tower, pixels)[0], sum(p.numel() for p in tower.parameters())


@pytest.mark.parametrize("preset", ["v1", "v2"])
def test_a_presets_tower_costs_what_torch_counts(preset: str) -> None:
    known, spec = KNOWN_TOWERS[PRESETS[preset].tower], PRESETS[preset].spec
    config = tower_config(known)
    expected = counted_tower(config, config.num_hidden_layers - 1)
    costs = plan(spec, (480, 640), known)
    assert costs == plan(spec, (480, 640), config)
    assert (TowerSize.from_config(known).flops(spec), costs.tower_parameters) == expected


@pytest.mark.parametrize("layer", [-3, -2, -1, 1, 2, 3])
@pytest.mark.parametrize(("kind", "prefix"), [("clip_vision_model", 1), ("vit", 1), ("siglip_vision_model", 0)])
def test_a_tower_costs_what_torch_counts_up_to_any_feature_layer(kind: str, prefix: int, layer: int) -> None:
    """Tower, FLOPs and parameters through the configuration, as the lab and training ask for them."""
    vision = AutoConfig.for_model(kind, image_size=48, patch_size=8, **TINY_TOWER)
    encoder = {**PRESETS["v1"].spec.to_dict(), "resolution": 48, "patch_size": 8, "num_prefix_tokens": prefix}
    config = DragonflyConfig(vision_config=vision, text_config=tiny_decoder("llama"), encoder=encoder, vision_feature_layer=layer)
    flops, parameters = counted_tower(vision, layer if layer > 0 else 4 + layer)
    costs = plan(config.spec, (480, 640), vision, None, tower_layers=config.num_tower_layers)
    assert (costs.tower_flops, costs.tower_parameters) == (29 * flops, parameters)


def test_the_bundled_models_tower_costs_what_torch_counts() -> None:
    config = DragonflyConfig.from_pretrained(locate(None))
    size = TowerSize.from_config(config.vision_config, config.num_tower_layers)
    assert config.vision_feature_layer == -1
    assert size.flops(config.spec) == counted_tower(config.vision_config, size.num_layers)[0] == 44_141_568


def tiny_decoder(kind: str) -> PreTrainedConfig:
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 128}
    names = {"opt": {"ffn_dim": 96}, "gpt2": {"n_inner": 96}}.get(kind, {})
    heads = {} if kind in ("opt", "gpt2", "gpt_neox") else {"num_key_value_heads": 2}
    return AutoConfig.for_model(kind, pad_token_id=0, bos_token_id=1, eos_token_id=2, **sizes, **names, **heads)


@pytest.mark.parametrize("kind", FORMULAS)
def test_language_model_flops_are_what_torch_counts(kind: str) -> None:
    config = tiny_decoder(kind)
    costs = plan(PRESETS["low-only"].spec, (480, 640), None, config, text_tokens=13)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")  # with storage: GPT-2 looks at a number
    ids = torch.zeros(1, costs.prompt_tokens, dtype=torch.long)
    prefill, output = counted(model, ids, use_cache=True, logits_to_keep=1)
    step, _ = counted(model, ids[:, :1], logits_to_keep=1, **{CACHE: output[CACHE]})
    assert (costs.prefill_flops, costs.flops_per_generated_token) == (prefill, step)
    assert costs.language_model_parameters == sum(p.numel() for p in model.parameters())


def test_llama_8b_is_counted_exactly_at_v1s_prompt() -> None:
    size = language_model_size(LLAMA)
    config = AutoConfig.for_model(
        "llama",
        hidden_size=size.hidden_size,
        intermediate_size=size.intermediate_size,
        num_hidden_layers=size.num_layers,
        num_attention_heads=size.num_heads,
        num_key_value_heads=size.num_key_value_heads,
        vocab_size=size.vocab_size,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = on_meta(config, AutoModelForCausalLM)
    costs = plan(PRESETS["v1"].spec, (480, 640), None, LLAMA)
    assert costs.prompt_tokens == 867 + 64
    ids = torch.zeros(1, costs.prompt_tokens, dtype=torch.long, device="meta")
    assert costs.prefill_flops == counted(model, ids, logits_to_keep=1)[0]
    assert costs.language_model_parameters == sum(p.numel() for p in model.parameters()) == 8_030_261_248


def test_parameters_of_the_projector() -> None:
    costs = plan(PRESETS["v1"].spec, (480, 640), KNOWN_TOWERS[CLIP_BASE], LLAMA)
    assert costs.projector_parameters == sum(p.numel() for p in torch.nn.Linear(768, 4096, device="meta").parameters())


@pytest.mark.parametrize("preset", PRESETS)
def test_token_totals_of_every_preset(preset: str) -> None:
    costs = plan(PRESETS[preset].spec, (480, 640))
    assert (costs.num_kept, costs.num_image_tokens) == TOKENS[preset]
    assert costs.num_image_tokens == costs.num_features + costs.num_kept
    assert (costs.tower_flops, costs.projector_flops, costs.prefill_flops, costs.tower_parameters) == (None,) * 4


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(PRESETS)), st.integers(1, 20_000), st.integers(1, 20_000), st.integers(0, 500))
def test_any_size_gets_the_presets_totals(preset: str, height: int, width: int, text: int) -> None:
    costs = plan(PRESETS[preset].spec, (height, width), None, LLAMA, text)
    assert (costs.num_kept, costs.num_image_tokens) == TOKENS[preset]
    assert costs.prompt_tokens == costs.num_image_tokens + text
    assert sum(level.kept * (level.tokens + 1) for level in costs.levels) == costs.num_image_tokens
    assert all(level.kept <= level.encoded <= level.sub_images == level.grid[0] * level.grid[1] for level in costs.levels)
    assert json.loads(json.dumps(costs.to_dict())) == costs.to_dict()


def test_a_policy_before_the_tower_encodes_only_what_it_keeps() -> None:
    spec, tower = PRESETS["v1"].spec, tower_config(KNOWN_TOWERS[CLIP_BASE])
    after = plan(spec, (480, 640), tower, LLAMA)
    before = plan(spec.with_selection(policy="random"), (480, 640), tower, LLAMA)
    assert (after.num_encoded, before.num_encoded) == (29, 17)
    each = TowerSize.from_config(tower).flops(spec)
    assert (after.tower_flops, before.tower_flops) == (29 * each, 17 * each)
    assert after.prefill_flops == before.prefill_flops


def test_the_projector_sees_what_is_kept_and_what_the_policy_compares() -> None:
    spec = PRESETS["v1"].spec
    layout = make_layout((480, 640), spec)
    kept = 17 * 50
    for policy, rows in (
        ("random", kept),
        ("uniform", kept),
        ("similarity", kept + 4 + 24),
        ("centred", kept + 4 + 24),
        ("detail", kept + 24 * 49),
    ):
        assert projected_rows(layout, spec.with_selection(policy=policy)) == rows, policy
    everything = spec.with_selection(policy="all")
    assert projected_rows(make_layout((480, 640), everything), everything) == 29 * 50
    pooled = PRESETS["v2"].spec
    assert projected_rows(make_layout((480, 640), pooled), pooled) == 577 + 40 * 37
    tower = tower_config(KNOWN_TOWERS[CLIP_LARGE])
    rows = torch.zeros(577 + 40 * 37, 1024, device="meta")
    expected, _ = counted(torch.nn.Linear(1024, 4096, device="meta"), rows)
    assert plan(pooled, (480, 640), tower, LLAMA).projector_flops == expected


@pytest.mark.parametrize("policy", ["all", "random", "uniform", "similarity", "detail"])
@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_the_models_own_image_features_cost_what_was_planned(policy: str, kind: str) -> None:
    encoder = PRESETS["v1"].spec.with_selection(policy=policy).to_dict()
    for name, value in (("resolution", 32), ("patch_size", 8), ("num_prefix_tokens", int(kind == "clip"))):
        encoder[name] = value
    config = tiny.config(tower=kind, encoder=encoder, attn_implementation="eager")
    model, image = tiny.model(config), tiny.image(96, 64)
    costs = plan(config.spec, (64, 96), config.vision_config, config)
    inputs = tiny.processor(config).image_processor(image, return_tensors="pt")
    inputs = {name: inputs[name] for name in inputs if name != "layouts"}
    assert inputs["pixel_values"].shape[1] == costs.num_encoded
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        features = model.get_image_features(**inputs).pooler_output
    assert features is not None and features[0].shape[0] == costs.num_features
    assert costs.tower_flops is not None and costs.projector_flops is not None
    assert counter.get_total_flops() == costs.tower_flops + costs.projector_flops  # neither counts a policy's own comparisons
    held = sum(p.numel() for p in model.model.vision_tower.parameters())
    assert costs.tower_parameters == held


def test_a_level_left_out_costs_nothing() -> None:
    spec = PRESETS["v1"].spec.with_changes(max_enlargement=1.5)
    costs = plan(spec, (100, 100), None, LLAMA)
    assert [level.name for level in costs.levels] == ["low"]
    assert costs.num_encoded == costs.num_kept == 1
    assert projected_rows(make_layout((100, 100), spec), spec) == 50


def test_a_language_model_is_read_from_its_directory(tmp_path: Any) -> None:
    config = tiny_decoder("llama")
    config.save_pretrained(tmp_path)
    expected = LanguageModelSize(64, 96, 2, 4, 2, 16, 128, layer_vectors=128, other=64)
    assert language_model_size(tmp_path) == language_model_size(str(tmp_path / "config.json")) == expected
    nested = tmp_path / "nested.json"
    nested.write_text(json.dumps({"model_type": "dragonfly", "text_config": config.to_dict()}), encoding="utf-8")
    assert language_model_size(nested) == expected


def test_mistakes_are_named(tmp_path: Any) -> None:
    v1 = PRESETS["v1"].spec
    with pytest.raises(ValueError, match="at least 1 x 1"):
        plan(v1, (0, 5))
    with pytest.raises(ValueError, match="text_tokens must be 0 or more, got -1"):
        plan(v1, (5, 5), text_tokens=-1)
    with pytest.raises(ValueError, match="image_size 336 is not the encoder's 224"):
        plan(v1, (5, 5), tower_config(KNOWN_TOWERS[CLIP_LARGE]))
    with pytest.raises(ValueError, match=r"did you mean 'meta-llama/Llama-3.1-8B-Instruct'\?; or give the path"):
        plan(v1, (5, 5), None, "meta-llama/Llama-3.1-8B-Instrukt")
    with pytest.raises(ValueError, match=r"type 'bloom'.*pass a LanguageModelSize"):
        plan(v1, (5, 5), None, AutoConfig.for_model("bloom"))
    broken = tmp_path / "config.json"
    for text in ("{", "[]", "{}"):
        broken.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=r"config.json is not a model's config.json"):
            plan(v1, (5, 5), None, tmp_path)
    broken.write_text('{"model_type": "bloom"}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"cannot count the FLOPs of a language model of type 'bloom'"):
        plan(v1, (5, 5), None, broken)
