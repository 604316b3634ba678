"""A part of `make robustness`: bad checkpoints and hostile rows end in one line each, and nothing sound is lost beside them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def measured(part: str, share: float, folder: Path) -> dict[str, Any]:
    """What the benchmark finds, in a process of its own: a fork of one full of threads may hang."""
    output = folder / "result.json"
    words = [sys.executable, str(ROOT / "benchmarks" / "robustness.py"), part, "--share", str(share), "--output", str(output)]
    run = subprocess.run(words, capture_output=True, text=True, cwd=folder, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(output.read_text(encoding="utf-8"))["parts"][part]


@pytest.mark.slow
def test_a_bad_checkpoint_is_refused_in_one_line_or_answers(tmp_path: Path) -> None:
    found = measured("bad_checkpoints", 0.1, tmp_path)
    assert found["checkpoints"] == 25 and set(found["total"]) <= {"refused", "equal", "different"}, found["told"]
    assert found["total"]["refused"] >= 10


@pytest.mark.slow
def test_every_row_ends_as_an_answer_or_an_error(tmp_path: Path) -> None:
    found = measured("hostile_rows", 0.2, tmp_path)
    sound = found["sound_rows"]
    assert sound > 0 and not any(found[command]["traceback"] for command in ("ask", "eval", "train", "curate"))
    for command in ("ask", "eval"):
        asked = found[command]
        assert asked["lines"] == found["rows"] and asked["exit_code"] == 1
        assert asked["sound_rows_answered"] == sound and asked["kinds_of_error"] > 5
    assert found["train"]["finished"] and found["train"]["none_allowed"]["exit_code"] == 2
    assert found["curate"]["sound_rows_kept"] == sound
