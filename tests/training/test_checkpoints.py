import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from dragonfly.training import checkpoints
from dragonfly.training.callbacks import StopOnSignal
from dragonfly.training.checkpoints import clear_incomplete, complete, is_complete, rotate


def write(folder: Path, step: int, whole: bool = True) -> Path:
    made = folder / f"checkpoint-{step}"
    (made / "deep").mkdir(parents=True)
    (made / "model.safetensors").write_bytes(b"12345")
    (made / "deep" / "shard").write_bytes(b"1")
    if whole:
        complete(made)
    return made


def test_only_whole_checkpoints_count_and_in_order_of_their_steps(tmp_path: Path) -> None:
    for step in (100, 20, 3):
        write(tmp_path, step)
    write(tmp_path, 200, whole=False)
    (tmp_path / "checkpoint-best").mkdir()
    assert [folder.name for folder in checkpoints.checkpoints(tmp_path)] == ["checkpoint-3", "checkpoint-20", "checkpoint-100"]


@pytest.mark.parametrize("damage", ["shorter", "absent", "no list", "half a list"])
def test_a_damaged_checkpoint_does_not_count(tmp_path: Path, damage: str) -> None:
    folder = write(tmp_path, 1)
    assert is_complete(folder)
    if damage == "shorter":
        (folder / "model.safetensors").write_bytes(b"1234")
    elif damage == "absent":
        (folder / "deep" / "shard").unlink()
    elif damage == "no list":
        (folder / "complete.json").unlink()
    else:
        (folder / "complete.json").write_text('{"files": {"model.saf')
    assert not is_complete(folder)


def test_rotation_counts_whole_checkpoints_alone(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        write(tmp_path, step)
    write(tmp_path, 4, whole=False)
    rotate(tmp_path, 2)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-3", "checkpoint-4"]
    clear_incomplete(tmp_path)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-3"]


@pytest.fixture
def foreground() -> Iterator[None]:
    """Ctrl-C as in a command in the foreground, whatever these tests run in."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_what_ignores_an_interrupt_goes_on_ignoring_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop = StopOnSignal()
    try:
        stop.on_train_begin(SimpleNamespace(device="cpu"), SimpleNamespace(), None)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        stop.give_back()
        signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("foreground")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops_at_the_end_of_the_step_and_the_old_handlers_come_back(number: signal.Signals) -> None:
    before = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    stop, state = StopOnSignal(), SimpleNamespace(global_step=1, max_steps=5)
    control, args = SimpleNamespace(should_save=False, should_training_stop=False), SimpleNamespace(device="cpu")
    stop.on_train_begin(args, state, control)
    stop.on_step_end(args, state, control)
    assert not control.should_save
    signal.raise_signal(number)
    assert not control.should_save  # not before the step has ended
    stop.on_step_end(args, state, control)
    assert control.should_save and control.should_training_stop and stop.stopped
    stop.on_train_end(args, state, control)
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == before


@pytest.mark.usefixtures("foreground")
def test_a_second_interrupt_stops_at_once() -> None:
    stop, state = StopOnSignal(), SimpleNamespace(global_step=1, max_steps=5)
    stop.on_train_begin(SimpleNamespace(device="cpu"), state, None)
    try:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        stop.give_back()


def test_sigterm_in_the_last_step_lets_the_run_finish() -> None:
    stop, state = StopOnSignal(), SimpleNamespace(global_step=5, max_steps=5)
    control = SimpleNamespace(should_save=False, should_training_stop=False)
    stop.name = "SIGTERM"
    stop.on_step_end(SimpleNamespace(device="cpu"), state, control)
    assert not stop.stopped and not control.should_training_stop
