"""`dragonfly curate` and `browse` on a mix that stands in for a file."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dragonfly.__main__ import main
from dragonfly.data import Manifest
from dragonfly.installation import install_advice
from tests.curation.fakes import FakeMix, FakeSource, FakeStep


@pytest.fixture(autouse=True)
def _mixes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`load_mix` gives a mix of three rows with the seed of the overrides; `plan_table` says its name."""
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"question": "q{n}", "answer": "a"}}\n' for n in range(3)))

    def load_mix(name: str, changes: Any) -> FakeMix:
        seed = int(dict(change.split("=") for change in changes).get("seed", 0))
        source = FakeSource("made", str(tmp_path / "rows.jsonl"))
        return FakeMix([source], [FakeStep("validate"), FakeStep("mixture", total=2)], name=Path(name).stem, seed=seed)

    mix, plan = ModuleType("dragonfly.curation.mix"), ModuleType("dragonfly.curation.plan")
    mix.load_mix = load_mix  # pyright: ignore[reportAttributeAccessIssue]
    plan.plan_table = lambda mix: f"plan of {mix.name}, seed {mix.seed}"  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "dragonfly.curation.mix", mix)
    monkeypatch.setitem(sys.modules, "dragonfly.curation.plan", plan)


def test_curate_then_browse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["curate", "my.yaml", "-o", str(out), "seed=3"]) == 0
    said = capsys.readouterr().err
    assert "mixture: 3 rows in, 2 out" in said and f"my: {out / 'manifest.json'}" in said
    assert len(Manifest.open(out)) == 2
    assert main(["browse", str(out), "-o", str(tmp_path / "page.html"), "--limit", "1"]) == 0
    assert "out: 1 of 2 samples" in (tmp_path / "page.html").read_text()


def test_plan_prints_and_builds_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["curate", "my.yaml", "--plan", "seed=4"]) == 0
    assert capsys.readouterr().out == "plan of my, seed 4\n"
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_faults_are_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["curate", "my.yaml"]) == 2
    assert capsys.readouterr().err == "error: no output folder; give -o FOLDER, or --plan to see expected rows only\n"
    assert main(["curate", "my.yaml", "-o", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path} exists and is not empty; remove it or name another folder\n"
    assert main(["curate", "my.yaml", "-o", str(tmp_path / "x"), "--workers", "0"]) == 2
    assert "--workers" in capsys.readouterr().err
    assert main(["browse", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("error: no manifest.json at ")


def test_without_ray_one_line_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["curate", "my.yaml", "-o", str(tmp_path / "out"), "--ray", "auto"]) == 2
    said = f"error: ray is not installed, and --ray needs it; install it with: {install_advice('ray')}\n"
    assert capsys.readouterr().err == said
