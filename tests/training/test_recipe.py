from pathlib import Path
from typing import Any

import pytest

from dragonfly.config import dump
from dragonfly.research.curriculum import HOOKS
from dragonfly.training import Recipe, shipped_recipes
from dragonfly.training.recipe import Batch
from tests.training import small


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def fault(folder: Path, **changes: Any) -> str:
    with pytest.raises(ValueError) as caught:
        Recipe.model_validate(small.values(folder, **changes))
    return str(caught.value)


def test_a_recipe_survives_being_written_and_read(folder: Path) -> None:
    recipe = Recipe.model_validate(small.values(folder, lora={"r": 4}, trainable=["multi_modal_projector"]))
    (folder / "recipe.yaml").write_text(dump(recipe))
    assert Recipe.load(folder / "recipe.yaml") == recipe


def test_overrides_win_and_unknown_keys_come_with_the_nearest_name_all_at_once(folder: Path) -> None:
    recipe = Recipe.load("general/stage1-v1", ["optim.learning_rate=1e-3", "deepspeed=null"])
    assert recipe.optim.learning_rate == 1e-3 and recipe.deepspeed is None
    with pytest.raises(ValueError) as caught:
        Recipe.load("general/stage1-v1", ["optim.learning_rat=1e-3", "batch.per_devise=2", "data.workers=-1"])
    for expected in ("3 faults", "did you mean 'optim.learning_rate'?", "did you mean 'batch.per_device'?", "data.workers"):
        assert expected in str(caught.value)


def test_an_unknown_recipe_comes_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"no shipped recipe.*did you mean 'med/stage1-v2'"):
        Recipe.load("med/stag1-v2")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"trainable": []}, "trainable is empty, so nothing would be trained"),
        ({"trainable": ["vision_towers"]}, "did you mean 'vision_tower'?"),
        ({"init_from": {}}, "give one of checkpoint or tower and language_model; given: none of them"),
        ({"init_from": {"tower": "a"}}, "give one of checkpoint or tower and language_model; given: tower"),
        ({"init_from": {"checkpoint": "a", "tower": "b", "language_model": "c"}}, "given: checkpoint, tower, language_model"),
        ({"epochs": 1}, "exactly one of epochs and steps; epochs is 1"),
        ({"steps": None}, "exactly one of epochs and steps"),
        ({"objective": "text"}, "objective 'text' gives no gradient to multi_modal_projector, vision_tower"),
        ({"objective": "patch_ocr"}, "'patch_ocr' is not one of: answer, text"),
        ({"log": {"eval_every": 5}}, "log.eval_every is 5 and there is no data.eval to look at"),
        ({"lora": {}}, "trainable may not name language_model, lm_head"),
        ({"lora": {}, "trainable": [], "init_from": {"tower": "a", "language_model": "b"}}, "lora needs init_from.checkpoint"),
        ({"optim": {"learning_rate": 0.1, "learning_rates": {"vision": 0.1}}}, "learning_rates names 'vision'"),
        ({"data": {"train": []}}, "data.train is empty"),
        ({"data": {"train": [{"name": "a"}]}}, "source 'a' takes exactly one of path and dataset"),
        ({"data": {"train": [{"name": "a", "path": "x"}, {"name": "a", "path": "y"}]}}, "several sources have the name a"),
    ],
)
def test_refusals(folder: Path, changes: dict[str, Any], expected: str) -> None:
    assert expected in fault(folder, **changes)


def test_several_faults_of_one_recipe_are_told_together(folder: Path) -> None:
    told = fault(folder, trainable=[], epochs=1)
    assert "exactly one of epochs and steps" in told and "trainable is empty" in told


def test_the_batch_agrees_with_the_processes_or_names_its_three_numbers() -> None:
    assert Batch(global_size=64, per_device=4).accumulation_for(8) == 2
    assert Batch(global_size=64, per_device=4, accumulation=2).accumulation_for(8) == 2
    with pytest.raises(ValueError, match=r"global_size 64 is not batch.per_device 3 x 8 processes x a whole number"):
        Batch(global_size=64, per_device=3).accumulation_for(8)
    with pytest.raises(ValueError, match=r"global_size 64 is not batch.per_device 4 x batch.accumulation 2 x 4 processes;"):
        Batch(global_size=64, per_device=4, accumulation=2).accumulation_for(4)
    shared = Batch(global_size=64, per_device=4)
    assert (shared.per_device_for(32), shared.accumulation_for(32)) == (2, 1)
    assert Batch(global_size=4, per_device=8).per_device_for(1) == 4
    with pytest.raises(ValueError, match=r"global_size 4 has no row for each of 8 processes; start 4 or fewer"):
        Batch(global_size=4).accumulation_for(8)
    with pytest.raises(ValueError, match=r"global_size 4 is not batch.per_device 8 x batch.accumulation 1 x 1 processes"):
        Batch(global_size=4, per_device=8, accumulation=1).accumulation_for(1)


def test_the_papers_numbers() -> None:
    for version in ("v1", "v2"):
        first, second = Recipe.load(f"general/stage1-{version}"), Recipe.load(f"general/stage2-{version}")
        assert (first.batch.global_size, first.optim.learning_rate, first.epochs) == (64, 2e-5, 1)
        assert (second.batch.global_size, second.optim.learning_rate, second.epochs) == (16, 2e-6, 1)
        assert first.trainable == ["multi_modal_projector"] and len(second.trainable) == 4
        assert Recipe.load(f"med/stage1-{version}").trainable == ["vision_tower"]
        assert second.init_from.checkpoint == first.output


def test_every_shipped_recipe_is_complete_short_and_says_how_to_start_it() -> None:
    names = shipped_recipes()
    assert len(names) == 26
    for name in names:
        recipe = Recipe.load(name, hooks=HOOKS)
        text = (Path(__file__).parents[2] / "src/dragonfly/recipes" / f"{name}.yaml").read_text()
        assert recipe.name == name and f"dragonfly train {name}" in text.splitlines()[0] and len(text.splitlines()) <= 60


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("key", ["data", "data.train"])
def test_a_path_replaces_the_sources_and_nothing_else(key: str, turn: int) -> None:
    before = Recipe.load("general/stage2-v1").data
    given = [f"{key}=OUT/manifest.json", "data.workers=0", "data.train.data.passes=2"]
    data = Recipe.load("general/stage2-v1", given[::turn]).data
    assert [(one.name, one.path, one.passes) for one in data.train] == [("data", "OUT/manifest.json", 2.0)]
    assert data.model_copy(update={"train": before.train, "workers": 8}) == before
    assert (before.max_length, before.max_bad_share, before.group_by_length, before.workers) == (2048, 0.001, True, 8)


def test_a_source_is_changed_by_its_name_and_an_unknown_name_is_told_with_those_there_are() -> None:
    sources = "data.train=[{name: one, path: a}, {name: two, path: b}]"
    first, second = Recipe.load("general/stage2-v1", [sources, "data.train.two.passes=2"]).data.train
    assert (first.passes, second.passes, second.path) == (1.0, 2.0, "b")
    with pytest.raises(ValueError, match=r"^data.train.absent.passes=2: data.train: 'absent' is not one of: one, two$"):
        Recipe.load("general/stage2-v1", [sources, "data.train.absent.passes=2"])


def test_a_path_alone_is_where_a_stage_begins() -> None:
    start = Recipe.load("general/stage1-v1", ["init_from=joined"]).init_from
    assert (start.checkpoint, start.tower, start.language_model) == ("joined", None, None)


def test_the_name_of_an_objective_begins_its_section_anew_and_its_options_stay_in_any_order() -> None:
    given = ["objective=patch_ocr", "objective.bound=true", "trainable=[vision_tower]"]
    for overrides in (given, given[::-1]):
        objective: Any = Recipe.load("finetune", overrides, hooks=HOOKS).objective
        assert (objective.name, objective.bound) == ("patch_ocr", True)
    recipe = Recipe.load("nano/bind", ["objective=answer", "trainable=[vision_tower]"], hooks=HOOKS)
    assert recipe.objective.model_dump() == {"name": "answer"}  # `bound` and the thresholds were patch_ocr's
    with pytest.raises(ValueError, match=r"^overrides 'objective=text' and 'objective=answer' contradict each other; keep one$"):
        Recipe.load("finetune", ["objective=text", "objective=answer"])


def test_a_path_alone_is_the_data() -> None:
    recipe = Recipe.load("finetune", ["data=OUT/manifest.json"])
    assert [source.path for source in recipe.data.train] == ["OUT/manifest.json"]
