"""`benchmarks/realdata.py` on small data of the same layout: what it writes, and what it must not."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

from .fakes import write_qa, yes_no_rows

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "realdata.py"


def benchmark(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    monkeypatch.setattr(sys, "path", [*sys.path])
    runpy.run_path(str(SCRIPT), run_name="__main__")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    write_qa(folder / "vqa_rad", yes_no_rows(6), "dev/qa.jsonl")
    write_qa(folder / "vqa_rad", [{**row, "answer": "yes"} for row in yes_no_rows(6)], "train/qa_train_split.jsonl")
    write_qa(folder / "cxr_sample", yes_no_rows(6), "dev/qa_derived.jsonl")
    (folder / "cxr_sample/dev/images/0.png").write_bytes(b"no image")
    return folder


@pytest.mark.slow
def test_one_result_file_without_a_path(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "result.json"
    tasks = ("--tasks", "vqa_rad", "cxr", "--limit", "4")
    benchmark(monkeypatch, data, "--runs", tmp_path / "runs", "--output", output, *tasks)
    text = output.read_text()
    assert str(tmp_path) not in text and "\\\\" not in text
    result: dict[str, Any] = json.loads(text)
    assert {"date", "commit", "versions", "hardware"} <= set(result) and result["limit"] == 4
    found = result["models"]["nano"]["tasks"]
    assert {name: task["questions"] for name, task in found.items()} == {"vqa_rad": 4, "cxr": 4}
    assert found["vqa_rad"]["baselines"]["majority"]["answer"] == "yes"  # of the train split; of the four asked it is a tie
    assert found["cxr"]["broken"] == ["q0", "q1"]
    assert list(found["cxr"]["breakdown"]["modality"]) == ["X-ray"]
    assert found["vqa_rad"]["costs"]["model"]["sub_images_per_question"] > 1
    assert "low" in found["vqa_rad"]["scores"]["exact_match"]


def test_a_missing_folder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"^error: no folder .*sroie_receipts_sample; give the folder of task 'sroie'"):
        benchmark(monkeypatch, tmp_path, "--runs", tmp_path / "runs", "--tasks", "sroie")
