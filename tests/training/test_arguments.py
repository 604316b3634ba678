import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from dragonfly.training import Recipe, arguments
from dragonfly.training.arguments import deepspeed_file, training_arguments, warmup_steps, workers
from tests.training import small


@pytest.fixture
def deepspeed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if DeepSpeed were installed: what is refused is refused before it is used."""
    monkeypatch.setitem(sys.modules, "deepspeed", ModuleType("deepspeed"))


def test_warmup_is_a_share_or_a_number_of_steps() -> None:
    assert [warmup_steps(*given) for given in ((0.0, 50), (0.01, 150), (1.0, 150), (20, 150))] == [0, 2, 1, 20]


def test_the_recipes_values_arrive(tmp_path: Path) -> None:
    optim = {"learning_rate": 0.5, "warmup": 0.5, "betas": [0.8, 0.95], "schedule": "constant", "weight_decay": 0.25}
    recipe = Recipe.model_validate(small.values(tmp_path, optim=optim, seed=7))
    made = training_arguments(recipe, 10)
    assert (made.learning_rate, made.warmup_steps, made.adam_beta1, made.adam_beta2) == (0.5, 5, 0.8, 0.95)
    assert str(made.lr_scheduler_type) in ("constant_with_warmup", "SchedulerType.CONSTANT_WITH_WARMUP")
    assert (made.max_steps, made.gradient_accumulation_steps, made.seed, made.weight_decay) == (10, 2, 7, 0.25)


@pytest.mark.parametrize(
    ("precision", "capability", "told"),
    [("bfloat16", "AVX2", True), ("bfloat16", "AVX512", False), ("float32", "AVX2", False)],
)
def test_imitated_bfloat16_is_told_of(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    precision: str,
    capability: str,
    told: bool,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    training_arguments(Recipe.model_validate(small.values(tmp_path, precision=precision)), 10)
    messages = [record.message for record in caplog.records]
    assert any("without bfloat16 arithmetic" in message and "precision=float32" in message for message in messages) == told


def test_workers_leave_a_core_to_each_process_that_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(cores: int, processes: int = 1, **data: Any) -> int:
        monkeypatch.setattr(os, "cpu_count", lambda: cores)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        rows = {"train": [{"name": "rows", "path": "rows.json"}], **data}
        return workers(Recipe.model_validate(small.values(tmp_path, data=rows)))

    assert [found(1), found(2), found(6), found(64), found(64, 8), found(64, 64)] == [0, 1, 5, 8, 7, 0]
    assert [found(4, workers=0), found(4, workers=3), found(4, workers=9)] == [0, 3, 4]
    assert [found(4, streaming=True), found(4, streaming=True, workers=9)] == [0, 9]


def test_zero_2_with_several_batches_per_step_is_refused(tmp_path: Path, deepspeed: None) -> None:
    recipe = Recipe.model_validate(small.values(tmp_path, deepspeed="zero2"))
    with pytest.raises(ValueError, match=r"stage 2 loses gradients when a step has several batches, and this one has 2"):
        training_arguments(recipe, 10)


def test_zero_3_is_refused(tmp_path: Path, deepspeed: None) -> None:
    (tmp_path / "own.json").write_text('{"zero_optimization": {"stage": 3}}')
    recipe = Recipe.model_validate(small.values(tmp_path, deepspeed=str(tmp_path / "own.json")))
    with pytest.raises(ValueError, match=r"ZeRO stage 3 is not supported.*use deepspeed=null fsdp=true"):
        training_arguments(recipe, 10)


def test_deepspeed_in_one_plain_process_is_refused(tmp_path: Path, deepspeed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    recipe = Recipe.model_validate(small.values(tmp_path, deepspeed="zero1"))
    with pytest.raises(ValueError, match=r"deepspeed: zero1 needs processes that torchrun starts.*deepspeed=null"):
        training_arguments(recipe, 10)


def test_the_shipped_deepspeed_files_and_ones_own_are_found(tmp_path: Path, deepspeed: None) -> None:
    for stage in (1, 2):
        config = json.loads(deepspeed_file(f"zero{stage}").read_text())
        assert config["zero_optimization"]["stage"] == stage and config["gradient_clipping"] == "auto"
    own = tmp_path / "own.json"
    own.write_text("{}")
    assert deepspeed_file(str(own)) == own


def test_without_deepspeed_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    with pytest.raises(ValueError, match=r"asks for DeepSpeed \(zero1\), which is not installed: .*deepspeed=null"):
        training_arguments(Recipe.model_validate(small.values(tmp_path, deepspeed="zero1")), 10)


def test_without_its_extra_training_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arguments, "find_spec", lambda name: None if name == "accelerate" else object())
    with pytest.raises(ValueError, match=r"training needs accelerate, which is not installed: .*pip install .*\[train\]'"):
        training_arguments(small.recipe(tmp_path), 6)


def test_no_more_processes_read_data_than_there_are_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    found = []
    for data in ({"workers": 8}, {"workers": 1}, {"workers": 8, "streaming": True}):
        given = small.values(tmp_path)
        recipe = Recipe.model_validate({**given, "data": {**given["data"], **data}, "steps": 2, "epochs": None})
        found.append(training_arguments(recipe, 2).dataloader_num_workers)
    assert found == [2, 1, 8]  # the order of a stream depends on their number
