"""A shared mean from pictures: the mean of all summaries, and a directory that loads and is used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from dragonfly.cli import run
from dragonfly.inference import load
from dragonfly.lab.calibration import calibrate, calibrate_model, shared_mean_of
from tests import tiny
from tests.training import small

CENTRED = ["model.selection.policy=centred"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibration")
    small.checkpoint(folder / "base")
    small.rows(folder / "data", 8)  # six pictures
    (folder / "base" / "dragonfly.json").write_text(json.dumps({"version": "1", "recipe": "first"}))
    return folder


def test_it_is_the_mean_of_mid_and_high_summaries(folder: Path) -> None:
    engine = load(folder / "base", device="cpu", overrides=CENTRED)
    pictures = [tiny.picture(90, 60, seed=1), tiny.picture(50, 80, seed=2)]
    with pytest.raises(ValueError, match="dragonfly lab calibrate"):
        engine.ask(pictures[0], "what?")
    done = calibrate(engine, pictures)
    pixels = engine.processor.image_processor(pictures, return_tensors="pt")["pixel_values"][:, 1:]
    with torch.no_grad():
        rows = engine.model.model.summarise(pixels.flatten(0, 1))
    mean: Any = engine.model.model.shared_mean
    torch.testing.assert_close(mean.mean, rows.mean(dim=0), atol=1e-6, rtol=1e-5)
    assert (done.pictures, done.sub_images, mean.count) == (2, 56, 56)
    assert done.mean_norm == pytest.approx(float(rows.mean(dim=0).norm()), rel=1e-5)
    left = (rows - rows.mean(dim=0)).square().sum(dim=1).mean().sqrt()
    assert done.residual_norm == pytest.approx(float(left), rel=1e-4)
    kept = [item.index for item in engine.ask(pictures[0], "what?", max_new_tokens=1).selections[0] if item.kept]
    assert len(kept) == 12
    again = load(folder / "base", device="cpu", overrides=CENTRED)
    calibrate(again, reversed(pictures))
    torch.testing.assert_close(again.model.model.shared_mean.mean, mean.mean, atol=1e-7, rtol=1e-6)


def test_the_command_writes_a_model_that_is_ready(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = folder / "centred"
    assert run(["lab", "calibrate", str(folder / "base"), str(folder / "data" / "rows.json"), "-o", str(target)]) == 0
    assert "shared mean of 168 sub-images of 6 pictures" in capsys.readouterr().out
    engine = load(target, device="cpu")
    assert engine.processor.image_processor.spec.selection.policy == "centred"
    mean: Any = engine.model.model.shared_mean
    assert mean.count == 168
    assert engine.ask(tiny.picture(), "what?", max_new_tokens=1).selections[0]
    origin = json.loads((target / "dragonfly.json").read_text())
    assert origin["recipe"] == "first" and origin["calibration"]["pictures"] == 6
    other = load(target, device="cpu", overrides=["model.selection.policy=similarity"])  # the mean is not needed then
    assert not hasattr(other.model.model, "shared_mean")


def test_a_limit_and_every_picture_once(folder: Path) -> None:
    rows = json.loads((folder / "data" / "rows.json").read_text())
    (folder / "data" / "twice.json").write_text(json.dumps(rows + [{**row, "id": row["id"] + "b"} for row in rows]))
    assert calibrate_model(str(folder / "base"), folder / "data" / "twice.json", folder / "twice").pictures == 6
    assert calibrate_model(str(folder / "base"), folder / "data" / "rows.json", folder / "two", limit=2).pictures == 2


def test_a_mean_is_lent_for_a_while(folder: Path) -> None:
    engine = load(folder / "base", device="cpu")  # has no place for one
    centred = load(folder / "base", device="cpu", overrides=CENTRED)  # has one that is empty
    place: Any = centred.model.model
    pictures = [str(path) for path in sorted((folder / "data").glob("**/*.png"))[:2]]
    for one in (engine, centred):
        base: Any = one.model.model
        before = getattr(base, "shared_mean", None)
        with shared_mean_of(one, [*pictures, *pictures], True) as origin:
            lent = base.shared_mean.value()
        assert origin == "2 of these pictures"
        assert getattr(base, "shared_mean", None) is before
        calibrate(centred, pictures)
        torch.testing.assert_close(lent, place.shared_mean.value())
        place.shared_mean.count.zero_()
    with shared_mean_of(engine, pictures, False) as origin:
        assert origin is None and not hasattr(engine.model.model, "shared_mean")
    calibrate(centred, pictures)
    with shared_mean_of(centred, pictures[:1], True) as origin:  # its own is kept
        assert (origin, int(place.shared_mean.count)) == ("checkpoint", 56)


def test_what_is_refused(folder: Path) -> None:
    engine = load(folder / "base", device="cpu")
    with pytest.raises(
        ValueError, match=r"has the policy 'similarity' and no shared mean; load it with model.selection.policy=centred"
    ):
        calibrate(engine, [tiny.picture()])
    with pytest.raises(ValueError, match="0 pictures and none with mid or high sub-images"):
        calibrate(load(folder / "base", device="cpu", overrides=CENTRED), [])
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        calibrate_model(str(folder / "base"), folder / "data" / "rows.json", folder / "never", limit=0)
    text = small.rows(folder / "text", text_only=True)
    with pytest.raises(ValueError, match="holds no pictures"):
        calibrate_model(str(folder / "base"), text, folder / "never")
    assert not (folder / "never").exists()
