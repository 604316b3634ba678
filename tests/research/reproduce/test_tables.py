"""Each table of the paper in miniature, from rows to the page: tiny parts, made-up data in the published layouts.

The tables share one folder, as a user's would, so a stage that two of them need is trained once.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from dragonfly import cli
from dragonfly.cli.reproduce import run
from dragonfly.data import Sample, read, write_manifest
from dragonfly.evaluation import TASKS
from dragonfly.research.reproduce import TABLES, Request, steps_of
from tests.evaluation.layouts import LAYOUTS
from tests.evaluation.test_judge import Endpoint
from tests.training import small

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("java") is None, reason="no Java")]

TINY = ("precision=float32", "deepspeed=null", "epochs=null", "steps=2", "batch.global_size=2", "batch.per_device=1")
QUIET = ("data.workers=0", "save.every=null", "log.every=1", "log.tensorboard=false", "gradient_checkpointing=false")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory, with the parts, every path that a recipe reads, and every benchmark."""
    folder, before = tmp_path_factory.mktemp("reproduce"), torch.get_num_threads()
    torch.set_num_threads(1)
    small.parts(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        rows = small.rows(folder / "raw")
        for name in TABLES:
            request = asking(name)
            for step in steps_of(request):
                if step.kind in ("data", "curate") and not step.done:
                    target = step.outputs[0] if step.kind == "data" else step.outputs[0].parent
                    write_manifest((row for row in read(rows) if isinstance(row, Sample)), target)
            for task in request.tasks_in_full:
                published = folder / "data/benchmarks" / (TASKS[task].folder or task)
                if not published.exists():
                    published.mkdir(parents=True)
                    next(layout for layout in LAYOUTS if layout.task == task).write(published)
        yield folder
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def judge() -> Iterator[tuple[str, str]]:
    endpoint = Endpoint(lambda body, _: "0.5" if "Grade a prediction" in body["messages"][0]["content"] else "correct")
    yield endpoint.url, "stand-in"
    endpoint.close()


def asking(table: str, judge: tuple[str, str] = ("http://127.0.0.1:9/v1", "none"), preset: str | None = None) -> Request:
    parts: dict[str, Any] = {"tower": "tower", "language_model": "language_model", "preset": preset}
    return Request(table, gpus=1, judge=judge, changes=(*TINY, *QUIET), limit=3, max_new_tokens=4, **parts)


TABLE_1 = [
    *("Baseline-1 (paper v1)", "ours: baseline-1", "Baseline-2 (paper v1)", "ours: baseline-2"),
    *("Baseline-3 (paper v1)", "ours: baseline-3", "Dragonfly (paper v1)", "ours: v1", "ours: random"),
]


def here(words: Sequence[str]) -> int:
    """The command line within this process: a process of its own takes seconds to start."""
    assert words[0] == "dragonfly"
    return cli.run(list(words[1:]))


@pytest.mark.parametrize(("table", "preset"), [*((table, None) for table in TABLES), ("table2", "v2"), ("table3", "v2")])
def test_a_table_in_miniature(
    table: str, preset: str | None, place: Path, judge: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    request = asking(table, judge, preset)
    assert run(request, here) == 0
    assert all(step.done for step in steps_of(request))
    printed = capsys.readouterr()
    assert "note: tiny parts: numbers mean nothing" in printed.err
    written = json.loads((request.folder / "table.json").read_text())
    head, *rows = written["rows"]
    assert head == ["system", *request.measures]
    if table == "table1":  # ours stand below the row that they repeat
        assert [row[0] for row in rows] == TABLE_1
    own = [row for row in rows if row[0].startswith("ours: ")]
    assert own and all(cell != "-" for row in own for cell in row)  # every measure has a score
    with_interval = [cell for row in own for name, cell in zip(head, row, strict=True) if name != "HallusionBench"]
    assert all("[" in cell for cell in with_interval if not cell.startswith("ours: "))  # its three questions are of one image
    systems = {row[0].partition(" (paper")[0] for row in rows if " (paper" in row[0]}
    assert systems == {figure.system for figure in request.figures}
    page = (request.folder / "table.md").read_text()
    assert page.startswith(f"# {request.title} of the paper, and ours\n\n**tiny parts: numbers mean nothing.**")
    assert "was trained with other values of " in page and "only the first 3 questions" in page

    asked: list[Sequence[str]] = []
    assert run(request, lambda words: asked.append(words) or 0) == 0
    assert not asked  # nothing is done twice
