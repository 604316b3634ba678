"""A LoRA adapter that `dragonfly train` wrote is asked by its own directory: with its base, and with no other."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from dragonfly.inference import load
from dragonfly.inference.loading import describe
from dragonfly.installation import install_advice
from dragonfly.training import merge, run
from tests import tiny
from tests.training import small


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lora")
    optim = {"learning_rate": 1e-2, "schedule": "constant"}
    run(small.recipe(folder, lora={"r": 4, "dropout": 0.1}, trainable=["multi_modal_projector"], optim=optim, steps=4))
    return folder


def logprob(model: str | Path) -> tuple[float, tuple[int, ...]]:
    answer = load(model, device="cpu").ask(tiny.image(), "hello", max_new_tokens=4)
    return answer.confidence, answer.token_ids


def test_it_answers_as_the_merged_model_does(trained: Path, tmp_path: Path) -> None:
    merged = logprob(merge(trained / "out", tmp_path / "merged"))
    adapter = logprob(trained / "out")
    assert adapter[1] == merged[1] and adapter[0] == pytest.approx(merged[0], abs=1e-5)
    assert abs(logprob(trained / "base")[0] - adapter[0]) > 1e-3  # which the base does not
    assert not any("lora" in name for name in load(trained / "out", device="cpu").model.state_dict())


def test_it_is_described_with_its_base(trained: Path) -> None:
    facts = describe(trained / "out")
    assert facts["model"] == f"{trained / 'out'} (an adapter of {trained / 'base'})"
    assert facts["origin"]["base"]["path"] == str(trained / "base")


@pytest.fixture
def alone(trained: Path, tmp_path: Path) -> Path:
    """Adapter and base elsewhere; the adapter names its base by a relative path, as a recipe may."""
    shutil.copytree(trained / "base", tmp_path / "runs" / "base")
    adapter = shutil.copytree(trained / "out", tmp_path / "runs" / "mine")
    record = json.loads((adapter / "dragonfly.json").read_text())
    record["base"]["path"] = "runs/base"
    (adapter / "dragonfly.json").write_text(json.dumps(record))
    return adapter


def test_a_base_named_by_a_relative_path_is_found_near_the_adapter(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert load(alone, device="cpu").model.config.model_type == "dragonfly"


def test_another_base_is_refused_and_a_missing_one_named(alone: Path) -> None:
    weights = alone.parent / "base" / "model.safetensors"
    tensors = load_file(weights)
    save_file({**tensors, "lm_head.weight": tensors["lm_head.weight"] + 1}, weights, metadata={"format": "pt"})
    with pytest.raises(
        ValueError, match=r"belongs to a base with hash \w{12}, .* has \w{12}; .*dragonfly merge .* --base DIRECTORY"
    ):
        load(alone, device="cpu")
    shutil.rmtree(alone.parent / "base")
    with pytest.raises(
        ValueError, match=r"the base of adapter '.*mine' is not found: .*'runs/base' \(.*the base of the adapter names"
    ):
        load(alone, device="cpu")
    assert not torch.is_inference_mode_enabled()


def test_what_it_needs_is_said(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="first write it as one model: dragonfly merge"):
        load(trained / "out", quantization="int8")
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ValueError) as caught:
        load(trained / "out", device="cpu")
    assert f"needs peft, and it is not installed: {install_advice('train')}" in str(caught.value)


def test_an_adapter_of_another_program_is_refused(trained: Path, tmp_path: Path) -> None:
    adapter = shutil.copytree(trained / "out", tmp_path / "other")
    (adapter / "dragonfly.json").unlink()
    with pytest.raises(ValueError, match=r"is no adapter of `dragonfly train`: its dragonfly.json names no base"):
        load(adapter)
