"""A temperature folded into a model: its answers stay, its confidence is nearer to how often they are right."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import dragonfly
from dragonfly.data import Manifest
from dragonfly.inference import Row
from dragonfly.installation import bundled_model
from dragonfly.research.synthetic import DatasetOptions, write_dataset

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import export_nano  # pyright: ignore[reportMissingImports]
import temper  # pyright: ignore[reportMissingImports]


def test_answers_stay_and_confidence_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temper, "LIMIT", 24)
    monkeypatch.setattr(temper, "TEMPERATURES", [0.5, 2.0])  # neither is 1, so something must move
    data = write_dataset(DatasetOptions("nano", "dev", 2, 1), tmp_path / "data").parent
    found = temper.temper(bundled_model(), tmp_path / "tempered", [data])
    rows = [Row(row.images[0].source, row.messages[0].text) for row in list(Manifest.open(data))[:12]]
    before, after = (
        dragonfly.load(model, device="cpu").ask_batch(rows, max_new_tokens=16) for model in (None, tmp_path / "tempered")
    )
    assert [answer.text for answer in before] == [answer.text for answer in after]
    surer = [answer.confidence > own.confidence for answer, own in zip(before, after, strict=True) if own.confidence < 0.999]
    assert all(surer) if found["temperature"] > 1 else not any(surer)
    one, other = (load_file(folder / "model.safetensors") for folder in (bundled_model(), tmp_path / "tempered"))
    assert {name for name in one if not torch.equal(one[name], other[name])} == {temper.NORM}
    told = export_nano.history(tmp_path / "tempered")
    assert told[-1] == {"recipe": f"temperature {found['temperature']}"} and told[:-1] == export_nano.history(bundled_model())
