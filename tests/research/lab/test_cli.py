"""The lab's commands as a user meets them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Run, run  # noqa: F401 - a fixture
from tests.research.lab import small

OWN = ("data=[{path: DATA}]", "test=DATA")  # in place of the rows that a shipped study names


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.marks(tmp_path_factory.mktemp("marks"), 3)


def test_recall_prints_a_table_and_writes_the_result(run: Run, saved_model: Path, data: Path, tmp_path: Path):  # noqa: F811
    result = tmp_path / "recall.json"
    outcome = run("lab", "recall", data, "--model", saved_model, "--policies", "detail", "--keep", "1,2", "-o", result)
    assert outcome.code == 0
    assert "6 questions about 3 images; kept of 24 high sub-images per region" in outcome.out
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
        (["DATA", "--scope", "images"], "selection.scope 'images' is not one of: region, image; did you mean 'image'?"),
    ],
)
def test_recall_faults_are_one_line(run: Run, saved_model: Path, data: Path, arguments: list[str], message: str):  # noqa: F811
    given = [data if argument == "DATA" else argument for argument in arguments]
    outcome = run("lab", "recall", *given, "--model", saved_model)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_studies_are_listed_with_their_command(run: Run):  # noqa: F811
    outcome = run("lab", "studies")
    assert outcome.code == 0
    assert all(name in outcome.out for name in ("headline", "full/table1", "lab sweep", "ablate"))


def test_findings_are_written(run: Run, tmp_path: Path):  # noqa: F811
    target = tmp_path / "findings.md"
    assert run("lab", "findings", tmp_path / "none", "-o", target).code == 0
    assert target.read_text().startswith("# Findings\n")
    assert (tmp_path / "findings-detail.md").read_text().startswith("# Findings in detail\n")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the checkpoint that studies begin from, and no data to train on."""
    (tmp_path / "checkpoints").symlink_to(Path("checkpoints").resolve())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ablate", "tabel1", "-o", "x"], "no shipped study of that name: 'tabel1' is not one of"),
        (["ablate", "table1"], "name the study's folder: -o runs/table1"),
        (
            ["ablate", "table1", "-o", "x", *OWN, "variants.v1.encoder.regions=rater"],
            "regions 'rater' is not one of: spatial, raster",
        ),
        (["ablate", "table1", "-o", "x", OWN[0], "test=nowhere"], "no manifest.json at nowhere"),
        (["ablate", "policies", "-o", "x", "test=DATA"], "trains nothing; run it with `dragonfly lab sweep policies -o DIR`"),
        (["lab", "sweep", "table1", "-o", "x", "test=DATA"], "trains its variants; run it with `dragonfly ablate table1 -o DIR`"),
        (["lab", "sweep", "policies", "-o", "x", "test=DATA", "--variant", "detail"], "variant 'detail' is not one of: policy="),
        (["ablate", "policies", "-o", "x", "--recipes"], "trains nothing, so there is no recipe to write"),
    ],
)
def test_faults_of_studies_are_one_line(run: Run, data: Path, elsewhere: Path, arguments: list[str], message: str):  # noqa: F811
    outcome = run(*(argument.replace("DATA", str(data)) for argument in arguments))
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (["ablate", "headline"], "checkpoints/nano/pages, data/lab/train, data/lab/test"),
        (["ablate", "headline", "test=DATA"], "checkpoints/nano/pages, data/lab/train"),
        (["lab", "sweep", "policies"], "data/lab/test"),
    ],
)
def test_a_shipped_study_outside_a_clone_says_what_to_clone_and_what_makes_its_data(
    run: Run,  # noqa: F811
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    missing: str,
):
    monkeypatch.chdir(tmp_path)
    outcome = run(*(argument.replace("DATA", str(data)) for argument in arguments), "-o", "out")
    study = "policies" if "policies" in arguments else "headline"
    assert outcome.code == 2
    assert outcome.err == (
        f"error: study '{study}' needs {missing}, not found here; run it in a clone of the repository, where "
        "`scripts/lab.sh data` makes its data, or name your own: checkpoint=DIR data='[{path: DIR}]' test=DIR\n"
    )


def test_recipes_are_written_to_be_trained_elsewhere(run: Run, saved_model: Path, data: Path, tmp_path: Path):  # noqa: F811
    from dragonfly.research.curriculum import HOOKS
    from dragonfly.training import Recipe

    given = [f"checkpoint={saved_model}", f"data=[{{path: {data}, group_questions: 2}}]", "test=nowhere"]
    given += ["recipe.batch.global_size=4", "recipe.batch.per_device=1"]
    outcome = run("ablate", "random-against-similarity", "-o", tmp_path / "out", "--recipes", "--gpus", "1", *given)
    assert outcome.code == 0, outcome.err
    file = tmp_path / "out" / "variants" / "detail-seed0" / "recipe.yaml"
    assert f"dragonfly train {file}" in outcome.out
    recipe = Recipe.load(file, hooks=HOOKS)
    assert (recipe.name, recipe.output) == ("random-against-similarity/detail", str(file.parent / "model"))
    assert recipe.model.encoder is not None and recipe.model.encoder["selection"]["policy"] == "detail"
    outcome = run("ablate", "random-against-similarity", "-o", tmp_path / "out", "--recipes", "--gpus", "2", *given)
    assert f"torchrun --nproc-per-node 2 -m dragonfly train {file}" in outcome.out
    outcome = run("ablate", "random-against-similarity", "-o", tmp_path / "out", "--recipes", "--gpus", "3", *given)
    assert outcome.code == 2 and "is not batch.per_device 1 x 3 processes" in outcome.err


def test_full_size_recipes_need_neither_weights_nor_benchmarks(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    from dragonfly.training import Recipe
    from dragonfly.vision.presets import PRESETS

    monkeypatch.chdir(tmp_path)
    outcome = run("ablate", "full/table6", "-o", "out", "--recipes")
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    presets = {"high16": "v1-high16", "high24": "v1", "high48": "v1-high48"}
    assert lines == [f"torchrun --nproc-per-node 8 -m dragonfly train out/variants/{name}-seed0/recipe.yaml" for name in presets]
    base = Recipe.load("general/stage2-v1")
    for name, preset in presets.items():
        recipe = Recipe.load(f"out/variants/{name}-seed0/recipe.yaml")
        assert recipe.model.encoder == PRESETS[preset].spec.to_dict()
        assert recipe.init_from.checkpoint == "runs/general-stage1-v1"
        assert [source.path for source in recipe.data.train] == [source.path for source in base.data.train]
        assert (recipe.steps, recipe.epochs, recipe.optim) == (200_000, None, base.optim)
    outcome = run("ablate", "full/table6", "-o", "out", "--recipes", "checkpoint=runs/mine")
    assert outcome.code == 2
    assert "there is no checkpoint runs/mine, and no shipped recipe writes it" in outcome.err


def test_a_judged_test_set_needs_a_judge_before_anything_is_trained(
    run: Run,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    outcome = run("ablate", "full/table1", "-o", "out")
    assert outcome.code == 2
    assert "a judge scores (mmvet, hallusion_bench_judge); name one: --judge URL --judge-model NAME" in outcome.err
    assert outcome.err.rstrip().endswith("measures.mmvet=null measures.hallusion=null")


def test_why_shows_what_each_sub_image_contributed(run: Run, saved_model: Path, data: Path, tmp_path: Path):  # noqa: F811
    image = data.parent / "images" / "p0.png"
    asked = ("ask", image, "Is it dark?", "--model", saved_model, "--max-new-tokens", 2)
    plain, told = run(*asked, "--zoom", tmp_path / "plain.png"), run(*asked, "--why", "--zoom", tmp_path / "why.png")
    assert told.code == 0
    assert told.out.startswith(plain.out)
    lines = told.out.splitlines()
    for level, count in (("low", 1), ("mid", 4), ("high", 12)):
        assert sum(f" {level} " in line for line in lines) == count
    assert (tmp_path / "why.png").read_bytes() != (tmp_path / "plain.png").read_bytes()
    why = json.loads(run(*asked, "--why", "--json").out)["why"]
    values = [one["value"] for one in why["contributions"]]
    assert len(values) == 17 and values == sorted(values, reverse=True)


def test_why_needs_an_image(run: Run, saved_model: Path):  # noqa: F811
    outcome = run("ask", "What?", "--no-image", "--why", "--model", saved_model)
    assert outcome.code == 2
    assert outcome.err == "error: --why tells what each sub-image contributed, and no image is given\n"


def test_curves_print_a_table(run: Run, saved_model: Path, data: Path, tmp_path: Path):  # noqa: F811
    outcome = run("lab", "curves", data, "--model", saved_model, "--limit", 2, "--draws", 1, "-o", tmp_path / "c.json")
    assert outcome.code == 0
    assert "deletion (lower is better)" in outcome.out
    assert json.loads((tmp_path / "c.json").read_text())["kind"] == "curves"


@pytest.mark.parametrize("command", ["recall", "curves", "sweep", "findings", "studies", "ablate"])
def test_every_example_in_the_help_has_options_that_there_are(run: Run, command: str):  # noqa: F811
    words = ("ablate",) if command == "ablate" else ("lab", command)
    outcome = run(*words, "--help")
    assert outcome.code == 0
    text = outcome.out.partition("Examples:")[2]
    lines = [line for line in text.splitlines() if f"dragonfly {' '.join(words)}" in line]
    assert lines
    for line in lines:
        for option in re.findall(r" (--?[a-z]+)", line):
            assert option in outcome.out.replace(text.partition("Options")[0], ""), (line, option)
