"""Every command and every piece of Python in the README works as written, in a copy of the repository's examples."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [
    line.split("   #")[0].strip() for kind, block in BLOCKS if kind == "bash" for line in block.splitlines() if line.strip()
]
SNIPPETS = [block for kind, block in BLOCKS if kind == "python"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "examples", folder / "examples")
    return folder


def _run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, input="", timeout=300, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_command(command: str, clone: Path):
    words = shlex.split(command)
    assert words[0] == "dragonfly"
    done = _run([sys.executable, "-m", "dragonfly", *words[1:]], clone)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("snippet", SNIPPETS)
def test_python(snippet: str, clone: Path):
    done = _run([sys.executable, "-W", "error", "-c", snippet], clone)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_readme_names_exactly_two_make_commands():
    named = re.findall(r"^    make ([\w-]+)", README, flags=re.MULTILINE)
    assert named == ["demo", "test"]


def test_relative_links_exist():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_bundled_models_numbers_are_those_of_its_result_file():
    result = json.loads((ROOT / "benchmarks" / "results" / "nano.json").read_text(encoding="utf-8"))
    accuracy = result["accuracy"]
    text = " ".join(README.split())
    shown = re.search(
        r"On (\d+) questions about (\d+) pages .*? \*\*([\d.]+) %\*\* exactly, ([\d.]+) % when .*? "
        r"([\d.]+) % against ([\d.]+) %",
        text,
    )
    assert shown
    assert (int(shown[1]), int(shown[2])) == (result["questions"], result["pages"])
    expected = [accuracy[name][part] for part in ("all", "fine detail") for name in ("picture", "empty page")]
    assert [float(value) for value in shown.groups()[2:]] == [round(100 * cell["exact"], 1) for cell in expected]


def test_the_numbers_of_the_rules_are_those_of_their_result_files():
    lab = ROOT / "benchmarks" / "results" / "lab"
    arms = json.loads((lab / "policies.json").read_text(encoding="utf-8"))["arms"]
    recall = json.loads((lab / "recall-nano-pages.json").read_text(encoding="utf-8"))["recall"]["3"]
    text = " ".join(README.split())
    shown = re.search(
        r"the question decides: ([\d.]+) % of .*? in (\d+) %, where any choice can reach (\d+) %; "
        r".*? `detail`, answers ([\d.]+) % .*? in (\d+) %; .*? here: ([\d.]+) % against ([\d.]+) %, and (\d+) % against (\d+) %",
        text,
    )
    assert shown
    answered = [
        arms[f"policy={name} keep=1"]["scores"]["fine"]["value"] for name in ("question", "detail", "similarity", "random")
    ]
    kept = [recall[name]["recall"]["value"] for name in ("question", "oracle", "detail", "similarity", "random (exact)")]
    assert [float(shown[n]) for n in (1, 4, 6, 7)] == [round(100 * value, 1) for value in answered]
    assert [int(shown[n]) for n in (2, 3, 5, 8, 9)] == [round(100 * value) for value in kept]
    dense = re.search(r"only the question beats chance, (\d+) % against (\d+) %", text)
    real = re.search(r"`residual` keeps (\d+) %, the question (\d+) %, `similarity` (\d+) %, chance (\d+) %", text)
    assert dense and real
    for found, file, names in (
        (dense, "recall-crowded", ("question", "random (exact)")),
        (real, "recall-receipts", ("residual", "question", "similarity", "random (exact)")),
    ):
        three = json.loads((lab / f"{file}.json").read_text(encoding="utf-8"))["recall"]["3"]
        assert [int(value) for value in found.groups()] == [round(100 * three[name]["recall"]["value"]) for name in names]
