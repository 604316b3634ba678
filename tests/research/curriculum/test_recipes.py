"""Nano's recipes, shipped and recorded: they parse with the curriculum's hooks, and say what they need without."""

from pathlib import Path

import pytest

from dragonfly.config import dump
from dragonfly.training import Recipe, shipped_recipes
from tests.research.curriculum.recipes import CurriculumRecipe
from tests.training import small

RECORDED = sorted((Path(__file__).parents[3] / "checkpoints" / "nano").glob("*/recipe.yaml"))
OBJECTIVES = {"bind": "patch_ocr", "close": "shared_prefix", "find": "shared_prefix", "full": "answer", "low": "shared_prefix"}
OBJECTIVES |= {"pages": "shared_prefix", "read": "patch_ocr", "again": "answer", "third": "answer", "words": "answer"}
OBJECTIVES |= {"scan-read": "patch_ocr", "scan-spell": "patch_ocr", "scan-rows": "shared_prefix", "scan-full": "shared_prefix"}
OBJECTIVES |= {"scan-ask": "page_questions"}
OBJECTIVES |= {"scan-rows-2": "shared_prefix", "scan-full-2": "answer", "read-on": "patch_ocr", "natural": "page_questions"}
OBJECTIVES |= {f"natural-{number}": "page_questions" for number in range(2, 12)}
SCRATCH = ("nano/read", "nano/close", "nano/find", "nano/scan-read", "nano/scan-rows")


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if name.startswith("nano/")])
def test_a_shipped_recipe_names_its_objective(name: str) -> None:
    recipe = CurriculumRecipe.load(name)
    assert recipe.objective_hook.name == OBJECTIVES[name.partition("/")[2]]
    assert recipe.init_from.initializer == ("scratch" if name in SCRATCH else None)


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.parent.name)
def test_a_recorded_recipe_loads_and_survives_being_written(file: Path, tmp_path: Path) -> None:
    recipe = CurriculumRecipe.load(file)
    assert recipe.objective_hook.name == OBJECTIVES[file.parent.name]
    (tmp_path / "recipe.yaml").write_text(dump(recipe))
    assert CurriculumRecipe.load(tmp_path / "recipe.yaml") == recipe


def test_every_stage_of_the_bundled_model_is_recorded() -> None:
    assert len([file for file in RECORDED if not file.parent.name.startswith("scan-")]) == 21


def test_without_hooks_the_names_are_unknown() -> None:
    with pytest.raises(ValueError, match=r"objective: 'patch_ocr' is not one of: answer, text"):
        Recipe.load("nano/bind")
    with pytest.raises(ValueError, match=r"unknown key 'init_from\.scratch\.projector'"):
        Recipe.load("nano/close")


def test_every_fault_of_an_objectives_section_comes_with_the_nearest_name() -> None:
    with pytest.raises(ValueError) as caught:
        CurriculumRecipe.load("nano/bind", ["objective.neer=3", "objective.slots=-1", "init_from={scratch: {textes: x}}"])
    for expected in ("did you mean 'objective.near'?", "objective.slots: ", "did you mean 'init_from.scratch.texts'?"):
        assert expected in str(caught.value)


def test_a_recipe_that_uses_no_hook_is_read_without_any(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(dump(CurriculumRecipe.model_validate(small.values(tmp_path))))
    assert Recipe.load(tmp_path / "recipe.yaml") == Recipe.model_validate(small.values(tmp_path))
