"""`dragonfly curate` and `browse`: on a small mix of one's own, and on shipped ones whose data is there or not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from dragonfly.__main__ import main
from dragonfly.config import dump
from dragonfly.data import Manifest
from dragonfly.installation import install_advice
from tests.curation.fakes import mix_of
from tests.curation.sources.layouts import LAYOUTS


@pytest.fixture(autouse=True)
def _mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """my.yaml, a mix of three rows, in the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text("".join(f'{{"question": "q{n}", "answer": "a"}}\n' for n in range(3)))
    Path("my.yaml").write_text(dump(mix_of(Path("rows.jsonl"), {"step": "validate"}, {"step": "mixture", "total": 2}, name="my")))


def test_curate_then_browse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["curate", "my.yaml", "-o", str(out), "seed=3"]) == 0
    said = capsys.readouterr().err
    assert "mixture: 3 rows in, 2 out" in said and f"my: {out / 'manifest.json'}" in said
    assert len(Manifest.open(out)) == 2
    assert main(["browse", str(out), "-o", str(tmp_path / "page.html"), "--limit", "1"]) == 0
    assert "out: 1 of 2 rows" in (tmp_path / "page.html").read_text()


def test_plan_prints_and_builds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["curate", "my.yaml", "--plan", "steps=[{step: cap, per_image: 4}]"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("my\n") and "| cap " in printed and "not known" in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my.yaml", "rows.jsonl"]


def test_a_shipped_mix_goes_where_recipes_look_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    LAYOUTS["llava-pretrain"](tmp_path / "data/llava-pretrain")
    assert main(["curate", "pretrain"]) == 0
    said = capsys.readouterr().err
    assert "pretrain: writing to data/pretrain\n" in said
    assert len(Manifest.open(tmp_path / "data/pretrain")) == 3
    card = (tmp_path / "data/pretrain/DATA_CARD.md").read_text()
    assert "| llava-pretrain | 558,000 | 3 | 558,000 | 3 | 3 | 558,000 |" in card
    assert "| validate | at most 558,000 | 3 | 0 | 0 | 558,000 | -557,997 (-100.0%) |" in card


def test_sources_say_what_is_there_and_what_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    LAYOUTS["slake"](tmp_path / "data/slake")
    assert main(["curate", "med-stage1", "--sources", "test_paths.slake=data/slake"]) == 0
    printed = capsys.readouterr().out
    assert "slake (compared with, not trained on)\n" in printed and "in         data/slake: there\n" in printed
    assert "in         data/medicat: missing: *.jsonl; figures\n" in printed
    assert "access     credentialed: https://physionet.org/" in printed
    assert printed.endswith("med-stage1: 1 of 11 data sets are there. --download fetches what is open and on the hub.\n")
    assert main(["curate", "general", "--sources", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mix"] == "general"
    told = {one["name"]: one for one in found["data_sets"]}
    assert (told["svit"]["terms"], told["svit"]["download"], told["svit"]["there"]) == ("gated", False, False)
    assert told["openhermes"]["hub"] == "teknium/OpenHermes-2.5" and told["openhermes"]["size"] == "1.94 GB"
    assert (
        told["data/benchmarks"]["missing"] == ["no file or folder data/benchmarks"] and not told["data/benchmarks"]["trained_on"]
    )


def test_all_data_that_is_not_there_is_named_before_any_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    LAYOUTS["openhermes"](tmp_path / "data/openhermes")
    assert main(["curate", "general"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(
        "error: general: 6 of 7 data sets are not whole in their folders: sharegpt4v (data/sharegpt4v), allava ("
    )
    assert "openhermes" not in said and ", data/benchmarks; --sources says" in said
    assert not (tmp_path / "data/general.work").exists()


def test_faults_are_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["curate", "my.yaml"]) == 2
    told = "error: no output folder for a mix of your own; give -o FOLDER, or --plan to see expected rows only\n"
    assert capsys.readouterr().err == told
    assert main(["curate", "my.yaml", "--plan", "--sources"]) == 2
    assert "each print and stop; give one of them" in capsys.readouterr().err
    assert main(["curate", "my.yaml", "--json"]) == 2
    assert "--json prints what --sources finds; give both" in capsys.readouterr().err
    assert main(["curate", "my.yaml", "-o", str(tmp_path)]) == 2
    assert (
        capsys.readouterr().err.splitlines()[-1] + "\n"
        == f"error: {tmp_path} exists and is not empty; remove it or name another folder\n"
    )
    assert main(["curate", "my.yaml", "-o", str(tmp_path / "x"), "--workers", "0"]) == 2
    assert "--workers" in capsys.readouterr().err
    assert main(["browse", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("error: no file or folder ")


def test_without_ray_one_line_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["curate", "my.yaml", "-o", str(tmp_path / "out"), "--ray", "auto"]) == 2
    said = f"error: ray is not installed, and --ray needs it; install it with: {install_advice('ray')}\n"
    assert capsys.readouterr().err.endswith(said)
