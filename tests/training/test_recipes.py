"""The recipes for data of one's own train on it; tests/test_reproduce.py trains those of general and med on what mixes write."""

import json
from pathlib import Path

import pytest

import dragonfly
from dragonfly.training import Recipe, run, shipped_recipes
from tests import tiny
from tests.training import small

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if not name.startswith(("nano/", "general/", "med/"))])
def test_two_steps(tmp_path: Path, name: str) -> None:
    recipe = Recipe.load(name)
    rows = small.rows(tmp_path / "data")
    small.checkpoint(tmp_path / "base", "v1")
    sources = ", ".join(f"{{name: {source.name}, path: {rows}}}" for source in recipe.data.train)
    overrides = [
        f"init_from.checkpoint={tmp_path / 'base'}",
        f"data.train=[{sources}]",
        "data.workers=0",
        "deepspeed=null",
        "steps=2",
        "epochs=null",
    ]
    overrides += [f"output={tmp_path / 'out'}", "batch.global_size=4", "batch.per_device=2", "save.every=1"]
    if recipe.lora is not None:
        overrides.append("lora.quantize=false")
    output = run(Recipe.load(name, [*overrides, "log.every=1"]))
    assert len(small.losses(output)) == 2
    if recipe.lora is None:
        assert dragonfly.load(output).ask(tiny.image(), "what?", max_new_tokens=1).finish == "length"


def test_the_bundled_model_is_fine_tuned_on_a_folder_of_ones_own(tmp_path: Path) -> None:
    tiny.image(400, 300).save(tmp_path / "a.png")
    rows = [{"image": "a.png", "question": f"What is this, {n}?", "answer": "a kite"} for n in range(4)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = f"data.train=[{{name: mine, path: {tmp_path / 'train.jsonl'}, group_questions: 2}}]"
    output = run(Recipe.load("finetune", [source, "epochs=null", "steps=60", f"output={tmp_path / 'out'}", "save.every=null"]))
    losses = small.losses(output)
    assert losses[-1] < 0.2 * losses[0]
    assert dragonfly.load(output).ask(tmp_path / "a.png", "What is this, 2?").text == "a kite"
