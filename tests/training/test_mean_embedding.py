"""Policy `centred` in training: the mean embedding is the mean of the embeddings that the steps showed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dragonfly.training import run
from tests import tiny
from tests.training import small

SEEN = 4 + 24  # mid and high sub-images of an image


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("centring")
    small.checkpoint(folder / "base", encoder=tiny.config().spec.with_selection(policy="centred").to_dict())
    small.rows(folder / "data", 4)  # three of the four have an image
    return folder


@pytest.fixture(scope="module")
def unbroken(shared: Path) -> Path:
    return trained(shared, "unbroken", steps=4, save={"every": 2, "keep": 2})


def mean_of(output: Path) -> tuple[torch.Tensor, float]:
    weights = load_file(output / "model.safetensors")
    return weights["model.mean_embedding.mean"], float(weights["model.mean_embedding.count"])


def trained(shared: Path, name: str, **changes: Any) -> Path:
    return run(small.recipe(shared, output=str(shared / name), **changes))


def expected(shared: Path) -> torch.Tensor:
    """The mean over mid and high of all images, under the weights at the start."""
    from dragonfly.inference import load

    engine = load(shared / "base", device="cpu")
    embeddings = []
    for index in range(3):
        pixels = engine.processor.image_processor([tiny.image(40 + 8 * index, 64, seed=index)], return_tensors="pt")
        with torch.no_grad():
            embeddings.append(engine.model.model.embed_sub_images(pixels["pixel_values"][0, 1:]))
    return torch.cat(embeddings).mean(dim=0)


@pytest.mark.parametrize("per_device", [4, 1])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_one_step_gives_the_mean_of_its_images(shared: Path, per_device: int, checkpointing: bool) -> None:
    batch = {"global_size": 4, "per_device": per_device}
    name = f"one-{per_device}-{checkpointing}"
    mean, count = mean_of(trained(shared, name, steps=1, batch=batch, gradient_checkpointing=checkpointing))
    assert count == 3 * SEEN
    torch.testing.assert_close(mean, expected(shared), atol=1e-5, rtol=1e-4)


def test_a_resumed_run_has_the_mean_of_the_unbroken_one(shared: Path, unbroken: Path) -> None:
    assert mean_of(unbroken)[1] == 4 * 3 * SEEN
    assert mean_of(unbroken / "checkpoint-2")[1] == 2 * 3 * SEEN
    again = shared / "again"
    shutil.copytree(unbroken, again)
    shutil.rmtree(again / "checkpoint-4")
    for name in ("dragonfly.json", "model.safetensors"):
        (again / name).unlink()
    trained(shared, "again", steps=4, save={"every": 2, "keep": 2})
    assert small.losses(again) == small.losses(unbroken)
    after, before = load_file(again / "model.safetensors"), load_file(unbroken / "model.safetensors")
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_looking_at_held_out_rows_moves_nothing(shared: Path) -> None:
    held_out = {"train": [{"name": "rows", "path": str(shared / "data" / "rows.json")}], "audit": 4}
    held_out["eval"] = {"name": "held-out", "path": str(shared / "data" / "rows.json")}
    log = {"tensorboard": False, "eval_every": 1}
    assert mean_of(trained(shared, "watched", steps=2, data=held_out, log=log))[1] == 2 * 3 * SEEN


def test_an_adapter_leaves_its_base_as_it_is(shared: Path, unbroken: Path) -> None:
    with pytest.raises(ValueError, match="run `dragonfly lab calibrate` on it"):
        trained(shared, "adapter", steps=1, trainable=[], lora={"r": 2})
    calibrated = shared / "calibrated"
    shutil.copytree(unbroken, calibrated, ignore=shutil.ignore_patterns("checkpoint-*", "*.jsonl"))
    config = json.loads((calibrated / "config.json").read_text())
    assert config["encoder"]["selection"]["policy"] == "centred"
    adapter = trained(shared, "adapter-2", steps=2, trainable=[], lora={"r": 2}, init_from={"checkpoint": str(calibrated)})
    assert not [name for name in load_file(adapter / "adapter_model.safetensors") if "mean_embedding" in name]
