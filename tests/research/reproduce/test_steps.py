"""Which steps lead to a table: read from the recipes, in an order in which each finds what it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragonfly.evaluation.report import reported
from dragonfly.files import ORIGIN
from dragonfly.research.curriculum import HOOKS
from dragonfly.research.lab import chain
from dragonfly.research.lab.study import Study
from dragonfly.research.reproduce import TABLES, Request, steps_of
from dragonfly.research.reproduce.cost import costs_of
from dragonfly.research.reproduce.steps import STUDIES
from dragonfly.training import Recipe
from tests.cli.conftest import Run, run  # noqa: F401 - a fixture

JUDGE = ("http://127.0.0.1:9/v1", "none")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory: nothing is finished there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("gpus", [1, 8])
def test_every_training_finds_its_start_and_its_rows_before_it(table: str, gpus: int):
    written: set[Path] = set()
    for step in steps_of(Request(table, judge=JUDGE, gpus=gpus)):
        assert not step.done
        if step.recipe is not None and step.words[-1].endswith(("v1", "v2")):  # a shipped recipe
            start = step.recipe.init_from.checkpoint
            assert start is None or Path(start) / ORIGIN in written
            assert all({Path(path), Path(path) / "manifest.json"} & written for path in chain.paths_of(step.recipe))
            assert step.words[0] == ("dragonfly" if gpus == 1 else "torchrun")
        written |= set(step.outputs)


@pytest.mark.parametrize(("preset", "last"), [(None, "med/stage3-v1"), ("v2", "med/stage3-v2")])
def test_the_chain_is_that_of_the_recipes(preset: str | None, last: str):
    names = [stage.name for stage in Request("table3", preset).chain]
    version = last[-2:]
    order = [f"general/stage{n}-{version}" for n in (1, 2)] + [f"med/stage{n}-{version}" for n in (1, 2, 3)]
    assert names == order
    assert [stage.name for stage in Request("table5").chain] == ["general/stage1-v1"]


def test_a_path_that_a_mix_writes_is_curated_and_any_other_is_brought(monkeypatch: pytest.MonkeyPatch):
    mixed = "data.train=[{name: a, path: data/general}, {name: b, path: data/general-mine}, {name: c, path: other/general}]"
    recipe = Recipe.load("general/stage1-v1", [mixed], hooks=HOOKS)
    assert [chain.mix_of(path) for path in chain.paths_of(recipe)] == ["general", None, None]
    changed = chain.Stage("general/stage1-v1", recipe)
    monkeypatch.setattr(chain, "leading_to", lambda _: [changed])
    load = Recipe.load
    monkeypatch.setattr(
        Recipe, "load", lambda name, values=(), **kw: load(name, [mixed, *values] if name == changed.name else values, **kw)
    )
    monkeypatch.setattr("dragonfly.research.reproduce.steps.leading_to", lambda _: [changed])
    steps = steps_of(Request("table5"))
    assert steps[0].words == ("dragonfly", "curate", "general", "-o", "data/general")
    assert [(step.kind, step.words) for step in steps[1:3]] == [("data", ()), ("data", ())]


@pytest.mark.parametrize("table", TABLES)
def test_the_measures_are_those_of_the_paper_s_table(table: str):
    request = Request(table, judge=JUDGE)
    printed = [
        one for one in reported() if one.source.startswith(f"{request.title};") or one.source.startswith(request.title + " ")
    ]
    printed += [one for one in reported() if one.source == request.title]
    assert list(request.measures) == list(dict.fromkeys(one.measure for one in reported() if one in printed))
    for figure in request.figures:
        task, metric = request.measures[figure.measure]
        assert figure.beside[task][0] == metric


@pytest.mark.parametrize("table", STUDIES)
def test_a_study_repeats_every_row_of_its_table_and_begins_where_its_base_does(table: str):
    study = Study.load(STUDIES[table])
    systems = {figure.system for figure in Request(table, judge=JUDGE).figures}
    assert {variant.paper for variant in study.variants.values()} - {None} == systems
    assert study.recipe is not None
    assert Recipe.load(study.recipe["base"], hooks=HOOKS).init_from.checkpoint == study.checkpoint


def test_a_job_that_was_copied_from_another_study_needs_no_training():
    steps = steps_of(Request("table5"))
    folder = Path("runs/full/table5/variants/region-seed0")
    folder.mkdir(parents=True)
    (folder / "job.json").write_text("{}")
    done = [step.outputs[0] for step in steps if step.done]
    assert done == [folder / "model" / ORIGIN]


def test_costs_are_known_before_anything_is_trained():
    request = Request("table6", gpus=8)
    steps = steps_of(request)
    costs = costs_of(request, steps, "H100")
    trainings = [(step, cost) for step, cost in zip(steps, costs, strict=True) if step.kind == "train"]
    variants = [cost for step, cost in trainings if step.words[-1].endswith("recipe.yaml")]
    assert len(variants) == 3
    assert all(cost.rows is not None or cost.hours is not None for cost in variants)
    assert all(cost.memory is not None and 10e9 < cost.memory < 80e9 for cost in variants)  # the paper had H100s of 80 GB
    hours = [cost.hours for cost in variants if cost.hours is not None]
    assert len(hours) == 3 and hours == sorted(hours) and hours[0] < hours[-1]  # 16, 24, 48 sub-images to encode


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table7"], "table 'table7' is not one of: table1, table2, table3, table4, table5, table6"),
        (["table3", "--preset", "v3"], "preset 'v3' is not one of: v1, v2"),
        (["table5", "--preset", "v2"], "table5 compares presets itself, so it takes no --preset"),
        (["table2"], "mmvet: scored by a judge; name one: --judge URL --judge-model NAME, or --without mmvet"),
        (["table3", "--without", "pope"], "--without: task 'pope' is not one of: vqa_rad, slake, path_vqa"),
        (["table3", "output=x"], "output=x: the chain sets name, init_from, data.train, output"),
        (["table3", "data=x"], "data=x: the chain sets"),
        (["table3", "--gpus", "12", "--plan"], "is not batch.per_device 4 x 12 processes"),
    ],
)
def test_faults_are_one_line(run: Run, arguments: list[str], message: str):  # noqa: F811
    outcome = run("reproduce", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_plan_prints_every_command_with_hours_and_memory(run: Run):  # noqa: F811
    outcome = run("reproduce", "table5", "--plan")
    assert outcome.code == 0
    assert "torchrun --nproc-per-node 8 -m dragonfly train general/stage1-v1" in outcome.out
    assert "dragonfly ablate full/table5 -o runs/full/table5 --recipes --gpus 8" in outcome.out
    assert "hours on 8 x H100" in outcome.out and "GB of a device" in outcome.out
    assert not list(Path().iterdir())  # it writes nothing


def test_a_plan_needs_no_judge_and_shows_where_its_name_goes(run: Run):  # noqa: F811
    outcome = run("reproduce", "table2", "--plan")
    assert outcome.code == 0 and "--judge URL --judge-model NAME" in outcome.out
