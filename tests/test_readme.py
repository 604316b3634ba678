"""What a newcomer reads is what happens: every block of README and tutorials runs as printed, or says why it is not run."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dragonfly.__main__ import main

from .blocks import RUN, blocks, to_run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NAMES = ("quickstart", "ask", "hardware", "finetune", "evaluation", "backbones")
PAGES = {name: ROOT / name for name in ("README.md", *(f"docs/{name}.md" for name in NAMES))}
"""Pages with blocks that a reader types. docs/backbones.md is run by tests/test_backbones.py, on tiny models."""
SMALLER = {"train": ["steps=2"]}  # of the 200 steps that the recipe takes


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copytree(ROOT / "examples" / "images", tmp_path / "scans")
    shutil.copy(tmp_path / "scans" / "form.png", tmp_path / "scans" / "0099.png")
    for table, names in (("mine", ("receipt", "chart")), ("mine-dev", ("form", "label"))):
        rows = [f"scans/{name}.png,Is it a {kind}?,{'yes' if kind == name else 'no'}" for name in names for kind in names]
        (tmp_path / f"{table}.csv").write_text("\n".join(["image,question,answer", *rows]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


def run_python(snippet: str, folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    words = [sys.executable, "-W", "error", "-c", snippet]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PAGES if name != "docs/backbones.md"])
def test_every_block_runs_as_printed(name: str, clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    for block in to_run(PAGES[name]):
        if block.kind == "python":
            assert run_python(block.text, clone).strip()
            continue
        for words in block.commands:
            monkeypatch.setattr(sys, "stdin", io.StringIO())
            assert words[0] == "dragonfly", words
            code = main([*words[1:], *SMALLER.get(words[1], [])])
            out, err = capsys.readouterr()
            assert code == 0, (words, err)
            assert block.shown is None or out.startswith(block.shown), (words, out)


@pytest.mark.parametrize("name", PAGES)
def test_a_block_that_is_not_run_says_why(name: str):
    typed = [block for block in blocks(PAGES[name]) if block.kind in RUN]
    assert any(block.reason is None for block in typed)
    assert all(len(block.reason.split()) > 2 for block in typed if block.reason is not None)
    assert PAGES[name].read_text(encoding="utf-8").count("<!-- not run: ") == sum(block.reason is not None for block in typed)


def test_the_readme_names_exactly_two_make_commands():
    named = re.findall(r"^    make ([\w-]+)", README, flags=re.MULTILINE)
    assert named == ["demo", "test"]


def test_relative_links_exist():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def result(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def shown(pattern: str) -> list[float]:
    """The numbers that the README gives in a sentence of this pattern."""
    found = re.search(pattern, " ".join(README.split()))
    assert found
    return [float(number) for number in found.groups()]


def test_the_bundled_models_numbers_are_those_of_its_result_file():
    nano = result("nano")
    pages = shown(r"answers \*\*([\d.]+) %\*\* of (\d+) questions about (\d+) synthetic pages exactly, and ([\d.]+) % when")
    assert pages[1:3] == [nano["questions"], nano["pages"]]
    expected = [round(100 * nano["accuracy"][name]["all"]["exact"], 1) for name in ("image", "empty page")]
    assert [pages[0], pages[3]] == expected
    language = result("nano_language")
    other = shown(r"it answers ([\d.]+) % of (\d+), and ([\d.]+) % of (\d+) that were")
    asked = [language[name]["accuracy"]["image"]["all"] for name in ("natural", "own words")]
    assert other == [number for one in asked for number in (round(100 * one["exact"], 1), one["asked"])]


def test_the_table_of_models_is_what_was_planned():
    planned = result("plan_backbones")["released"]
    cells = re.findall(r"\| ([\d.]+) [BM] \| ([\d.]+) GB(?:, ([\d.]+) GB with `--quantize int4`)? \|", README)
    expected = []
    for name, unit in (("nano", 1e6), ("nano-scans", 1e6), ("v1", 1e9), ("v2", 1e9)):
        one = planned[name]
        memory = [f"{one['gb']:.2f}"] if unit == 1e6 else [f"{one['gb']:.1f}"]
        expected.append((f"{one['parameters'] / unit:.1f}", *memory, f"{one['gb_int4']:.1f}" if one["gb_int4"] else ""))
    assert cells == expected
    assert re.findall(r"([\d,]+) tokens each", README) == [f"{planned[name]['image_tokens']:,}" for name in ("v1", "v2")]


def test_it_fits_two_screens():
    assert len(README.splitlines()) <= 135
