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
from typing import Any

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


def result(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def shown(pattern: str) -> list[float]:
    """The numbers that the README gives in a sentence of this pattern."""
    found = re.search(pattern, " ".join(README.split()))
    assert found
    return [float(number) for number in found.groups()]


def test_the_bundled_models_numbers_are_those_of_its_result_file():
    nano = result("nano")
    pages = shown(
        r"On (\d+) questions about (\d+) pages .*? \*\*([\d.]+) %\*\* exactly, ([\d.]+) % when .*? "
        r"([\d.]+) % against ([\d.]+) %"
    )
    assert pages[:2] == [nano["questions"], nano["pages"]]
    expected = [nano["accuracy"][name][part] for part in ("all", "fine detail") for name in ("image", "empty page")]
    assert pages[2:] == [round(100 * cell["exact"], 1) for cell in expected]


def test_the_numbers_of_the_rules_are_those_of_their_result_files():
    trained = shown(
        r"with all 24 high sub-images: ([\d.]+) %; with the 12 of most `detail`: ([\d.]+) %; "
        r"with three that the question chooses: ([\d.]+) %, "
        r"and \[([\d.]+) %\]\([^)]+\) where that variant was trained on as many questions as the others; - "
        r"the 12 of the paper's `similarity`: ([\d.]+) %, of `centred`: ([\d.]+) %, at random: ([\d.]+) %; "
        r"the paper's own baseline of 16 coarser ones: ([\d.]+) %"
    )
    variants, longer = result("lab/headline")["variants"], result("lab/same-questions")["variants"]["question-3"]
    names = ("baseline-3", "detail", "question-3", "similarity", "centred", "random", "baseline-2")
    of_variants = [variants[name] for name in names[:3]] + [longer] + [variants[name] for name in names[3:]]
    assert trained == [round(100 * variant["scores"]["fine"]["value"], 1) for variant in of_variants]
    assert all(len(variant["seeds"]) == 3 for variant in of_variants)
    kept = shown(
        r"in \[(\d+) %\]\([^)]+\) by `detail`, (\d+) % by `centred`, (\d+) % by `similarity`, (\d+) % by chance; "
        r"among three of all 24 in \[(\d+) %\]\([^)]+\) by the question, where any choice can reach (\d+) %, "
        r"and (\d+) % by chance"
    )
    of_regions = kept_of_three("recall-sparse", "detail", "centred", "similarity", "random (exact)")
    assert kept == of_regions + kept_of_three("recall-nano-pages", "question", "oracle", "random (exact)")
    crowded = shown(r"the question keeps it in (\d+) %, all other policies in (\d+) % to (\d+) %, chance in (\d+) %")
    others = kept_of_three("recall-crowded", "similarity", "centred", "detail", "residual", "uniform")
    first, last = kept_of_three("recall-crowded", "question", "random (exact)")
    assert crowded == [first, min(others), max(others), last]
    real = shown(r"`residual` keeps (\d+) %, the question (\d+) %, `similarity` (\d+) %, chance (\d+) %")
    assert real == kept_of_three("recall-receipts", "residual", "question", "similarity", "random (exact)")


def kept_of_three(name: str, *policies: str) -> list[int]:
    """How often, in whole percent, three sub-images kept by each of these policies hold the evidence."""
    three = result(f"lab/{name}")["recall"]["3"]
    return [round(100 * three[policy]["recall"]["value"]) for policy in policies]
