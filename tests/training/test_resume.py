"""A run that was cut off and went on is the unbroken run, bit for bit. The model has dropout, so chance is resumed too."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dragonfly.config import dump
from dragonfly.training import Recipe, checkpoints, run
from dragonfly.training.trainer import StageTrainer
from tests import tiny
from tests.training import small

STEPS = 6


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    settings = tiny.config("baseline-1")
    settings.text_config.attention_dropout = 0.3
    tiny.model(settings).save_pretrained(folder / "base")
    tiny.processor(settings).save_pretrained(folder / "base")
    return folder


def recipe(shared: Path, output: str, **changes: Any) -> Recipe:
    """6 steps of 4 rows in two batches, over 1.2 epochs of a mixture of two sources, grouped by length."""
    if not (shared / "data").exists():
        small.rows(shared / "data", 16)
        small.rows(shared / "more", 8, name="more")
    train = [
        {"name": "rows", "path": str(shared / "data" / "rows.json")},
        {"name": "more", "path": str(shared / "more" / "more.json"), "passes": 0.5},
    ]
    data = {"train": train, "audit": 2, "group_by_length": True, "workers": changes.pop("workers", 0)}
    return small.recipe(shared, **{"steps": STEPS, "save": {"every": 2}, "output": str(shared / output), "data": data, **changes})


@pytest.fixture(scope="module")
def unbroken(shared: Path) -> Path:
    return run(recipe(shared, "unbroken"))


def assert_same(resumed: Path, unbroken: Path) -> None:
    assert small.losses(resumed) == small.losses(unbroken)
    assert len(small.losses(unbroken)) == STEPS
    after, expected = load_file(resumed / "model.safetensors"), load_file(unbroken / "model.safetensors")
    assert all(torch.equal(after[name], expected[name]) for name in expected)


def start_and_kill(shared: Path, output: str, at_step: int, delay: float) -> None:
    """The command line in a process of its own, killed `delay` seconds after it logged `at_step`."""
    chosen = recipe(shared, output)
    (shared / f"{output}.yaml").write_text(dump(chosen))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "dragonfly", "train", str(shared / f"{output}.yaml")]
    losses, until = shared / output / "loss.jsonl", time.monotonic() + 300
    with (
        (shared / f"{output}.log").open("w") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        while not (losses.is_file() and len(losses.read_text().splitlines()) >= at_step):
            assert process.poll() is None and time.monotonic() < until, (shared / f"{output}.log").read_text()
            time.sleep(0.01)
        time.sleep(delay)
        process.kill()


def test_killed_and_resumed_with_another_number_of_workers(shared: Path, unbroken: Path) -> None:
    start_and_kill(shared, "killed", at_step=3, delay=0.0)
    assert not (shared / "killed" / "dragonfly.json").exists()
    last = checkpoints.checkpoints(shared / "killed")[-1]
    assert checkpoints.step_of(last) < STEPS
    assert_same(run(recipe(shared, "killed", workers=2)), unbroken)


@pytest.mark.slow
@pytest.mark.parametrize("trial", range(3))
def test_killed_at_random_and_resumed_from_the_command_line(shared: Path, unbroken: Path, trial: int) -> None:
    chance = random.Random(trial)
    name = f"trial-{trial}"
    start_and_kill(shared, name, at_step=chance.randint(2, STEPS - 2), delay=chance.uniform(0.0, 0.4))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "dragonfly", "train", str(shared / f"{name}.yaml")]
    if not (shared / name / "dragonfly.json").exists():
        subprocess.run(command, env=environment, check=True, timeout=300, capture_output=True)
    assert_same(shared / name, unbroken)


def test_sigterm_between_the_batches_of_a_step_saves_at_its_end(
    shared: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, batches = StageTrainer.training_step, iter(range(1000))

    def step(self: StageTrainer, *args: Any, **kwargs: Any) -> Any:
        if next(batches) == 4:  # the first of step 3's two batches
            signal.raise_signal(signal.SIGTERM)
        return whole(self, *args, **kwargs)

    chosen = recipe(shared, "stopped", save={})
    with monkeypatch.context() as patched:
        patched.setattr(StageTrainer, "training_step", step)
        folder = run(chosen)
    assert folder == shared / "stopped" / "checkpoint-3" and checkpoints.is_complete(folder)
    assert not (shared / "stopped" / "dragonfly.json").exists()  # not a finished model
    assert_same(run(chosen), unbroken)


def test_a_half_written_checkpoint_is_passed_over(shared: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cut(Exception):
        pass

    whole = StageTrainer._save_rng_state

    def cut(self: StageTrainer, output_dir: str) -> None:
        if output_dir.endswith("checkpoint-4"):
            raise Cut
        whole(self, output_dir)

    with monkeypatch.context() as patched:
        patched.setattr(StageTrainer, "_save_rng_state", cut)
        with pytest.raises(Cut):
            run(recipe(shared, "cut"))
    half = shared / "cut" / "checkpoint-4"
    assert (half / "model.safetensors").exists() and not (half / "complete.json").exists()
    (half / "left_over.bin").write_bytes(b"0")
    assert checkpoints.step_of(checkpoints.checkpoints(shared / "cut")[-1]) == 2
    assert_same(run(recipe(shared, "cut")), unbroken)
    assert "left_over.bin" not in json.loads((half / "complete.json").read_text())["files"]
