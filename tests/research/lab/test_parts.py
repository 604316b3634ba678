"""Locks, time limits, subsets, the Pareto front: what a study is carried by."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dragonfly.data import Manifest
from dragonfly.research.lab.deadline import Deadline, OutOfTime
from dragonfly.research.lab.locks import OWNER, lock
from dragonfly.research.lab.pareto import front
from dragonfly.research.lab.study import Subset
from dragonfly.research.lab.subsets import sources
from tests.research.lab import small


def test_one_holds_a_lock_and_the_next_gets_it_afterwards(tmp_path: Path):
    with lock(tmp_path / "a.lock") as mine:
        assert mine
        with lock(tmp_path / "a.lock") as second:
            assert not second
        assert (tmp_path / "a.lock").is_dir()  # whoever did not get it leaves it alone
    with lock(tmp_path / "a.lock") as again:
        assert again
    assert list(tmp_path.iterdir()) == []


def test_a_dead_owners_lock_is_taken_over_and_an_unknown_ones_is_not(tmp_path: Path):
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    with lock(tmp_path / "mine.lock"):
        host = json.loads((tmp_path / "mine.lock" / OWNER).read_text())["host"]
    for name, owner, expected in (
        ("dead", {"host": host, "pid": int(gone.stdout)}, True),
        ("far", {"host": "x", "pid": 1}, False),
    ):
        folder = tmp_path / f"{name}.lock"
        folder.mkdir()
        (folder / OWNER).write_text(json.dumps(owner))
        with lock(folder) as mine:
            assert mine is expected
    (tmp_path / "new.lock").mkdir()  # its owner has not written its name yet
    with lock(tmp_path / "new.lock") as mine:
        assert not mine


def test_a_deadline_is_reached_or_is_none():
    Deadline().check()
    Deadline(5).check()
    with pytest.raises(OutOfTime):
        Deadline(0).check()


def test_the_limit_reaches_training_as_sigterm_and_nobody_else():
    heard: list[int] = []
    before = signal.getsignal(signal.SIGTERM)
    with Deadline(0).terminating():
        signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
        end = time.monotonic() + 10
        while not heard and time.monotonic() < end:
            time.sleep(0.01)
    assert set(heard) == {signal.SIGTERM}
    assert signal.getsignal(signal.SIGTERM) is before
    with Deadline().terminating():
        assert signal.getsignal(signal.SIGTERM) is before


def test_a_whole_manifest_is_used_where_it_lies(tmp_path: Path):
    folder = small.marks(tmp_path, 2)
    assert sources([Subset(path=str(folder), group_questions=4)], tmp_path / "data") == [
        {"name": "subset-0", "path": str(folder), "group_questions": 4}
    ]
    assert not (tmp_path / "data").exists()


def test_slices_choose_images_and_repeat_rows(tmp_path: Path):
    folder = small.marks(tmp_path, 4)
    subsets = [Subset(path=str(folder), where={"kind": "word"}, images=1, copies=3), Subset(path=str(folder), images=2)]
    first, second = (Manifest.open(source["path"]) for source in sources(subsets, tmp_path / "data"))
    assert [row.id for row in first] == ["p0", "p0+1", "p0+2"]
    assert [row.id for row in second] == ["p0", "p1"]
    assert Path(first[0].images[0].source).is_file()  # pyright: ignore[reportArgumentType]
    before = sorted((tmp_path / "data").iterdir())
    sources(subsets, tmp_path / "data")
    assert sorted((tmp_path / "data").iterdir()) == before


def test_a_slice_of_nothing_is_refused(tmp_path: Path):
    folder = small.marks(tmp_path, 2)
    with pytest.raises(ValueError, match=r"no row of .* agrees with \{'kind': 'table'\}; see the meta of its rows"):
        sources([Subset(path=str(folder), where={"kind": "table"})], tmp_path / "data")


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(1, 1), (2, 2), (3, 1.5), (4, 3)], [0, 1, 3]),
        ([(1, 2), (1, 3), (2, 3)], [1]),
        ([(5, 5)], [0]),
    ],
)
def test_the_front_is_what_nothing_beats(points: list[tuple[float, float]], expected: list[int]):
    assert front(points) == expected
