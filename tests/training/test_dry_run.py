"""`dragonfly train --dry-run`: everything that ends a run early ends it too, and nothing is trained or written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dragonfly.research.curriculum import HOOKS
from dragonfly.training import Recipe, shipped_recipes
from dragonfly.training.dry_run import dry_run, stand_in
from tests.cli.conftest import Run, run  # noqa: F401
from tests.training import small

DOCS = Path(__file__).parents[2] / "docs" / "training.md"
PAPER = [name for name in shipped_recipes() if name.startswith(("general/", "med/"))]
COLUMN = re.compile(r"^\| (1|8|32) \| `([^`]+)` \| `([^`]+)` \|$", re.MULTILINE)


def documented(name: str) -> dict[int, list[str]]:
    """The overrides of the documented line of a recipe, by number of processes."""
    rows = {int(number): (first, other) for number, first, other in COLUMN.findall(DOCS.read_text(encoding="utf-8"))}
    lines = {number: pair[0 if "/stage1-" in name else 1] for number, pair in rows.items()}
    for number, line in lines.items():
        assert " ".join(re.findall(r"--n(?:nodes|proc-per-node) (\d+)", line)) == {1: "", 8: "8", 32: "4 8"}[number], line
    return {number: line.partition(" train RECIPE")[2].split() for number, line in lines.items()}


def tree(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def tiny_parts(folder: Path, name: str) -> list[str]:
    """Overrides that give a shipped recipe tiny parts and a few rows."""
    recipe = Recipe.load(name)
    if not (folder / "data").exists():
        small.rows(folder / "data")
    rows = folder / "data" / "rows.json"
    if recipe.init_from.checkpoint is None:
        begin = [f"init_from.{key}={path}" for key, path in small.parts(folder).items()]
    else:
        begin = [f"init_from.checkpoint={small.checkpoint(folder / 'base', name[-2:])}"]
    return [*begin, f"data={rows}", "data.audit=2", f"output={folder / 'out'}"]


def test_the_ten_recipes_have_lines_for_1_8_and_32_gpus_that_pass_the_batch_arithmetic() -> None:
    assert len(PAPER) == 10
    for name in PAPER:
        paper = Recipe.load(name).batch.global_size
        lines = documented(name)
        assert set(lines) == {1, 8, 32}
        for processes, overrides in lines.items():
            batch = Recipe.load(name, overrides).batch
            rows = batch.per_device_for(processes) * batch.accumulation_for(processes) * processes
            assert rows == batch.global_size == (32 if processes == 32 and paper == 16 else paper)
    with pytest.raises(ValueError, match=r"a step of batch\.global_size 16 has no row for each of 32 processes"):
        Recipe.load("general/stage2-v1").batch.accumulation_for(32)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPER)
def test_dry_runs_at_1_8_and_32_processes(tmp_path: Path, run: Run, name: str) -> None:  # noqa: F811
    parts = tiny_parts(tmp_path, name)
    for processes, overrides in documented(name).items():
        before = tree(tmp_path)
        done = run("train", name, "--dry-run", "--processes", processes, "--device", "H100", *parts, *overrides)
        assert done.code == 0, done.err
        batch = Recipe.load(name, overrides).batch
        rows, steps = batch.per_device_for(processes), batch.accumulation_for(processes)
        assert f"{batch.global_size} rows = {rows} at once x {steps} x {processes} processes" in done.out
        assert "2 rows checked" in done.out and "hours" in done.out and "fits H100" in done.out and "not planned" not in done.out
        assert tree(tmp_path) == before


def test_a_dry_run_says_what_a_run_would_refuse(tmp_path: Path, run: Run) -> None:  # noqa: F811
    small.recipe(tmp_path)
    (tmp_path / "small.yaml").write_text("".join(f"{key}: {value}\n" for key, value in small.values(tmp_path).items()))
    done = run("train", tmp_path / "small.yaml", "--dry-run", "--processes", "2")
    assert done.code == 0 and "4 rows = 2 at once x 1 x 2 processes" in done.out and "4 rows checked" in done.out
    for change, fault in (
        ("batch.global_size=3", "batch.global_size 3 is not batch.per_device"),
        (f"data={tmp_path / 'nothing.json'}", "nothing.json"),
        ("data.max_length=8", "max_length is 8; raise it"),
        ("init_from.checkpoint=./nowhere", "./nowhere"),
    ):
        done = run("train", tmp_path / "small.yaml", "--dry-run", "--processes", "2", change)
        assert done.code == 2 and fault in done.err and done.err.count("\n") == 1, done.err
    assert not (tmp_path / "out").exists()
    assert "are for --dry-run" in run("train", tmp_path / "small.yaml", "--processes", "2").err


def test_a_stage_whose_beginning_is_yet_to_be_trained_is_looked_at_with_its_first_parts() -> None:
    recipe = Recipe.load("med/stage2-v2", ["model.selection.policy=all"], hooks=HOOKS)
    begun, after = stand_in(recipe)
    assert after == "med/stage1-v2"
    assert begun.init_from == Recipe.load("general/stage1-v2").init_from
    assert begun.model == recipe.model.model_copy(update={"preset": "v2"})
    own = Recipe.load("med/stage2-v2", ["init_from.checkpoint=somewhere/else"])
    assert stand_in(own) == (own, None)


def test_text_tokens_are_those_of_the_rows_besides_their_images(tmp_path: Path) -> None:
    found = dry_run(small.recipe(tmp_path), 1)
    labels = found.labels["rows"]
    images = labels["image_tokens"]
    assert images == 3 * 5 * 18  # three of four rows have an image: five sub-images of 4 x 4 patches, CLS and a separator
    assert found.text_tokens == round((labels["tokens"] - images) / 4)
