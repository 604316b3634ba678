"""Which model was evaluated: the same wherever it lies, another where anything changed that answers depend on."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from dragonfly.evaluation import describe_model
from dragonfly.inference import load


def fingerprint(folder: Path) -> str:
    return describe_model(load(folder, device="cpu"))["fingerprint"]


def test_a_copy_elsewhere_is_the_same_model(saved_model: Path, tmp_path: Path) -> None:
    shutil.copytree(saved_model, tmp_path / "a longer name of a folder")
    assert fingerprint(tmp_path / "a longer name of a folder") == fingerprint(saved_model)


def test_what_changes_answers_changes_the_fingerprint(saved_model: Path, tmp_path: Path) -> None:
    shutil.copytree(saved_model, tmp_path / "model")
    template = tmp_path / "model" / "chat_template.jinja"
    template.write_text("!" + template.read_text(encoding="utf-8"), encoding="utf-8")
    trained = load(saved_model, device="cpu")
    with torch.no_grad():
        for weight in trained.model.parameters():
            weight.add_(1e-3)
    chosen = load(saved_model, device="cpu", overrides=["model.selection.policy=detail"])
    found = {fingerprint(saved_model), fingerprint(tmp_path / "model")} | {
        describe_model(engine)["fingerprint"] for engine in (trained, chosen)
    }
    assert len(found) == 4
