"""`dragonfly synth`: what it writes, says and refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragonfly.data import Manifest
from tests.cli.conftest import Run


def test_it_writes_a_manifest_and_says_where(run: Run, tmp_path: Path) -> None:
    outcome = run("synth", "--spec", "nano", "--split", "test", "--n", 2, "--seed", 987, "-o", tmp_path / "new")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == f"2 pages: {tmp_path / 'new' / 'manifest.json'}\n"
    rows = list(Manifest.open(tmp_path / "new"))
    assert len({row.images for row in rows}) == 2 and all(row.meta["split"] == "test" for row in rows)


def test_marks_make_one_row_per_image(run: Run, tmp_path: Path) -> None:
    outcome = run("synth", "--spec", "nano-crowded", "--n", 3, "--seed", 1, "--text-annotations", "-o", tmp_path / "new")
    assert outcome.code == 0
    assert len(Manifest.open(tmp_path / "new")) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--spec", "nan"], "error: spec 'nan' is not one of: nano, "),
        (["--n", "0"], "error: n is 0; give at least 1 image"),
        (["--split", "eval"], "error: split 'eval' is not one of: train, dev, test"),
        (["--workers", "0"], "error: workers is 0; give at least 1"),
        (["--questions", "few"], "error: questions is 'few'; accepted: all, one-per-kind"),
    ],
)
def test_slips_are_one_line(run: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    outcome = run("synth", "-o", tmp_path / "new", *arguments)
    assert outcome.code == 2 and outcome.err.startswith(message) and outcome.err.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_a_folder_in_use_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    outcome = run("synth", "--n", "1", "-o", tmp_path)
    assert outcome.code == 2 and "it exists and is not empty" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
