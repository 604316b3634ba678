"""A mean embedding from images: the mean of all embeddings, and a directory that loads and is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from dragonfly.cli import run
from dragonfly.inference import load
from dragonfly.training.calibration import calibrate, calibrate_model, mean_embedding_of
from tests import tiny
from tests.training import small

CENTRED = ["model.selection.policy=centred"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibration")
    small.checkpoint(folder / "base")
    small.rows(folder / "data", 8)  # six images
    (folder / "base" / "dragonfly.json").write_text(json.dumps({"version": "1", "recipe": "first"}))
    return folder


def test_it_is_the_mean_of_mid_and_high_embeddings(folder: Path) -> None:
    engine = load(folder / "base", device="cpu", overrides=CENTRED)
    images = [tiny.image(90, 60, seed=1), tiny.image(50, 80, seed=2)]
    with pytest.raises(ValueError, match="dragonfly lab calibrate"):
        engine.ask(images[0], "what?")
    done = calibrate(engine, images)
    pixels = engine.processor.image_processor(images, return_tensors="pt")["pixel_values"][:, 1:]
    with torch.no_grad():
        rows = engine.model.model.embed_sub_images(pixels.flatten(0, 1))
    mean: Any = engine.model.model.mean_embedding
    torch.testing.assert_close(mean.mean, rows.mean(dim=0), atol=1e-6, rtol=1e-5)
    assert (done.images, done.sub_images, mean.count) == (2, 56, 56)
    assert done.mean_norm == pytest.approx(float(rows.mean(dim=0).norm()), rel=1e-5)
    left = (rows - rows.mean(dim=0)).square().sum(dim=1).mean().sqrt()
    assert done.residual_norm == pytest.approx(float(left), rel=1e-4)
    kept = [item.index for item in engine.ask(images[0], "what?", max_new_tokens=1).selections[0] if item.kept]
    assert len(kept) == 12
    again = load(folder / "base", device="cpu", overrides=CENTRED)
    calibrate(again, reversed(images))
    torch.testing.assert_close(again.model.model.mean_embedding.mean, mean.mean, atol=1e-7, rtol=1e-6)


def test_the_command_writes_a_model_that_is_ready(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = folder / "centred"
    assert run(["lab", "calibrate", str(folder / "base"), str(folder / "data" / "rows.json"), "-o", str(target)]) == 0
    assert "mean embedding of 168 sub-images of 6 images" in capsys.readouterr().out
    engine = load(target, device="cpu")
    assert engine.processor.image_processor.spec.selection.policy == "centred"
    mean: Any = engine.model.model.mean_embedding
    assert mean.count == 168
    assert engine.ask(tiny.image(), "what?", max_new_tokens=1).selections[0]
    origin = json.loads((target / "dragonfly.json").read_text())
    assert origin["recipe"] == "first" and origin["calibration"]["images"] == 6
    other = load(target, device="cpu", overrides=["model.selection.policy=similarity"])  # the mean is not needed then
    assert not hasattr(other.model.model, "mean_embedding")


def test_a_limit_and_every_image_once(folder: Path) -> None:
    rows = json.loads((folder / "data" / "rows.json").read_text())
    (folder / "data" / "twice.json").write_text(json.dumps(rows + [{**row, "id": row["id"] + "b"} for row in rows]))
    assert calibrate_model(str(folder / "base"), folder / "data" / "twice.json", folder / "twice").images == 6
    assert calibrate_model(str(folder / "base"), folder / "data" / "rows.json", folder / "two", limit=2).images == 2
    several = [folder / "data" / "rows.json", folder / "data" / "twice.json"]  # of the same images: each once
    assert calibrate_model(str(folder / "base"), several, folder / "several", limit=4).images == 4


def test_a_mean_is_lent_for_a_while(folder: Path) -> None:
    engine = load(folder / "base", device="cpu")  # has no place for one
    centred = load(folder / "base", device="cpu", overrides=CENTRED)  # has one that is empty
    place: Any = centred.model.model
    images = [str(path) for path in sorted((folder / "data").glob("**/*.png"))[:2]]
    for one in (engine, centred):
        base: Any = one.model.model
        before = getattr(base, "mean_embedding", None)
        with mean_embedding_of(one, [*images, *images], True) as origin:
            lent = base.mean_embedding.value()
        assert origin == "2 of these images"
        assert getattr(base, "mean_embedding", None) is before
        calibrate(centred, images)
        torch.testing.assert_close(lent, place.mean_embedding.value())
        place.mean_embedding.count.zero_()
    with mean_embedding_of(engine, images, False) as origin:
        assert origin is None and not hasattr(engine.model.model, "mean_embedding")
    calibrate(centred, images)
    with mean_embedding_of(centred, images[:1], True) as origin:  # its own is kept
        assert (origin, int(place.mean_embedding.count)) == ("checkpoint", 56)


def test_what_is_refused(folder: Path) -> None:
    engine = load(folder / "base", device="cpu")
    with pytest.raises(
        ValueError, match=r"has the policy 'similarity' and no mean embedding; load it with model.selection.policy=centred"
    ):
        calibrate(engine, [tiny.image()])
    with pytest.raises(ValueError, match="0 images and none with mid or high sub-images"):
        calibrate(load(folder / "base", device="cpu", overrides=CENTRED), [])
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        calibrate_model(str(folder / "base"), folder / "data" / "rows.json", folder / "never", limit=0)
    text = small.rows(folder / "text", text_only=True)
    with pytest.raises(ValueError, match="holds no images"):
        calibrate_model(str(folder / "base"), text, folder / "never")
    assert not (folder / "never").exists()
