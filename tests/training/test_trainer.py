from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dragonfly.data import ImageRef, Message, Part, Sample, write_manifest
from dragonfly.research.curriculum import HOOKS
from dragonfly.training import run
from dragonfly.training.recipe import with_hooks
from dragonfly.training.trainer import StageTrainer
from tests import tiny
from tests.training import small


def gradients(
    folder: Path, output: str, monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss and the gradients of the one step of a run, before clipping."""
    taken: dict[str, torch.Tensor] = {}

    def clip(self: StageTrainer, model: Any) -> torch.Tensor:
        trained = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
        taken.update({name: gradient.clone() for name, gradient in trained.items()})
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
    monkeypatch.setattr(objective, "answer_without_images", lambda model, encoded: None)
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


def shown(folder: Path, number: int) -> Sample:
    """A question of an image of its own, and the high sub-image that shows the answer."""
    tiny.image(96, 64, seed=number).save(folder / f"{number}.png")
    asked = Message("user", (Part("image"), Part("text", f"question {number}?")))
    box = (16.0 * number + 1, 17.0, 16.0 * number + 15, 31.0)
    answer = ("red", "tan", "sky", "jet")[number]  # of one length: both losses are means over a batch
    messages = (asked, Message("assistant", (Part("text", answer),)))
    return Sample(str(number), "made", (ImageRef(path=str(folder / f"{number}.png")),), messages, evidence=((box,),))


CHOICE = {"model": {"selection": {"policy": "question"}}, "trainable": ["query_projection"], "evidence_weight": 10.0}
POINTING = {
    "model": {"selection": {"policy": "all"}},
    "trainable": ["language_model.layers"],
    "attention": {"text_config": "eager"},
    "objective": {"name": "shared_prefix", "attention_supervision": {"words": 0, "places": 1, "heads": 1, "weight": 10.0}},
}


@pytest.mark.parametrize("options", [CHOICE, POINTING], ids=["choice", "attention_supervision"])
def test_losses_beside_the_answers_are_means_over_a_step_however_it_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    small.checkpoint(tmp_path / "base")
    write_manifest((shown(tmp_path, number) for number in range(4)), tmp_path / "manifest")
    rows = {"name": "rows", "path": str(tmp_path / "manifest")}
    options = {"data": {"train": [rows], "audit": 2}, "kind": with_hooks(HOOKS), **options}
    together = gradients(tmp_path, "together", monkeypatch, batch={"global_size": 4, "per_device": 4}, **options)
    apart = gradients(tmp_path, "apart", monkeypatch, batch={"global_size": 4, "per_device": 1}, **options)
    assert together[0] > 20  # about 6 without the loss beside the answers
    assert apart[0] == pytest.approx(together[0], rel=1e-5)
    for name, gradient in together[1].items():
        torch.testing.assert_close(apart[1][name], gradient, rtol=1e-3, atol=1e-6, msg=name)
