"""docs/performance.md says what the result files say."""

from __future__ import annotations

import json
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


def test_without_a_file_of_a_gpu_the_page_says_not_measured(tmp_path: Path) -> None:
    assert "**Not measured**" in SCRIPT["gpu"](tmp_path / "gpu.json")


def test_a_file_of_a_gpu_is_shown_with_what_failed(tmp_path: Path) -> None:
    cases = {
        "one": {"seconds": 0.5, "tflop_per_s": 400.0, "mfu": 0.4044, "of_matmul": 0.5, "rows_per_second": 8.0}
        | {"peak_bytes": 60_000_000_000, "planned_over_measured": 0.95},
        "two": {"failed": "out of memory"},
        "three": {"seconds": {"v1": 0.1, "LLaVA-NeXT": 0.2}, "to_llava_next": {"v1": 0.5, "LLaVA-NeXT": 1.0}},
    }
    part = {"date": "2026-01-02T03:04:05+00:00", "cases": cases}
    file = tmp_path / "gpu.json"
    file.write_text(json.dumps({"hardware": {"gpu": "NVIDIA H200", "cpu": "a"}, "parts": {"training": part}}))
    said = SCRIPT["gpu"](file)
    assert "Measured on NVIDIA H200." in said and "training, 2026-01-02" in said
    assert "| one | 0.5000 | 400.0 | 40.4% | 50.0% | 60.0 | 0.95 | 8.0 rows/s |" in said
    assert "out of memory |" in said
    assert "v1 0.100 s (0.5 x)" in said
