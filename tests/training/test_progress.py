from types import SimpleNamespace

import pytest

from dragonfly.training.progress import Progress


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
