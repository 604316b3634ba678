"""docs/performance.md says what the result files say."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "performance.py"))


def test_the_page_is_written_from_the_result_files() -> None:
    assert (ROOT / "docs" / "performance.md").read_text(encoding="utf-8") == SCRIPT["page"]()


def test_pixels_that_are_promised_are_bounded() -> None:
    assert all(row["pixels of torch"]["largest"] <= 2 for row in SCRIPT["result"]("preprocessing")["sizes"])


@pytest.mark.parametrize("name", ["preprocessing", "encoding", "startup", "peers", "training_speed", "training_loop"])
def test_every_figure_of_the_page_has_a_file(name: str) -> None:
    assert SCRIPT["result"](name)["benchmark"] == name
