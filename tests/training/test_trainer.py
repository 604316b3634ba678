from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dragonfly.training import run
from dragonfly.training.trainer import StageTrainer
from tests.training import small


def gradients(
    folder: Path, output: str, monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss and the gradients of the one step of a run, before clipping."""
    taken: dict[str, torch.Tensor] = {}

    def clip(self: StageTrainer, model: Any) -> torch.Tensor:
        taken.update({name: parameter.grad.clone() for name, parameter in model.named_parameters()})
        return torch.tensor(0.0)

    with monkeypatch.context() as patched:
        patched.setattr(StageTrainer, "_clip_grad_norm", clip)
        done = run(small.recipe(folder, steps=1, output=str(folder / output), **changes))
    return small.losses(done)[0], taken


def test_four_rows_at_once_are_four_rows_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The answers differ in length and one row has no image: a mean of means, or a dropped dummy, would differ.
    together = gradients(tmp_path, "together", monkeypatch, batch={"global_size": 4, "per_device": 4})
    apart = gradients(tmp_path, "apart", monkeypatch, batch={"global_size": 4, "per_device": 1})
    assert apart[0] == pytest.approx(together[0], rel=1e-6)
    for name, gradient in together[1].items():
        torch.testing.assert_close(apart[1][name], gradient, rtol=1e-4, atol=1e-6, msg=name)
    assert float(together[1]["model.vision_tower.embeddings.patch_embedding.weight"].abs().max()) > 0


def test_a_batch_without_images_gives_every_trained_parameter_a_gradient_of_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.recipe(tmp_path)
    text = small.rows(tmp_path / "text", text_only=True)
    data = {"train": [{"name": "text", "path": str(text)}]}
    _, taken = gradients(tmp_path, "all", monkeypatch, data=data)
    seen = [name for name in taken if "vision_tower" in name or "projector" in name]
    assert len(seen) > 10 and all(float(taken[name].abs().max()) == 0.0 for name in seen)
    assert float(taken["lm_head.weight"].abs().max()) > 0


def test_the_dummy_changes_no_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dragonfly.training import objective

    small.recipe(tmp_path)
    text = small.rows(tmp_path / "text", text_only=True)
    changes: dict[str, Any] = {
        "data": {"train": [{"name": "text", "path": str(text)}]},
        "trainable": ["language_model"],
        "steps": 3,
    }
    with_dummy = run(small.recipe(tmp_path, output=str(tmp_path / "with"), **changes))
    monkeypatch.setattr(objective, "answer_without_images", lambda model: None)
    without = run(small.recipe(tmp_path, output=str(tmp_path / "without"), **changes))
    assert small.losses(with_dummy) == small.losses(without)
    one, other = load_file(with_dummy / "model.safetensors"), load_file(without / "model.safetensors")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_gradient_checkpointing_changes_no_gradient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = gradients(tmp_path, "plain", monkeypatch)
    again = gradients(tmp_path, "again", monkeypatch, gradient_checkpointing=True)
    assert again[0] == plain[0]
    for name, gradient in plain[1].items():
        torch.testing.assert_close(again[1][name], gradient, rtol=1e-5, atol=1e-7, msg=name)
