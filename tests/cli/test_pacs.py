"""The tutorial docs/pacs.md, its commands run as written on an export that the test writes; training takes one step."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.cli.conftest import Run
from tests.imaging.scans import hounsfield, written

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_tutorial_runs_as_it_is_written(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "pacs.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    Path("export").mkdir()
    for number in (1, 2, 3):
        pixels = np.random.default_rng(number).integers(-900, 300, (96, 96))
        Path(f"export/IM000{number}").write_bytes(written(hounsfield(pixels, uid=f"1.2.{number}", PixelSpacing=[0.7, 0.7])))
    csv, jsonl = re.findall(r"^```text\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    Path("rows.csv").write_text(csv)
    Path("pairs.jsonl").write_text(jsonl)
    commands = re.findall(r"^dragonfly (.+)$", page, re.MULTILINE)
    assert len(commands) == 7
    for command in [*commands, "train finetune --data pairs.jsonl --dry-run --out runs/pairs"]:
        words = shlex.split(command)
        outcome = run(*words, *(["steps=1"] if words[0] == "train" else []))
        assert outcome.code == 0, (command, outcome.err)
    assert pydicom.dcmread("report.dcm").Modality == "SR" and Path("runs/chest/config.json").is_file()
