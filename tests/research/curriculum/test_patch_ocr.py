"""The objective `patch_ocr`: the tower learns, its head stays beside the model, and a run resumes with it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import dragonfly
from dragonfly.research.curriculum.patch_ocr_head import PatchOcrModel
from dragonfly.research.curriculum.text_annotations import Classes
from dragonfly.training import run
from tests import tiny
from tests.research.curriculum.recipes import recipe
from tests.training import small


def marked(folder: Path, number: int = 4) -> Path:
    """Images with a black square, in a manifest, as `synthetic` makes them."""
    from dragonfly.data import ImageRef, Message, Part, Sample, write_manifest

    samples = []
    for index in range(number):
        image = tiny.image(64, 64, seed=index)
        left = 8 * (index % 4)
        image.paste((0, 0, 0), (left, 0, left + 16, 16))
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{index}.png")
        messages = (Message("user", (Part("image"), Part("text", "where?"))), Message("assistant", (Part("text", "here"),)))
        meta = {"text_annotations": [{"box": [left, 0, left + 16, 16], "label": "square"}]}
        samples.append(Sample(f"m{index}", "marked", (ImageRef(path=str(folder / f"{index}.png")),), messages, meta=meta))
    return write_manifest(samples, folder / "manifest").parent


def test_patch_ocr_trains_the_tower_and_leaves_its_head_behind(tmp_path: Path) -> None:
    small.recipe(tmp_path)
    data = {"train": [{"name": "marked", "path": str(marked(tmp_path / "marked"))}]}
    optim = {"learning_rate": 3e-3, "schedule": "constant"}
    chosen = recipe(
        tmp_path, objective="patch_ocr", trainable=["vision_tower"], data=data, optim=optim, steps=12, save={"every": 6}
    )
    output = run(chosen)
    losses = small.losses(output)
    assert losses[-1] < 0.8 * losses[0]
    before, after = load_file(tmp_path / "base" / "model.safetensors"), load_file(output / "model.safetensors")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert before.keys() == after.keys() and moved and all(".vision_tower." in name for name in moved)
    assert "head.weight" in load_file(output / "checkpoint-6" / "model.safetensors")
    assert dragonfly.load(output).ask(tiny.image(), "what?", max_new_tokens=1).finish == "length"


def test_patch_ocr_resumes_with_its_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small.recipe(tmp_path)
    data = {"train": [{"name": "marked", "path": str(marked(tmp_path / "marked"))}]}
    changes: dict[str, Any] = {
        "objective": "patch_ocr",
        "trainable": ["vision_tower"],
        "data": data,
        "steps": 4,
        "save": {"every": 2},
    }
    whole = run(recipe(tmp_path, output=str(tmp_path / "whole"), **changes))

    forward, calls = PatchOcrModel.forward, iter(range(100))

    def cut(self: PatchOcrModel, *args: Any, **kwargs: Any) -> Any:
        if next(calls) == 5:
            raise KeyboardInterrupt
        return forward(self, *args, **kwargs)

    chosen = recipe(tmp_path, output=str(tmp_path / "cut"), **changes)
    with monkeypatch.context() as patched:
        patched.setattr(PatchOcrModel, "forward", cut)
        with pytest.raises(KeyboardInterrupt):
            run(chosen)
    assert small.losses(run(chosen)) == small.losses(whole)


def test_the_readers_loss_is_a_sum_over_the_steps_items() -> None:
    tower = tiny.model(tiny.config("low-only")).model.vision_tower
    patch_ocr = PatchOcrModel(tower, 32, Classes(("a", "b"), "xy", 0, 2), weight=0.5)
    pixels, labels = torch.randn(4, 3, 32, 32), torch.randint(0, 3, (4, 17, 3))
    labels[:, 0] = -100
    whole = patch_ocr(pixels, labels)["loss"]
    parts = [patch_ocr(pixels[half], labels[half], num_items_in_batch=192)["loss"] for half in (slice(0, 1), slice(1, 4))]
    torch.testing.assert_close(sum(parts), whole)
    predictions = patch_ocr.predictions(patch_ocr(pixels, labels)["logits"])
    assert predictions.shape == (4, 17, 3) and int(predictions.max()) <= 2


def test_what_counts_as_read() -> None:
    patch_ocr = PatchOcrModel(torch.nn.Identity(), 4, Classes(("star",), "ab", 1, 2))
    labels = np.array([[[-100] * 4, [1, 2, 1, 2], [0, 0, 2, 0], [0, 0, 0, 0]]])
    predictions = np.array([[[0] * 4, [1, 1, 1, 1], [1, 2, 2, 0], [0, 0, 0, 0]]])
    # One name, right; one near character, wrong. Of the words, 1 2 and 2, three characters, two right; the second is whole.
    assert patch_ocr.metrics(predictions, labels) == {"names": 1.0, "near": 0.0, "characters": 2 / 3, "words": 0.5}


def conv_tower() -> Any:
    from tests.models.test_conv_tower import tower

    return tower()


def test_blank_patches_are_left_out_in_training_alone_those_that_say_something_first() -> None:
    torch.manual_seed(0)
    patch_ocr = PatchOcrModel(conv_tower(), 32, Classes((), "xy", 1, 0), keep=6)
    pixels, labels = torch.randn(2, 3, 32, 32), torch.zeros(2, 16, 2, dtype=torch.long)
    labels[:, 3, 1], labels[:, 9, 1], labels[0, 15, 1] = 1, 2, 1
    seen: list[Any] = []
    patch_ocr.vision_tower.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs.get("patch_indices")), with_kwargs=True
    )
    assert patch_ocr.train()(pixels, labels)["logits"].shape == (2, 6, 4)
    for kept, saying in zip(seen[0].tolist(), ({3, 9, 15}, {3, 9}), strict=True):
        assert len(set(kept)) == 6 and saying <= set(kept)
    assert patch_ocr.eval()(pixels, labels)["logits"].shape == (2, 16, 4) and seen[1] is None


def test_where_a_text_ends_is_asked_behind_a_character_alone_and_counts_in_full() -> None:
    patch_ocr = PatchOcrModel(conv_tower(), 32, Classes((), "xy", 3, 0), weight=0.1).eval()
    labels = torch.zeros(1, 16, 4, dtype=torch.long)
    labels[0, 5, 1] = 2  # one patch says "y", and then nothing
    found = patch_ocr(pixels := torch.randn(1, 3, 32, 32), labels, num_items_in_batch=1)
    scores = found["logits"][0, :, 1:].view(16, 3, 3).log_softmax(dim=-1)  # the name's column has one class and no loss
    blank = [patch for patch in range(16) if patch != 5]
    expected = -(scores[5, 0, 2] + scores[5, 1, 0] + scores[5, 2, 0] + 0.1 * scores[blank, 0, 0].sum())
    torch.testing.assert_close(found["loss"], expected)
    assert patch_ocr.predictions(patch_ocr(pixels, labels)["logits"]).shape == (1, 16, 4)


def test_a_head_that_did_not_spell_yet_is_where_one_that_does_begins(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from dragonfly.research.curriculum.patch_ocr_head import save_head

    first = PatchOcrModel(conv_tower(), 32, Classes((), "xy", 2, 0))
    save_head(first, tmp_path, [])
    spells = PatchOcrModel(conv_tower(), 32, Classes((), "xy", 2, 3))
    spells.begin_from(str(tmp_path))
    torch.testing.assert_close(spells.head.weight[:7], first.head.weight)
    assert not caplog.text
    other = PatchOcrModel(conv_tower(), 32, Classes((), "xyz", 2, 3))
    before = other.head.weight.clone()
    other.begin_from(str(tmp_path))  # other characters: the rows would mean something else
    assert torch.equal(other.head.weight, before) and "says other classes than this data" in caplog.text


def test_leaving_patches_out_takes_a_tower_that_can(tmp_path: Path) -> None:
    small.recipe(tmp_path)
    data = {"train": [{"name": "marked", "path": str(marked(tmp_path / "marked"))}]}
    objective = {"name": "patch_ocr", "keep_patches": 4}
    with pytest.raises(ValueError, match="keep_patches needs a tower that can leave patches out, 'dragonfly_conv_tower'"):
        run(recipe(tmp_path, objective=objective, trainable=["vision_tower"], data=data, steps=1))
