"""A medical verdict says what an audit found, or that there was none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dragonfly.evaluation import Settings, compare, evaluate, load_questions
from dragonfly.evaluation.report import open_run, open_runs, page
from dragonfly.evaluation.report.audited import audit_line, conclusion, condition_rows, curve_rows, sentences
from dragonfly.evaluation.report.document import markdown
from tests.evaluation.fakes import RuleEngine, write_qa, yes_no_rows

MODEL = {"name": "rule", "fingerprint": "0123"}


def rate(value: float) -> dict[str, Any]:
    return {"value": value, "low": value, "high": value, "n": 4, "images": 4}


def audited(repeated: float = 0.0) -> dict[str, Any]:
    """One task's part of an audit."""
    controls = {"deleted": {"changed": rate(0.31), "score": None}, "random_deleted": {"changed": rate(0.09), "score": None}}
    looked = {"sentence": "Removing it changes 31 %.", "verdict_sentence": "It matters.", "controls": controls}
    return {
        "asked": 4,
        "unit": "answers",
        "metric": None,
        "score": None,
        "controls": {"repeated": {"changed": rate(repeated), "score": None}},
        "evidence": {"looked": looked},
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of one medical task and one that is none."""
    rows = yes_no_rows(6)
    write_qa(tmp_path / "scans", [{**row, "modality": "CT"} for row in rows])
    write_qa(tmp_path / "cats", rows)
    chosen = Settings(tasks=tuple(f"jsonl:{tmp_path / name}/qa.jsonl" for name in ("scans", "cats")), prompt="Tell: {question}")
    evaluate(RuleEngine(), MODEL, chosen, load_questions(chosen), tmp_path / "run")
    return tmp_path / "run"


def audit_of(run: Path, tasks: list[str], **changes: Any) -> None:
    settings = json.loads((run / "run.json").read_text())["settings"]
    content = {"kind": "audit", "model": MODEL, "settings": {**settings, **changes}, "tasks": {name: audited() for name in tasks}}
    (run / "audit.json").write_text(json.dumps(content))


def test_a_medical_task_that_was_not_audited_says_how_to(run: Path) -> None:
    scans, cats = open_run(run).settings["tasks"]
    found = open_run(run)
    command = f"dragonfly audit rule --tasks {scans} --prompt 'Tell: {{question}}' --out {run}"
    assert found.verdict(scans).endswith(f" Not audited: run {command}")
    assert "audit" not in found.verdict(cats)
    assert markdown(page([found])).count("Not audited: run dragonfly audit rule") == 1


def test_an_audit_in_the_folder_is_part_of_the_verdict(run: Path) -> None:
    scans, cats = open_run(run).settings["tasks"]
    audit_of(run, [scans, cats])
    found = open_run(run)
    for name in (scans, cats):
        assert found.verdict(name).endswith(" Removing it changes 31 %. It matters.")
    assert "Not audited" not in markdown(page([found]))
    assert markdown(page([found, found], compare([run, run]))).count("It matters.") == 4


@pytest.mark.parametrize(("changes", "what"), [({"prompt": None}, "prompt"), ({"data": "x", "prompt": None}, "data and prompt")])
def test_an_audit_of_other_answers_does_not_count(run: Path, changes: dict[str, Any], what: str) -> None:
    scans, _ = open_run(run).settings["tasks"]
    audit_of(run, [scans], **changes)
    assert f"Not audited ({run / 'audit.json'} is of another {what}): run dragonfly audit" in open_run(run).verdict(scans)


def test_another_models_audit_does_not_count() -> None:
    settings, scores = {"model": MODEL}, {"t": {"medical": True}}
    audit = {"model": {**MODEL, "fingerprint": "4567"}, "settings": {}, "tasks": {"t": audited()}}
    assert "is of another model" in audit_line(settings, scores, audit, Path("run"), "t")
    assert audit_line(settings, scores, {**audit, "model": MODEL}, Path("run"), "t") == "Removing it changes 31 %. It matters."
    assert audit_line(settings, {"t": {}}, None, Path("run"), "t") == ""  # scored by an older version, or not medical


def test_a_file_that_is_no_audit_is_refused(run: Path) -> None:
    (run / "audit.json").write_text('{"kind": "audit"}')
    with pytest.raises(ValueError, match=r"audit.json is no audit .*remove it, or run `dragonfly audit` again"):
        open_runs([run])


def test_what_changes_by_itself_is_said() -> None:
    assert sentences(audited()) == ["Removing it changes 31 %. It matters."]
    assert sentences(audited(0.02))[1].startswith("Asked again with nothing removed, 2.0 [2.0, 2.0] % change")
    assert conclusion({"evidence": {}}).startswith("The audit found no evidence to remove")


def test_tables_name_every_condition() -> None:
    rows = condition_rows(audited())
    assert rows[0] == ["evidence", "what is done", "answers changed", "n"]
    assert rows[2] == ["looked", "removed", "31.0 [31.0, 31.0]", "4"]
    assert curve_rows(audited()) == []
