"""A run that reads the tower's output from disk is the run that makes it: same losses, same weights, and no tower runs."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionModel

from dragonfly.training import run
from dragonfly.training import tower_filling as filling
from dragonfly.training.recipe import Recipe
from dragonfly.training.tower_cache import TowerCache
from dragonfly.training.tower_filling import largest
from dragonfly.training.trainer import StageTrainer
from dragonfly.vision.presets import get_preset
from tests import tiny
from tests.training import small
from tests.training.launch import torchrun

CHECKED = 4  # sub-images of the look whether the tower is constant
FEATURES = {"low-only": 1, "baseline-1": 5, "v1": 29}

STAGE: dict[str, Any] = {"trainable": ["multi_modal_projector"], "steps": 3}


def stage(folder: Path, name: str, cached: bool = True, workers: int = 0, **changes: Any) -> Recipe:
    """Three steps of two batches over one and a half passes of eight rows, six of them with an image."""
    data = {"train": [{"name": "rows", "path": str(folder / "data" / "rows.json")}], "audit": 2, "workers": workers}
    data |= {"tower_cache": str(folder / "tower")} if cached else {}
    return small.recipe(folder, **{**STAGE, "data": data, "output": str(folder / name), **changes})


def folder_with(tmp_path: Path, preset: str = "baseline-1", **changes: Any) -> Path:
    small.checkpoint(tmp_path / "base", preset, **changes)
    small.rows(tmp_path / "data")
    return tmp_path


@contextmanager
def tower_inputs() -> Iterator[list[int]]:
    """Sub-images of every call of a tower within the block."""
    seen: list[int] = []

    def note(module: Any, args: Any, kwargs: Any, output: Any) -> None:
        if isinstance(module, CLIPVisionModel):
            seen.append(len(kwargs["pixel_values"]))

    handle = torch.nn.modules.module.register_module_forward_hook(note, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same(output: Path, expected: Path) -> None:
    """To float32's rounding: a product of matrices of another shape may add in another order."""
    assert small.losses(output) == pytest.approx(small.losses(expected), rel=1e-6)
    ours, theirs = weights(output), weights(expected)
    assert ours.keys() == theirs.keys()
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-5, atol=1e-6, msg=name)


def encoder(preset: str, **selection: Any) -> dict[str, Any]:
    return tiny.config(preset).spec.with_selection(**selection).to_dict()


ENCODERS: dict[str, dict[str, Any]] = {
    "all of them": {"preset": "baseline-1"},
    "chosen by the model": {"preset": "v1"},
    "chosen before the tower": {"preset": "v1", "encoder": encoder("v1", policy="residual")},
    "of unequal number": {"preset": "v1", "encoder": {**tiny.config("v1").spec.to_dict(), "max_enlargement": 1.5}},
    "by the question": {"preset": "v1", "encoder": encoder("v1", policy="question")},
}


FAST = ("all of them", "chosen by the model")


@pytest.mark.parametrize("case", [one if one in FAST else pytest.param(one, marks=pytest.mark.slow) for one in ENCODERS])
def test_losses_and_weights_are_those_of_a_run_without(tmp_path: Path, case: str) -> None:
    folder = folder_with(tmp_path, **ENCODERS[case])
    expected = run(stage(folder, "plain", cached=False))
    with tower_inputs() as first:
        assert_same(run(stage(folder, "first")), expected)
    with tower_inputs() as second:
        assert_same(run(stage(folder, "second", workers=2)), expected)
    assert len(list((folder / "tower").rglob("*.safetensors"))) == 6
    assert sum(second) == CHECKED and sum(first) > CHECKED


def test_each_distinct_image_is_encoded_once(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    shutil.copy(folder / "data" / "0.png", folder / "data" / "1.png")  # two rows, one image
    with tower_inputs() as seen:
        run(stage(folder, "out"))
    assert sum(seen) == CHECKED + 5 * FEATURES["baseline-1"]


def test_a_choice_that_is_made_before_the_tower_is_all_that_is_kept(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, **ENCODERS["chosen before the tower"])
    run(stage(folder, "out", steps=1))
    kept = load_file(next((folder / "tower").rglob("*.safetensors")))
    assert kept["pixel_values"].shape == (1, 17, 17, 32) and kept["selected_high"].shape == (1, 12)
    spec = tiny.config(**ENCODERS["chosen before the tower"]).spec
    assert largest(spec, 32, "float32") == kept["pixel_values"].nbytes == 2 * largest(spec, 32, "bfloat16")


def test_images_of_the_evaluation_are_kept_too(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    more = small.rows(folder / "more", 3, name="more")
    data: dict[str, Any] = {"train": [{"name": "rows", "path": str(folder / "data" / "rows.json")}], "audit": 2}
    data["eval"] = {"name": "more", "path": str(more)}
    changes: dict[str, Any] = {"log": {"tensorboard": False, "eval_every": 3}}

    def evaluated(name: str, **options: Any) -> float:
        output = run(stage(folder, name, data={**data, **options}, **changes))
        rows = [json.loads(line) for line in (output / "loss.jsonl").read_text().splitlines()]
        return next(row["eval_loss"] for row in rows if "eval_loss" in row)

    expected = evaluated("plain")
    assert evaluated("cached", tower_cache=str(folder / "tower")) == pytest.approx(expected, rel=1e-6)


def test_a_broken_image_is_a_bad_row_as_ever(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    (folder / "data" / "2.png").write_bytes(b"no image")

    def data(**options: Any) -> dict[str, Any]:
        train = [{"name": "rows", "path": str(folder / "data" / "rows.json")}]
        return {"train": train, "audit": 1, "max_bad_share": 0.5, **options}

    expected = run(stage(folder, "plain", data=data()))
    assert_same(run(stage(folder, "cached", data=data(tower_cache=str(folder / "tower")))), expected)


def test_an_interrupted_run_resumes_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cut(Exception):
        pass

    folder = folder_with(tmp_path)
    unbroken = run(stage(folder, "unbroken", save={"every": 2}))
    whole, batches = StageTrainer.training_step, iter(range(100))

    def step(self: StageTrainer, *args: Any, **kwargs: Any) -> Any:
        if next(batches) == 5:
            raise Cut
        return whole(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(StageTrainer, "training_step", step)
        with pytest.raises(Cut):
            run(stage(folder, "cut", save={"every": 2}))
    with tower_inputs() as seen:
        resumed = run(stage(folder, "cut", save={"every": 2}))
    assert sum(seen) == CHECKED and small.losses(resumed) == small.losses(unbroken)
    after, expected = weights(resumed), weights(unbroken)
    assert all(torch.equal(after[name], expected[name]) for name in expected)


def test_another_tower_has_another_folder(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    run(stage(folder, "one", steps=1))
    changed = weights(folder / "base")
    name = next(name for name in changed if "vision_tower" in name and name.endswith("fc1.weight"))
    changed[name][0, 0] += 0.5
    save_file(changed, folder / "base" / "model.safetensors", metadata={"format": "pt"})
    with tower_inputs() as seen:
        run(stage(folder, "two", steps=1))
    assert len(list((folder / "tower").iterdir())) == 2 and sum(seen) > CHECKED


def test_files_of_another_cache_are_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path)
    run(stage(folder, "one"))
    own = next((folder / "tower").iterdir())
    files = sorted(own.rglob("*.safetensors"))
    before = files[0].read_bytes()
    files[0].write_bytes(files[1].read_bytes())
    with pytest.raises(ValueError, match="was written for another tower, encoder or image; remove it"):
        run(stage(folder, "two"))
    files[0].write_bytes(before[:-200])
    with pytest.raises(ValueError, match=r"safetensors is damaged .* remove it and start again"):
        run(stage(folder, "three"))
    files[0].write_bytes(before)
    record = json.loads((own / "cache.json").read_text())
    (own / "cache.json").write_text(json.dumps({**record, "tower": "another"}))
    with pytest.raises(ValueError, match=r"is of another run's images \(different: tower\)"):
        run(stage(folder, "four"))


def test_how_much_will_be_written_is_said_and_must_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = folder_with(tmp_path)
    caplog.set_level(logging.INFO)
    run(stage(folder, "one", steps=1))
    each = FEATURES["baseline-1"] * 17 * 32 * 4
    assert "needs at most 0.07 MB for 6 images (0.01 MB each), and" in caplog.text and round(6 * each / 1e6, 2) == 0.07
    monkeypatch.setattr(filling.shutil, "disk_usage", lambda folder: SimpleNamespace(free=6 * each - 1))
    run(stage(folder, "two", steps=1))
    assert "holds every image of the run" in caplog.text
    shutil.rmtree(folder / "tower")
    with pytest.raises(ValueError, match=r"needs at most 0.07 MB for 6 images .*; name a folder on a larger disk"):
        run(stage(folder, "three"))
    assert not list((folder / "tower").rglob("*.safetensors"))


def test_a_tower_that_draws_chance_is_refused(tmp_path: Path) -> None:
    settings = tiny.config("baseline-1")
    settings.vision_config.attention_dropout = 0.5
    tiny.model(settings).save_pretrained(tmp_path / "base")
    tiny.processor(settings).save_pretrained(tmp_path / "base")
    small.rows(tmp_path / "data")
    with pytest.raises(ValueError, match="this vision tower draws chance while training"):
        run(stage(tmp_path, "out"))


def test_a_choice_by_each_rows_evidence_is_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "v1", encoder=encoder("v1", policy="oracle"))
    texts = small.rows(folder / "texts", text_only=True)
    data = {"train": [{"name": "rows", "path": str(texts)}], "tower_cache": str(folder / "tower"), "audit": 1}
    with pytest.raises(ValueError, match="policy 'oracle' chooses by each row's evidence"):
        run(stage(folder, "out", data=data))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"trainable": ["vision_tower.encoder", "lm_head"]}, "is for a tower that stays as it is"),
        ({"objective": "text", "trainable": ["lm_head"]}, "objective 'text' runs no tower over images"),
    ],
)
def test_what_it_does_not_go_with_is_refused_before_a_file_is_read(tmp_path: Path, changes: Any, fault: str) -> None:
    values = small.values(tmp_path, **{**STAGE, **changes})
    values["data"]["tower_cache"] = "somewhere"
    with pytest.raises(ValueError, match=fault):
        Recipe.model_validate(values)
    values = small.values(tmp_path, **STAGE)
    values["data"] |= {"tower_cache": "somewhere", "streaming": True}
    with pytest.raises(ValueError, match=r"does not go with data\.streaming"):
        Recipe.model_validate(values)


def test_an_image_that_changed_while_training_is_named(tmp_path: Path) -> None:
    small.rows(tmp_path)
    cache = TowerCache.open(tmp_path / "tower", {"tower": "x"}, tiny.processor().image_processor.image_policy)
    from dragonfly.data.sample import ImageRef

    with pytest.raises(ValueError, match=r"0.png is not in .*: it was changed after the run began"):
        cache.opened(ImageRef(path=str(tmp_path / "0.png")))


def test_presets_need_what_their_sub_images_hold() -> None:
    assert largest(get_preset("v1").spec, 768, "float32") == 29 * 50 * 768 * 4
    assert largest(get_preset("v1").spec.with_selection(policy="residual"), 768, "bfloat16") == 17 * 50 * 768 * 2
    follows = get_preset("v1-any").spec  # of an image of any size
    assert largest(follows, 768, "bfloat16") == 17 * 50 * 768 * 2
    assert largest(follows.with_selection(policy="similarity"), 768, "float32") == (5 + 64 * 64) * 50 * 768 * 4


@pytest.mark.slow
@pytest.mark.parametrize("sharing", [{}, {"fsdp": True}], ids=["ddp", "fsdp"])
def test_two_processes_share_a_cache(tmp_path: Path, sharing: dict[str, Any]) -> None:
    """One row per process and batch, so that one has none with an image now and then: it must not wait for the other's tower."""
    folder = folder_with(tmp_path)
    batch: dict[str, Any] = {"batch": {"global_size": 4, "per_device": 1}, "optim": {"learning_rate": 1e-3, "weight_decay": 0.1}}
    expected = run(stage(folder, "plain", cached=False, **batch))
    data = stage(folder, "two").data.model_dump()
    output = torchrun(folder, "two", **STAGE, data=data, **batch, **sharing)
    assert small.losses(output) == pytest.approx(small.losses(expected), rel=1e-5)
    assert len(list((folder / "tower").rglob("*.safetensors"))) == 6
