"""Sizes from config.json alone: parameters equal to what transformers builds, for every family that has a formula."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM

from dragonfly.models import DragonflyConfig, DragonflyForConditionalGeneration
from dragonfly.models.tower import build_tower
from dragonfly.planning import KNOWN_LANGUAGE_MODELS, LanguageModelSize, ModelSize, TowerSize, language_model_size, read_tower
from dragonfly.planning.families import FAMILIES
from dragonfly.planning.towers import tower_values
from tests import tiny

LAYERS = 4
SWITCHED = {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True, "enable_bias": False}
TOWERS = ("clip_vision_model", "siglip_vision_model", "vit", "deit", "dinov2", "dinov2_with_registers")


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("changes", [{}, SWITCHED], ids=["plain", "switched"])
@pytest.mark.parametrize("kind", FAMILIES)
def test_parameters_are_those_that_transformers_builds(kind: str, changes: dict[str, Any]) -> None:
    """At the family's own default sizes; `switched` ties embeddings and turns optional biases over."""
    config = AutoConfig.for_model(kind, num_hidden_layers=LAYERS, **changes)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    size = LanguageModelSize.from_config(config)
    assert size.counted_layer is None
    assert size.parameters == parameters(model)


@pytest.mark.parametrize("kind", ["bloom", "deepseek_v3", "stablelm", "bamba"])
def test_a_family_without_a_formula_is_counted_on_a_model_without_storage(kind: str) -> None:
    config = AutoConfig.for_model(kind, num_hidden_layers=LAYERS)
    with torch.device("meta"):
        expected = parameters(AutoModelForCausalLM.from_config(config))
    with pytest.raises(ValueError, match=f"type '{kind}'"):
        LanguageModelSize.from_config(config)
    size = LanguageModelSize.from_config(config.to_dict(), count=True)
    assert size.parameters == expected
    assert 0 < size.layer_matrix_parameters * LAYERS < expected


@pytest.mark.parametrize("kind", TOWERS)
def test_a_towers_parameters_are_those_that_the_model_builds(kind: str) -> None:
    config = AutoConfig.for_model(kind)
    for layers in (2, config.num_hidden_layers):
        with torch.device("meta"):
            tower = build_tower(config, layers)
        assert TowerSize.from_config(config, layers).held == parameters(tower)


@pytest.mark.parametrize(("kind", "experts"), [("mixtral", 4), ("qwen3_moe", 6)])
def test_a_token_passes_its_active_experts(kind: str, experts: int) -> None:
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 128}
    more: dict[str, Any] = {"num_local_experts": experts, "num_experts_per_tok": 2, "num_key_value_heads": 2}
    if kind == "qwen3_moe":
        more |= {"moe_intermediate_size": 40, "mlp_only_layers": [1]}
    config = AutoConfig.for_model(kind, **sizes, **more, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    # Torch counts neither the fused attention of a CPU nor grouped products.
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", experts_implementation="eager")
    size = LanguageModelSize.from_config(config)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 11, dtype=torch.long), logits_to_keep=1)
    assert size.flops(11, 11) == counter.get_total_flops()
    assert size.num_sparse_layers == (3 if kind == "mixtral" else 2)
    assert size.parameters == parameters(model)


def test_keys_that_config_json_leaves_out_are_the_familys_own() -> None:
    """A composite's half as hubs have it: only what differs from the defaults, the type sometimes implied."""
    text = {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": LAYERS}
    composite = {"model_type": "gemma3", "text_config": text, "vision_config": {"model_type": "siglip_vision_model"}}
    assert LanguageModelSize.from_config(composite) == LanguageModelSize.from_config(AutoConfig.for_model(**text))
    vision = {"model_type": "clip", "vision_config": {"patch_size": 14, "hidden_size": 1024, "num_attention_heads": 16}}
    expected = AutoConfig.for_model("clip_vision_model", patch_size=14, hidden_size=1024, num_attention_heads=16)
    assert TowerSize.from_config(vision) == TowerSize.from_config(expected)
    assert tower_values(vision)["model_type"] == "clip_vision_model"


def test_a_towers_sides_may_be_written_as_a_pair() -> None:
    values = AutoConfig.for_model("vit").to_dict()
    pair = {**values, "image_size": [224, 224], "patch_size": [16, 16]}
    assert TowerSize.from_config(pair) == TowerSize.from_config(values)
    with pytest.raises(ValueError, match=r"image_size is \[224, 448\]; sub-images and patches are square"):
        TowerSize.from_config({**values, "image_size": [224, 448]})


def test_windows_bound_the_cache() -> None:
    mistral = LanguageModelSize.from_config(AutoConfig.for_model("mistral", sliding_window=100, num_hidden_layers=2))
    assert mistral.cache_elements(1000) == mistral.cache_elements(100) == 2 * 8 * 128 * 2 * 100
    gemma = LanguageModelSize.from_config(AutoConfig.for_model("gemma3_text", sliding_window=100, num_hidden_layers=12))
    assert gemma.num_sliding_layers == 10
    assert gemma.cache_elements(1000) == 2 * 4 * 256 * (10 * 100 + 2 * 1000)


@pytest.mark.parametrize(
    "selection",
    [
        {"policy": "similarity"},
        {"policy": "question"},
        {"policy": "question", "context": "row"},
        {"policy": "question", "context": "patches"},
    ],
)
def test_a_models_parts_are_the_models(tmp_path: Path, selection: dict[str, Any]) -> None:
    config = tiny.config()
    config.encoder = config.spec.with_selection(**selection).with_changes(position="learned").to_dict()
    config.save_pretrained(tmp_path)
    with torch.device("meta"):
        built = DragonflyForConditionalGeneration(DragonflyConfig.from_pretrained(tmp_path))
    size = ModelSize.of_checkpoint(tmp_path)
    assert size.spec == config.spec
    assert sum(size.elements.values()) == parameters(built)
    for name, count in size.elements.items():
        part = built.lm_head if name == "lm_head" else getattr(built.model, name, None)
        assert count == (parameters(part) if part is not None else 0), name


def test_known_sizes_need_neither_torch_nor_transformers(tmp_path: Path) -> None:
    files = {"llm": KNOWN_LANGUAGE_MODELS["meta-llama/Llama-3.1-8B-Instruct"], "vit": read_tower("openai/clip-vit-base-patch32")}
    for name, values in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(values), encoding="utf-8")
    options = ["--language-model", str(tmp_path / "llm.json"), "--tower", str(tmp_path / "vit.json"), "--budget", "24GB"]
    program = (
        f"import sys; from dragonfly.cli import run\ncode = run({['plan', *options]})\n"
        "print(code, [name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown vision tower 'clip' is not one of: .*downloaded from the hub before"):
        read_tower("clip")
    with pytest.raises(ValueError, match="there is no model 'runs/none'; or give the path"):
        ModelSize.of_checkpoint("runs/none")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    with pytest.raises(ValueError, match=r"is no Dragonfly model of ours \(model_type 'llama'\).*--tower T"):
        ModelSize.of_checkpoint(tmp_path)
    with pytest.raises(ValueError, match="transformers cannot read a configuration of type 'nosuch'"):
        LanguageModelSize.from_config({"model_type": "nosuch"}, count=True)
    with pytest.raises(ValueError, match=r"vision tower of type 'nosuch' is not known here.*encoder of your own"):
        ModelSize.from_configs({**AutoConfig.for_model("beit").to_dict(), "model_type": "nosuch"}, {"model_type": "llama"})
    assert language_model_size({"model_type": "llama"}).parameters == 6_738_415_616  # Llama-7B: transformers' defaults
