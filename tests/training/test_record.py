import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from dragonfly.training.record import Record, draw_curve
from tests.training import small


@pytest.fixture
def record(tmp_path: Path) -> Record:
    return Record(small.recipe(tmp_path), {"recipe": "small"}, world_size=2)


def state(**changes: object) -> SimpleNamespace:
    values = {"global_step": 0, "num_input_tokens_seen": 0, "total_flos": 0.0, "is_world_process_zero": True, "log_history": []}
    return SimpleNamespace(**{**values, **changes})


def test_a_resumed_curve_begins_with_what_the_checkpoint_remembers(tmp_path: Path, record: Record) -> None:
    args = SimpleNamespace(output_dir=str(tmp_path))
    (tmp_path / "loss.jsonl").write_text('{"step": 1, "loss": 9}\n{"step": 2, "loss": 8}\n{"step": 3, "los')
    remembered = [{"step": 1, "loss": 9.0, "epoch": 0.1}]
    record.on_train_begin(args, state(log_history=remembered, global_step=1), None)
    record.on_log(args, state(log_history=[*remembered, {"step": 2, "loss": 7.0}], global_step=2), None)
    rows = [json.loads(line) for line in (tmp_path / "loss.jsonl").read_text().splitlines()]
    assert rows == [{"step": 1, "loss": 9.0}, {"step": 2, "loss": 7.0}]
    record.on_train_end(args, state(global_step=3, num_input_tokens_seen=100, total_flos=50.0), None)
    speed = json.loads((tmp_path / "run.json").read_text())["speed"]
    assert speed["flops_utilisation"] is None and speed["processes"] == 2


def test_other_processes_write_nothing(tmp_path: Path, record: Record) -> None:
    args = SimpleNamespace(output_dir=str(tmp_path / "out"))
    record.on_train_begin(args, state(is_world_process_zero=False), None)
    record.on_log(args, state(is_world_process_zero=False, log_history=[{"step": 1, "loss": 1.0}]), None)
    assert not (tmp_path / "out").exists()


def test_a_run_without_losses_has_no_image(tmp_path: Path) -> None:
    (tmp_path / "loss.jsonl").write_text("")
    draw_curve(tmp_path / "loss.jsonl", tmp_path / "loss.png", "none")
    assert not (tmp_path / "loss.png").exists()
