"""The lab's commands as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run, run  # noqa: F401 - a fixture
from tests.lab import small


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.marks(tmp_path_factory.mktemp("marks"), 3)


def test_recall_prints_a_table_and_writes_the_result(run: Run, saved_model: Path, data: Path, tmp_path: Path):  # noqa: F811
    result = tmp_path / "recall.json"
    outcome = run("lab", "recall", data, "--model", saved_model, "--policies", "detail", "--keep", "1,2", "-o", result)
    assert outcome.code == 0
    assert "6 questions about 3 pictures; kept of 24 high sub-images per region" in outcome.out
    assert all(name in outcome.out for name in ("oracle", "random (exact)", "detail", "keep 2"))
    found = json.loads(result.read_text())
    assert found["kind"] == "recall" and found["recall"]["1"]["oracle"]["recall"]["value"] == 1.0
    assert run("lab", "recall", data, "--model", saved_model, "--policies", "detail", "--keep", "1", "--json").out.startswith("{")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "no manifest.json at nowhere"),
        (["DATA", "--keep", "1,x"], "--keep takes whole numbers of at least 1, comma-separated, got '1,x'; such as 1,2,3"),
        (["DATA", "--policies", "detial"], "policy 'detial' is not one of"),
        (["DATA", "--scope", "pictures"], "selection.scope 'pictures' is not one of region, picture; did you mean 'picture'?"),
    ],
)
def test_recall_faults_are_one_line(run: Run, saved_model: Path, data: Path, arguments: list[str], message: str):  # noqa: F811
    given = [data if argument == "DATA" else argument for argument in arguments]
    outcome = run("lab", "recall", *given, "--model", saved_model)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
