"""`dragonfly audit` as a person types it, on a tiny random model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.evaluation.fakes import write_qa, yes_no_rows


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [{**row, "modality": "CT"} for row in yes_no_rows(2, per_image=1)]
    return write_qa(tmp_path / "data", rows)


def test_an_audit_of_a_run_becomes_part_of_its_report(run: Run, saved_model: Path, data: Path, tmp_path: Path) -> None:
    out, task = tmp_path / "out", f"jsonl:{data}"
    common = ["--tasks", task, "--max-new-tokens", 2, "--out", out]
    evaluated = run("eval", "--model", saved_model, *common, "--no-baselines")
    assert evaluated.code == 0 and f"Not audited: run dragonfly audit {saved_model} --tasks {task}" in evaluated.out
    outcome = run("audit", saved_model, *common)
    assert outcome.code == 0, outcome.err
    *_, last = outcome.out.strip().splitlines()
    assert last.startswith("Removing what it looked at changes ") and "cannot be told from 2 questions about 2 images" in last
    found = json.loads((out / "audit.json").read_text())
    assert found["kind"] == "audit" and found["tasks"][task]["asked"] == 2 and found["commit"] is not None
    assert set(found["tasks"][task]["records"][0]["replies"]) >= {"blind", "looked_deleted", "looked_random_deleted"}
    report = (out / "report.md").read_text()
    assert "Removing what it looked at changes" in report and "Not audited" not in report
    refused = run("audit", saved_model, *common[:-2], "--prompt", "Say: {question}", "--out", out)
    assert refused.code == 2 and f"{out} holds a run with another prompt; audit what was evaluated" in refused.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tasks", "vqarad"], "did you mean 'vqa_rad'"),
        (["--tasks", "DATA", "--looked", "there"], "--looked is 'there'; accepted: kept, why"),
        (["--tasks", "DATA", "--out", "FOLDER"], "no run.json in"),
        (["--tasks", "DATA", "--out", "notes.txt"], "use a name that ends in .json"),
        (["--tasks", "DATA", "--out", "OTHER"], "exists and is no audit, so it is not overwritten"),
        (["--tasks", "DATA", "gone"], "gone"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_asked(
    run: Run, data: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    other = tmp_path / "other.json"
    other.write_text("[]")
    places = {"DATA": f"jsonl:{data}", "FOLDER": str(tmp_path), "OTHER": str(other)}
    outcome = run("audit", *(places.get(word, word) for word in words))
    assert outcome.code == 2 and outcome.out == ""
    assert message in outcome.err and len(outcome.err.strip().splitlines()) == 1
    assert other.read_text() == "[]"
