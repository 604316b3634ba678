"""docs/reproduce.md, executed: its mixes from the published layouts, then all ten recipes on what these wrote.

What needs eight GPUs, the hub or hours is made small by overrides. None touches the data, nor where a stage begins but the first.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

import dragonfly
from dragonfly.__main__ import main
from dragonfly.curation.mix import default_output, load_mix, shipped_mixes
from dragonfly.data import Manifest
from dragonfly.training import Recipe, shipped_recipes
from tests import tiny
from tests.curation.sources.layouts import LAYOUTS, noise, write_parquet
from tests.training import small

DOCUMENT = Path(__file__).parents[1] / "docs" / "reproduce.md"
SMALL = [
    *("deepspeed=null", "precision=float32", "epochs=null", "steps=1", "log.every=1", "log.tensorboard=false", "save.every=null"),
    *("batch.global_size=2", "batch.per_device=2", "gradient_checkpointing=false"),
]


def commands() -> list[list[str]]:
    """The page's commands in order, as arguments of `dragonfly`."""
    lines = [line.strip() for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("    ")]
    return [shlex.split(line.partition("dragonfly ")[2]) for line in lines]


RECIPES = [name for name in shipped_recipes() if name.startswith(("general/", "med/"))]


def test_the_page_curates_every_mix_and_trains_every_recipe_of_the_two_families() -> None:
    given = commands()
    assert [args[1] for args in given if args[0] == "curate" and len(args) == 2] == [
        *("pretrain", "general", "med-stage1", "med-stage2", "med-stage3")
    ]
    assert sorted(args[1] for args in given if args[0] == "curate" and len(args) == 2) == sorted(shipped_mixes())
    assert sorted(args[1] for args in given if args[0] == "train") == sorted(RECIPES) and len(RECIPES) == 10


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_reads_what_a_shipped_mix_writes_and_begins_where_another_ends(name: str) -> None:
    recipe = Recipe.load(name)
    (source,) = recipe.data.train
    assert source.path == str(default_output(source.name)) and source.name in shipped_mixes()
    family, stage = name.split("/")
    assert source.name == {"general": {"1": "pretrain", "2": "general"}}.get(family, {}).get(stage[5], f"med-stage{stage[5]}")
    outputs = {Recipe.load(other).output for other in RECIPES}
    assert recipe.init_from.checkpoint in (outputs if name[-9:-3] != "stage1" or family == "med" else {None})


def raw_data(folder: Path) -> None:
    """Every data set of the mixes in its published layout, where the mixes look for it, and benchmarks beside them."""
    for mix in map(load_mix, shipped_mixes()):
        for source in mix.sources:
            LAYOUTS[source.name](folder / source.path)
    row = {"image": {"bytes": noise(1), "path": None}, "question": "Is there a cat?", "answer": "no"}
    write_parquet(folder / "data/benchmarks/pope/data/test-00000-of-00001.parquet", [row])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create 8 worker processes")  # the recipes are for larger machines
def test_the_page_runs_from_raw_data_to_ten_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    raw_data(tmp_path)
    base = [f"init_from.{key}={path}" for key, path in small.parts(tmp_path / "parts").items()]
    for command, *rest in commands():
        overrides = SMALL if command == "train" else []
        if rest[0].startswith("general/stage1"):
            overrides = [*SMALL, *base]
        assert not any(override.startswith(("data", "output", "init_from.checkpoint")) for override in overrides)
        if "--download" not in rest:  # tests/curation/test_download.py has a hub to fetch from
            assert main([command, *rest, *overrides]) == 0, rest
    for name in RECIPES:
        recipe = Recipe.load(name)
        about = json.loads((tmp_path / recipe.output / "dragonfly.json").read_text())
        (source,) = recipe.data.train
        assert about["data"] == {source.name: Manifest.open(tmp_path / str(source.path)).sha256}
        assert len(small.losses(tmp_path / recipe.output)) == 1
    assert all(len(Manifest.open(tmp_path / "data" / mix)) >= 3 for mix in shipped_mixes())
    for version in ("v1", "v2"):
        assert (
            dragonfly.load(tmp_path / f"runs/med-stage3-{version}").ask(tiny.image(), "what?", max_new_tokens=1).text is not None
        )
