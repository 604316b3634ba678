import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

import dragonfly
from dragonfly.models import DragonflyForConditionalGeneration
from dragonfly.training import merge, run
from dragonfly.training.lora import base_hash
from tests import tiny
from tests.training import small


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lora")
    optim = {"learning_rate": 1e-2, "schedule": "constant"}
    run(small.recipe(folder, lora={"r": 4, "dropout": 0.1}, trainable=["multi_modal_projector"], optim=optim, steps=4))
    return folder


def logits(model: Any) -> torch.Tensor:
    processor: Any = tiny.processor(tiny.config("baseline-1"))
    inputs = processor(images=[tiny.image()], text="<image>hello", return_tensors="pt")
    with torch.no_grad():
        return model.eval()(**inputs).logits


def test_the_adapter_is_small_and_knows_its_base(trained: Path) -> None:
    tensors = load_file(trained / "out" / "adapter_model.safetensors")
    assert any("q_proj" in name for name in tensors) and any("multi_modal_projector" in name for name in tensors)
    assert not any("vision_tower" in name for name in tensors)
    about = json.loads((trained / "out" / "dragonfly.json").read_text())
    assert about["base"] == {"path": str(trained / "base"), "sha256": base_hash(trained / "base")}
    assert not (trained / "out" / "model.safetensors").exists()


def test_merged_is_unmerged_is_loaded(trained: Path, tmp_path: Path) -> None:
    base = DragonflyForConditionalGeneration.from_pretrained(trained / "base")
    before = logits(base)
    unmerged = logits(PeftModel.from_pretrained(base, str(trained / "out")))  # pyright: ignore[reportArgumentType]
    assert float((unmerged - before).abs().max()) > 0.1
    engine = dragonfly.load(merge(trained / "out", tmp_path / "merged"))
    torch.testing.assert_close(logits(engine.model), unmerged, rtol=1e-4, atol=1e-4)
    assert json.loads((tmp_path / "merged" / "dragonfly.json").read_text())["merged_from"] == str(trained / "out")


def test_an_encoder_that_the_recipe_changed_is_merged_with_its_weights(trained: Path, tmp_path: Path) -> None:
    model = {"preset": "low-only"}
    recipe = small.recipe(tmp_path, lora={"r": 4}, trainable=[], model=model, steps=1, output=str(tmp_path / "changed"))
    run(recipe)
    engine = dragonfly.load(merge(tmp_path / "changed", tmp_path / "merged"))
    assert engine.model.config.spec == engine.processor.image_processor.spec
    answer = engine.ask(tiny.image(), "hello")
    assert answer.layouts[0].num_sub_images == 1  # the base would cut 29
    assert answer.text == dragonfly.load(tmp_path / "changed").ask(tiny.image(), "hello").text


def test_another_base_is_refused_and_a_moved_one_is_not(trained: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(trained / "base", tmp_path / "moved")
    merge(trained / "out", tmp_path / "merged", base=moved)
    weights = load_file(moved / "model.safetensors")
    weights["lm_head.weight"][0, 0] += 1.0
    save_file(weights, moved / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"belongs to a base with hash \w{12}, .*moved' has \w{12}.*--base DIRECTORY"):
        merge(trained / "out", tmp_path / "other", base=moved)
    assert not (tmp_path / "other").exists()


def test_merging_what_is_no_adapter_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is no adapter of `dragonfly train`: its dragonfly.json names no base"):
        merge(trained / "base", tmp_path / "merged")
    with pytest.raises(ValueError, match="exists and is not empty"):
        merge(trained / "out", trained / "base")


def test_four_bits_ask_for_what_they_need(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    recipe = small.recipe(trained, lora={"quantize": True}, trainable=[], output=str(trained / "q"))
    with pytest.raises(ValueError, match=r"lora.quantize needs bitsandbytes: .*pip install .*\[qlora\]'"):
        run(recipe)
