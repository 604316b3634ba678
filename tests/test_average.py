"""scripts/average.py: what lies half way between two models."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dragonfly.inference import load
from tests import tiny

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import average  # pyright: ignore[reportMissingImports]
import export_nano  # pyright: ignore[reportMissingImports]


def saved(folder: Path, seed: int) -> Path:
    settings = tiny.config()
    tiny.model(settings, seed=seed).save_pretrained(folder)
    tiny.processor(settings).save_pretrained(folder)
    (folder / "dragonfly.json").write_text(json.dumps({"recipe": "a", "stages": [{"recipe": "a"}]}))
    return folder


def test_every_weight_lies_half_way_and_the_record_says_so(tmp_path: Path) -> None:
    first, second = saved(tmp_path / "one", 0), saved(tmp_path / "two", 1)
    average.average(first, second, tmp_path / "mean")
    one, two, mean = (load(tmp_path / name, device="cpu").model.state_dict() for name in ("one", "two", "mean"))
    assert any(not torch.equal(one[name], two[name]) for name in one)
    assert all(torch.allclose(mean[name].float(), (one[name].float() + two[name].float()) / 2) for name in one)
    record = export_nano.history(tmp_path / "mean")
    assert record == [{"recipe": "a"}, {"recipe": "mean of the weights of one and two"}]


def test_models_of_two_shapes_have_no_mean(tmp_path: Path) -> None:
    first, second = saved(tmp_path / "one", 0), saved(tmp_path / "two", 0)
    save_file({"model.multi_modal_projector.bias": torch.zeros(3)}, second / "model.safetensors")
    with pytest.raises(ValueError, match="hold different tensors; only models of one shape have a mean"):
        average.average(first, second, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
