"""docs/curation.md: its numbers are those of the committed result files, its steps and options those of the code."""

from __future__ import annotations

import inspect
import json
import re
import runpy
from pathlib import Path

import pytest

from dragonfly.curation.steps import STEPS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "curation.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["curation_duplicates", "curation_million"])
def test_the_tables_are_those_of_the_result_file(name: str) -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    assert runpy.run_path(str(ROOT / "benchmarks" / f"{name}.py"))["table"](result) in PAGE
    assert {"commit", "date", "hardware", "versions", "note"} <= result.keys()


def test_the_cluster_wrote_the_same_and_same_bytes_never_slip_through() -> None:
    results = ROOT / "benchmarks" / "results"
    assert json.loads((results / "curation_million.json").read_text(encoding="utf-8"))["same_manifest"] is True
    leaks = json.loads((results / "curation_duplicates.json").read_text(encoding="utf-8"))["leaks"]
    counts = [kinds["same bytes"] for name, kinds in leaks.items() if name.startswith("radius")]
    assert len(counts) == 6 and all(dropped == planted > 0 for dropped, planted in counts)
    assert leaks["radius 10"]["clean"][0] == 0


def test_every_step_and_option_is_in_the_table() -> None:
    section = PAGE.partition("\n## Steps\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    named = {name: row[-1] for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    for name, step in STEPS.items():
        options = [key for key, value in inspect.signature(step).parameters.items() if value.kind is value.KEYWORD_ONLY]
        assert re.findall(r"`(\w+)`", named[name]) == options, name
