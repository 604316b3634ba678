"""How much a training step does, counted, never timed: calls of the tower and of its layers, images decoded and resized."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import CLIPVisionModel
from transformers.models.clip.modeling_clip import CLIPEncoderLayer

from dragonfly.data import dataset
from dragonfly.training import run
from tests.training import small

STEPS, BATCHES, ROWS = 2, 2, 2  # batches of a step, rows of a batch
LAYERS = 2  # of the tower, below the hidden state that is used
FROZEN = ["multi_modal_projector", "language_model", "lm_head"]
RESIZES = 4  # an image under `baseline-1`: two levels, width and height each


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Work within the block by name; a tower counts its sub-images too."""
    seen: Counter[str] = Counter()

    def note(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        if isinstance(module, CLIPVisionModel):
            seen.update({"tower": 1, "sub-images": len(kwargs["pixel_values"])})

    def begun(module: Any, args: Any) -> None:
        """A layer that is run again stops as soon as it has what the backward pass wants, so its end is no measure."""
        seen["tower layer"] += isinstance(module, CLIPEncoderLayer)

    def watched(name: str, work: Any) -> Any:
        def counting(*args: Any, **kwargs: Any) -> Any:
            seen[name] += 1
            return work(*args, **kwargs)

        return counting

    monkeypatch.setattr(dataset, "load_image", watched("decode", dataset.load_image))
    monkeypatch.setattr(Image.Image, "resize", watched("resize", Image.Image.resize))
    hooks = torch.nn.modules.module
    handles = [hooks.register_module_forward_hook(note, with_kwargs=True), hooks.register_module_forward_pre_hook(begun)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
        monkeypatch.undo()


def trained(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str = "out", **changes: Any) -> Counter[str]:
    """What two steps of two batches do; every row has an image of its own, and none is seen twice."""
    if not (folder / "data").exists():
        small.checkpoint(folder / "base", "baseline-1")
        small.rows(folder / "data", number=8)
    data: dict[str, Any] = {"train": [{"name": "rows", "path": str(folder / "data" / "rows.json")}], "audit": 1, "workers": 0}
    data |= changes.pop("data", {})
    recipe = small.recipe(folder, data=data, steps=STEPS, output=str(folder / name), **changes)
    with counted(monkeypatch) as seen:
        run(recipe)
    return seen


def test_a_step_runs_the_tower_once_for_each_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six of the eight rows have an image: 5 sub-images each. The audit of labels looks at one row beside."""
    seen = trained(tmp_path, monkeypatch)
    assert seen["tower"] == STEPS * BATCHES
    assert seen["tower layer"] == STEPS * BATCHES * LAYERS
    assert seen["sub-images"] == 6 * 5
    assert seen["decode"] == 6 + 1
    assert seen["resize"] == seen["decode"] * RESIZES


def test_a_frozen_tower_is_not_run_again_in_the_backward_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = trained(tmp_path, monkeypatch, trainable=FROZEN, gradient_checkpointing=True)
    assert seen["tower layer"] == STEPS * BATCHES * LAYERS


def test_a_full_tower_cache_leaves_a_step_without_tower_decoding_and_resizing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = {"data": {"tower_cache": str(tmp_path / "tower")}, "trainable": FROZEN}
    first = trained(tmp_path, monkeypatch, name="first", **cached)
    second = trained(tmp_path, monkeypatch, name="second", **cached)
    looks = 2  # whether the tower is constant, before any run
    assert first["sub-images"] - second["sub-images"] == 6 * 5  # each image once
    assert second["tower"] == looks
    assert second["decode"] == 1  # the audit of labels
    assert second["resize"] == RESIZES
