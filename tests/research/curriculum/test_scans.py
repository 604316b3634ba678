"""The stages of a model that reads scans, a few steps each: every stage begins from the one before, and the last one answers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import dragonfly
from dragonfly.data import Manifest
from dragonfly.research.curriculum import HOOKS
from dragonfly.research.synthetic import DatasetOptions, write_dataset
from dragonfly.training import Recipe, run
from dragonfly.training.calibration import calibrate_model

pytestmark = pytest.mark.slow

SMALL_TOWER = [
    "init_from.scratch.tower.stem_channels=[8, 8, 16]",
    "init_from.scratch.tower.hidden_size=32",
    "init_from.scratch.tower.intermediate_size=48",
    "init_from.scratch.tower.num_hidden_layers=2",
    "init_from.scratch.tower.num_attention_heads=2",
]


def stage(folder: Path, name: str, data: Path, *changes: str, group: int = 1) -> Path:
    source = f"{{name: pages, path: {data}, group_questions: {group}}}"
    every = [
        "steps=2",
        "batch.global_size=2",
        "batch.per_device=2",
        "save.every=null",
        "log.every=1",
        "log.eval_every=null",
        "data.eval=null",
    ]
    values = [f"data.train=[{source}]", *every, f"output={folder / name}", *changes]
    return run(Recipe.load(f"nano/{name}", values, hooks=HOOKS))


def test_every_stage_goes_on_from_the_one_before_and_the_last_one_answers(tmp_path: Path) -> None:
    read = write_dataset(DatasetOptions("documents", "train", 24, 1, text_annotations=True), tmp_path / "read").parent
    strips = write_dataset(DatasetOptions("documents-strips", "train", 8, 2), tmp_path / "strips").parent
    pages = write_dataset(DatasetOptions("documents", "train", 24, 3), tmp_path / "pages").parent
    first = stage(tmp_path, "scan-read", read, *SMALL_TOWER)
    second = stage(tmp_path, "scan-spell", read, f"init_from.checkpoint={first}")
    third = stage(tmp_path, "scan-rows", strips, f"init_from.scratch.projector={second}", *SMALL_TOWER, group=16)
    fourth = stage(tmp_path, "scan-full", pages, f"init_from.checkpoint={third}")
    chosen = ["model.selection.policy=question", "model.selection.context=patches", "model.selection.keep=7"]
    fifth = tmp_path / "scan-choose"
    calibrate_model(str(fourth), pages, fifth, limit=24, overrides=chosen)
    sixth = stage(tmp_path, "scan-ask", pages, f"init_from.checkpoint={fifth}", group=4)

    weights = [load_file(one / "model.safetensors") for one in (first, second, third, fourth, fifth, sixth)]
    towers = [{name: tensor for name, tensor in one.items() if ".vision_tower." in name} for one in weights]
    conv = "model.vision_tower.embeddings.stem.0.conv.weight"
    assert not torch.equal(towers[0][conv], towers[1][conv])  # the second stage trains the tower
    for later in towers[2:]:  # frozen from then on, moments of its norms included
        assert later.keys() == towers[1].keys()
        assert all(torch.equal(later[name], towers[1][name]) for name in later)
    changed = {name for name in weights[4] if not torch.equal(weights[4][name], weights[5][name])}
    assert changed and all(name.startswith(("model.language_model.layers", "model.language_model.norm")) for name in changed)
    engine = dragonfly.load(sixth)
    row = Manifest.open(pages)[0]
    answer = engine.ask(row.images[0].source, "What is the TOTAL?", max_new_tokens=4)
    (selection,) = answer.selections
    assert sum(one.kept for one in selection) == 5 and len(selection) == 36
    assert answer.layouts[0].num_image_tokens == 26 + 5 * 101
