"""What strangers meet beside the code: workflows, issue forms, citation and notebooks are sound and agree with the package."""

from __future__ import annotations

import json
import re
import runpy
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

import dragonfly

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(path: Path) -> list[str]:
    return [step["run"] for job in read(path)["jobs"].values() for step in job["steps"] if "run" in step]


def targets() -> set[str]:
    return set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_what_a_developer_calls(path: Path) -> None:
    ours = [step for step in steps(path) if not step.startswith("test ")]
    assert ours and all(step == ".ci/run" or step.removeprefix("make ") in targets() for step in ours)
    assert (ROOT / ".ci" / "run").stat().st_mode & stat.S_IXUSR


def test_ci_runs_everything_and_only_a_tag_publishes() -> None:
    assert steps(ROOT / ".github" / "workflows" / "ci.yml") == [".ci/run"]
    release = read(ROOT / ".github" / "workflows" / "release.yml")
    assert release[True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 reads the key `on` as true
    publish = release["jobs"]["publish"]
    assert publish["needs"] == "build" and publish["permissions"] == {"id-token": "write"}
    commands = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("make ")]
    assert commands == ["make lint", "make docs", "make test", "make test-slow"]


def test_the_citation_is_of_this_version_and_of_the_papers_authors() -> None:
    citation = read(ROOT / "CITATION.cff")
    assert citation["version"] == dragonfly.__version__
    names = [author["family-names"] for author in citation["preferred-citation"]["authors"]]
    bibtex = re.search(r"author  = \{(.*?)\}", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert bibtex and names == re.findall(r"(\w+), ", bibtex[1])


def test_the_bug_form_asks_for_the_doctors_report() -> None:
    form = read(ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml")
    (doctor,) = [part for part in form["body"] if part.get("id") == "doctor"]
    assert doctor["validations"]["required"] and "dragonfly doctor MODEL -o" in doctor["attributes"]["description"]


def test_pre_commit_has_the_linter_that_ci_has() -> None:
    (ruff,) = [one for one in read(ROOT / ".pre-commit-config.yaml")["repos"] if one["repo"].endswith("ruff-pre-commit")]
    assert f"ruff=={ruff['rev'].removeprefix('v')}" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_prints_what_it_shows(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    notebook = json.loads(path.read_text(encoding="utf-8"))
    again = runpy.run_path(str(ROOT / "scripts" / "notebooks.py"))["run"](notebook, tmp_path)
    shown = [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [list(map(_words, cell)) for cell in again] == [list(map(_words, cell)) for cell in shown]


def _words(output: dict[str, Any]) -> Any:
    """What is printed, or that there is an image: another Pillow may compress it to other bytes."""
    return output.get("text") or sorted(output["data"]) if "image/png" in output.get("data", {}) else output
