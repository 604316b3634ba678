"""QLoRA on a CPU, where bitsandbytes is installed (`make test-slow` puts it apart): its own 4-bit layers, not a stand-in."""

from pathlib import Path

import pytest
import torch

import dragonfly
from dragonfly.training import merge, run
from dragonfly.training.build import build_model, build_processor
from tests import tiny
from tests.training import small

pytest.importorskip("bitsandbytes")


def test_the_language_model_is_in_4_bits_and_nothing_else(tmp_path: Path) -> None:
    recipe = small.recipe(tmp_path, lora={"r": 4, "quantize": True}, trainable=[])
    model = build_model(recipe, build_processor(recipe))
    linear = {name: type(module).__name__ for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    assert {kind for name, kind in linear.items() if "language_model" in name} == {"Linear4bit"}
    others = {name: kind for name, kind in linear.items() if "language_model" not in name}
    assert {"lm_head", "model.multi_modal_projector"} <= set(others) and any("vision_tower" in name for name in others)
    assert set(others.values()) == {"Linear"}


def test_an_adapter_learns_on_a_quantised_base_and_is_merged_into_the_whole_one(tmp_path: Path) -> None:
    changes = {"lora": {"r": 4, "quantize": True}, "trainable": ["multi_modal_projector"], "steps": 10}
    output = run(small.recipe(tmp_path, optim={"learning_rate": 1e-2}, **changes))
    losses = small.losses(output)
    assert losses[-1] < 0.7 * losses[0]
    merged = dragonfly.load(merge(output, tmp_path / "merged"))
    assert merged.ask(tiny.image(), "what?", max_new_tokens=1).finish == "length"
