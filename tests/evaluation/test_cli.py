"""`dragonfly eval` and `rescore` as a person types them, on a tiny random model."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dragonfly.__main__ import main
from tests import tiny

from .fakes import write_qa, yes_no_rows

SHORT = ("--max-new-tokens", "2")  # a random model does not stop by itself


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    settings = tiny.config("v1")
    tiny.model(settings).save_pretrained(folder)
    tiny.processor(settings).save_pretrained(folder)
    return str(folder)


def test_eval_then_rescore(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = write_qa(tmp_path / "data", yes_no_rows(6)), tmp_path / "out"
    command = ["eval", "--model", model, "--tasks", f"jsonl:{file}", "--out", str(out), "--limit", "4", *SHORT]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0].startswith(f"jsonl:{file}: exact match 0.0 [0.0, 0.0] % (n = 4, 2 images)")
    assert "majority" in printed.out
    assert str(out) in printed.err
    assert sorted(path.name for path in out.iterdir() if path.is_file()) == ["cost.json", "report.md", "run.json", "scores.json"]
    cost = json.loads((out / "cost.json").read_text())[f"jsonl:{file}"]
    assert cost["model"]["sub_images_per_question"] == 29.0  # v1: 1 + 4 + 24 encoded
    assert cost["model"]["visual_tokens_per_question"] > 0
    assert cost["blind"]["visual_tokens_per_question"] == 0
    before = (out / "scores.json").read_bytes()
    assert main(["rescore", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(before)
    assert (out / "scores.json").read_bytes() == before
    assert "| exact_match | 4 | 0.0" in (out / "report.md").read_text()


def test_broken_images_are_said_and_make_the_exit_code_1(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_qa(tmp_path / "data", yes_no_rows(4, per_image=1))
    (tmp_path / "data/images/2.png").write_bytes(b"nothing")
    out = tmp_path / "out"
    assert main(["eval", "-m", model, "--tasks", f"jsonl:{file}", "--out", str(out), "--no-baselines", "--json", *SHORT]) == 1
    printed = capsys.readouterr()
    scores = json.loads(printed.out)["tasks"][f"jsonl:{file}"]
    assert [row["id"] for row in scores["broken"]] == ["q2"]
    assert scores["baselines"] == {}
    assert f"jsonl:{file} q2: " in printed.err and "1 questions could not be asked" in printed.err
    assert "q2: " in (out / "report.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["eval", "--tasks", "vqarad"], "did you mean 'vqa_rad'"),
        (["eval", "--tasks", "manifest:gone"], "no manifest.json at gone"),
        (["eval", "--tasks", " , "], "no task to run"),
        (["eval"], "Missing option '--tasks'"),
        (["rescore", "gone"], "no run.json in gone"),
        (["eval", "--tasks", "mmvet"], "task 'mmvet' is scored by a judge; name one: --judge URL"),
        (["eval", "--tasks", "mmvet", "--judge", "http://localhost:1/v1"], "an address and a model"),
        (["eval", "--tasks", "pope", "--shard", "3/2"], "shard '3/2' is not I/N"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1 and printed.out == ""


def test_a_changed_model_does_not_continue_a_run(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_qa(tmp_path / "data", yes_no_rows(2))
    command = ["eval", "-m", model, "--tasks", f"jsonl:{file}", "--out", str(tmp_path / "out"), "--no-baselines", *SHORT]
    assert main(command) == 0
    assert main([*command, "--set", "model.selection.policy=detail"]) == 2
    assert "holds a run with another model" in capsys.readouterr().err


def test_a_model_is_named_as_on_the_hub(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the hub's own cache, without a network; the run is named after the model."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    root = tmp_path / "cache/models--owner--name"
    shutil.copytree(model, root / "snapshots" / ("a" * 40))
    (root / "refs").mkdir()
    (root / "refs/main").write_text("a" * 40)
    file = write_qa(tmp_path / "data", yes_no_rows(2))
    monkeypatch.chdir(tmp_path)
    assert main(["eval", "-m", "owner/name", "--tasks", f"jsonl:{file}", "--no-baselines", *SHORT]) == 0
    assert json.loads((tmp_path / "eval-name/run.json").read_text())["settings"]["model"]["name"] == "owner/name"
    capsys.readouterr()
    assert main(["eval", "-m", "owner/other", "--tasks", f"jsonl:{file}"]) == 2
    assert "the Hugging Face hub does not give it" in capsys.readouterr().err


def test_two_workers_and_then_the_score(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = write_qa(tmp_path / "data", yes_no_rows(34)), tmp_path / "out"
    command = ["eval", "-m", model, "--tasks", f"jsonl:{file}", "--out", str(out), "--no-baselines", "--max-new-tokens", "1"]
    assert main([*command, "--shard", "2/2"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "" and f"part 2 of 2 is done; when all are: dragonfly rescore {out}" in printed.err
    assert main(["rescore", str(out)]) == 2
    assert "finish it with `dragonfly eval --shard 1/2`" in capsys.readouterr().err
    assert main([*command, "--shard", "1/2"]) == 0
    assert main(["rescore", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"][f"jsonl:{file}"]["questions"] == 34


def test_tasks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks"]) == 0
    assert "vqa_rad                         exact_match            test (451 questions" in capsys.readouterr().out
    assert main(["tasks", "slake"]) == 0
    assert "1,053 is the validation count" in capsys.readouterr().out
    assert main(["tasks", "pope", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["metrics"][0] == "f1_official"
    assert main(["tasks", "slacke"]) == 2
    assert "did you mean 'slake'" in capsys.readouterr().err


def test_two_runs_side_by_side(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_qa(tmp_path / "data", yes_no_rows(4))
    for name, prompt in (("first", "{question}"), ("second", "{question} Say yes or no.")):
        common = ["-m", model, "--tasks", f"jsonl:{file}", "--no-baselines", *SHORT]
        assert main(["eval", *common, "--out", str(tmp_path / name), "--prompt", prompt]) == 0
    capsys.readouterr()
    page = tmp_path / "page.md"
    assert main(["report", str(tmp_path / "first"), str(tmp_path / "second"), "-o", str(page), "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["tasks"][f"jsonl:{file}"]["exact_match"]
    assert "p" not in first and second["p"] == 1.0
    assert f"| metric | n | {tmp_path / 'first'} | {tmp_path / 'second'} |" in page.read_text()
    assert main(["report", str(tmp_path / "first"), str(tmp_path / "first")]) == 2
    assert "a run is named twice" in capsys.readouterr().err


def test_one_run_as_a_page(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_qa(tmp_path / "data", yes_no_rows(4))
    out, page, html = tmp_path / "out", tmp_path / "page.md", tmp_path / "page.html"
    assert main(["eval", "-m", model, "--tasks", "chartqa", "--data", str(tmp_path / "data"), "--out", str(out), *SHORT]) == 0
    capsys.readouterr()
    assert main(["report", str(out), "--reported", "-o", str(page), "--html", str(html)]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("chartqa: relaxed accuracy 0.0 [0.0, 0.0] % (n = 4, 2 images)\n")
    assert "Dragonfly Llama3-8B" in printed.out and "LLaVA" not in printed.out
    assert "relaxed accuracy: differs: the paper: all 2,500" in printed.out
    assert f"report: {page}" in printed.err and f"report: {html}" in printed.err
    assert "### Cost" in page.read_text() and "| LLaVA-v1.5 Vicuna-7B | v1 |" in page.read_text()
    assert "where the model looked" in html.read_text()  # a real layout is drawn
    assert "### Cost" not in (out / "report.md").read_text()  # it is the same whenever the run is repeated
    assert main(["report", str(out), "--reported", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"runs", "scores", "costs", "reported"}
    assert document["costs"][0]["chartqa"]["model"]["sub_images_per_question"] == 29.0
    assert {row["measure"] for row in document["reported"]} == {"ChartQA"}


def test_help_loads_no_torch() -> None:
    code = "import sys; from dragonfly.__main__ import main; main(['eval', '--help']); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "dragonfly eval --tasks manifest:data/dev --out runs/dev" in done.stdout
