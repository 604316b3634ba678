import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from dragonfly.training.callbacks import Progress, Record, draw_curve
from dragonfly.visualization.pen import ACCENT, PAPER
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


@pytest.mark.parametrize(
    ("waited", "said"), [(30.0, ["training waited for data 30% of its time; raise data.workers"]), (5.0, [])]
)
def test_a_run_that_waits_for_its_data_says_so(
    tmp_path: Path, record: Record, caplog: pytest.LogCaptureFixture, waited: float, said: list[str]
) -> None:
    args = SimpleNamespace(output_dir=str(tmp_path))
    record.on_train_begin(args, state(), None)
    record.begun, record.waited = time.perf_counter() - 100, waited
    record.on_train_end(args, state(global_step=3), None)
    assert json.loads((tmp_path / "run.json").read_text())["speed"]["waiting_for_data"] == pytest.approx(waited / 100, rel=0.01)
    assert caplog.messages == said


def test_other_processes_write_nothing(tmp_path: Path, record: Record) -> None:
    args = SimpleNamespace(output_dir=str(tmp_path / "out"))
    record.on_train_begin(args, state(is_world_process_zero=False), None)
    record.on_log(args, state(is_world_process_zero=False, log_history=[{"step": 1, "loss": 1.0}]), None)
    assert not (tmp_path / "out").exists()


def test_a_run_without_losses_has_no_image(tmp_path: Path) -> None:
    (tmp_path / "loss.jsonl").write_text("")
    draw_curve(tmp_path / "loss.jsonl", tmp_path / "loss.png", "none")
    assert not (tmp_path / "loss.png").exists()


def test_the_curve_of_a_run_is_drawn_in_the_style_of_all_plots(tmp_path: Path) -> None:
    rows = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}, {"step": 2, "eval_loss": 1.5}]
    (tmp_path / "loss.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    draw_curve(tmp_path / "loss.jsonl", tmp_path / "loss.png", "a $ of a name")
    with Image.open(tmp_path / "loss.png") as drawn:
        colours = {colour for _, colour in drawn.convert("RGB").getcolors(1 << 24) or []}
    assert {PAPER, ACCENT} <= colours


def test_steps_before_a_resume_count_as_done_and_not_as_speed(capsys: pytest.CaptureFixture[str]) -> None:
    state = SimpleNamespace(max_steps=1000, global_step=990, is_world_process_zero=True)
    progress = Progress()
    progress.on_train_begin(None, state, None)
    assert progress.bar.format_dict["n"] == 990 and progress.bar.format_dict["initial"] == 990
    for _ in range(10):
        progress.on_step_end(None, state, None)
    progress.on_log(None, state, None, logs={"loss": 1.5})
    progress.on_train_end(None, state, None)
    assert "1000/1000" in capsys.readouterr().err


def test_other_processes_show_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    state = SimpleNamespace(max_steps=2, global_step=0, is_world_process_zero=False)
    progress = Progress()
    for event in (progress.on_train_begin, progress.on_step_end, progress.on_log, progress.on_train_end):
        event(None, state, None)
    assert capsys.readouterr().err == ""
