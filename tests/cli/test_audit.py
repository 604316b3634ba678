"""`dragonfly audit` as a person types it, on a tiny random model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast as Tokenizer

from dragonfly.lens import Lens
from tests.cli.conftest import Run
from tests.evaluation.fakes import write_qa, yes_no_rows
from tests.lens.family_models import saved
from tests.lens.seen import noise


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


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved("internvl", tmp_path_factory.mktemp("internvl"))


def test_a_model_of_another_family_is_audited_by_its_close_ups_or_by_what_it_states(
    run: Run, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[str] = []
    for number in range(2):
        noise(620, 480, seed=number).save(tmp_path / f"{number}.png")
        rows.append(json.dumps({"question": "Which?", "answer": "a", "image": f"{number}.png", "modality": "CT"}))
    (tmp_path / "mine.jsonl").write_text("\n".join(rows))
    task, out = f"jsonl:{tmp_path / 'mine.jsonl'}", tmp_path / "out"
    budget = ["--tasks", task, "--max-new-tokens", 2, "--max-tokens", 24, "--max-calls", 1]
    evaluated = run("eval", "--model", other, *budget, "--lens", "residual", "--out", out, "--no-baselines")
    assert evaluated.code == 0, evaluated.err
    assert f"--max-new-tokens 2 --method residual --max-tokens 24 --max-calls 1 --out {out}" in evaluated.out
    audited = run("audit", other, *budget, "--method", "residual", "--out", out)
    assert audited.code == 0, audited.err
    assert "asked through a lens: method residual, up to 24 image tokens" in audited.err
    found = json.loads((out / "audit.json").read_text())
    assert [found["settings"][key] for key in ("lens", "max_tokens", "max_calls")] == ["residual", 24, 1]
    seen = found["tasks"][task]
    lens = Lens(other, "residual", device="cpu")
    answer = lens.ask(tmp_path / "0.png", "Which?", max_tokens=24, max_calls=1, max_new_tokens=2)
    spots = [[0, *item.box] for item in answer.selections[0] if item.kept]
    assert (seen["looked_at"], seen["asked"]) == ("close-ups", 2)
    assert sorted(seen["records"][0]["looked"]["spots"]) == sorted(spots) != []
    assert "Removing what it looked at changes" in (out / "report.md").read_text()
    other_budget = run("audit", other, *budget[:-4], "--max-tokens", 30, "--method", "residual", "--out", out)
    assert other_budget.code == 2 and "holds a run with another max_tokens" in other_budget.err

    monkeypatch.setattr(Tokenizer, "decode", lambda *_, **__: "at [100, 200, 300, 400]")
    stated = run("audit", other, *budget, "--method", "residual", "--looked", "stated", "--out", tmp_path / "stated.json")
    assert stated.code == 0, stated.err
    seen = json.loads((tmp_path / "stated.json").read_text())["tasks"][task]
    assert seen["looked_at"] == "stated" and seen["records"][0]["looked"]["spots"] == [[0, 62.0, 96.0, 186.0, 192.0]]


def test_what_a_lens_and_a_model_without_one_looked_at_is_not_confused(run: Run, other: Path, data: Path) -> None:
    for words, said in (
        ((other, "--looked", "why"), "--looked is 'why'; accepted with a lens: close-ups, stated"),
        (("nano", "--looked", "stated"), "--looked is 'stated'; accepted without a lens: kept, why"),
        (("nano", "--method", "oracle"), "oracle is told it"),
        ((other, "--set", "model.selection.keep=2"), "--set is not there for a model of another family"),
    ):
        outcome = run("audit", *words, "--tasks", f"jsonl:{data}")
        assert outcome.code == 2 and said in outcome.err and len(outcome.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tasks", "vqarad"], "did you mean 'vqa_rad'"),
        (["--tasks", "DATA", "--looked", "there"], "--looked is 'there'; accepted without a lens: kept, why"),
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
