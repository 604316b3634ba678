"""A part of `make robustness`: bad checkpoints and hostile rows end in one line each, and nothing sound is lost beside them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def benchmark() -> dict[str, Any]:
    before = list(sys.path)
    found = runpy.run_path(str(ROOT / "benchmarks" / "robustness.py"))
    sys.path[:] = before
    return found


@pytest.mark.slow
def test_a_bad_checkpoint_is_refused_in_one_line_or_answers(benchmark: dict[str, Any]) -> None:
    found = benchmark["bad_checkpoints"](0.1)
    assert found["checkpoints"] == 25 and set(found["total"]) <= {"refused", "equal", "different"}, found["told"]
    assert found["total"]["refused"] >= 10


def test_every_row_ends_as_an_answer_or_an_error(benchmark: dict[str, Any]) -> None:
    found = benchmark["hostile_rows"](0.2)
    asked = found["ask"]
    assert asked["lines"] == found["rows"] == asked["answers"] + asked["errors"]
    assert asked["sound_rows_answered"] == asked["sound_rows"] > 0 and asked["kinds_of_error"] > 10
    assert found["training_reader"]["named"] > 10
