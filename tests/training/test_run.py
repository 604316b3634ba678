"""Whole runs of tiny models in this process: what is trained, what is written, what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import dragonfly
from dragonfly.files import lock
from dragonfly.models import DragonflyForConditionalGeneration
from dragonfly.training import run
from dragonfly.training.recipe import Recipe
from tests import tiny
from tests.training import small


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    small.recipe(folder)
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_stage_1_from_tower_and_language_model_changes_the_projector_alone(shared: Path, tmp_path: Path) -> None:
    base = small.parts(tmp_path)
    output = tmp_path / "out"
    data = {"train": [{"name": "rows", "path": str(shared / "data" / "rows.json")}], "group_by_length": True}
    recipe = small.recipe(
        shared,
        init_from=base,
        model={"preset": "v1"},
        trainable=["multi_modal_projector"],
        steps=2,
        data=data,
        output=str(output),
    )
    assert run(recipe) == output
    after, language = weights(output), load_file(tmp_path / "language_model" / "model.safetensors")
    tower = load_file(tmp_path / "tower" / "model.safetensors")
    for name, tensor in language.items():
        ours = name.replace("model.", "model.language_model.", 1) if name.startswith("model.") else name
        assert torch.equal(after[ours][: len(tensor)], tensor), name
    kept = [name for name in after if "vision_tower" in name]
    assert kept and all(torch.equal(after[name], tower[name.partition("vision_tower.")[2]]) for name in kept)
    assert losses_fall_or_move(output)


def losses_fall_or_move(output: Path) -> bool:
    return len(set(small.losses(output))) == 2


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        (["multi_modal_projector"], {"model.multi_modal_projector"}),
        (["vision_tower", "lm_head"], {"model.vision_tower", "lm_head"}),
        (["language_model.layers.1"], {"model.language_model.layers.1"}),
    ],
)
def test_exactly_the_named_modules_change(shared: Path, tmp_path: Path, trainable: list[str], expected: set[str]) -> None:
    output = run(small.recipe(shared, trainable=trainable, steps=2, output=str(tmp_path / "out")))
    moved = changed(weights(shared / "base"), weights(output))
    assert moved and all(any(name.startswith(f"{module}.") for module in expected) for name in moved)
    assert {module for module in expected if any(name.startswith(f"{module}.") for name in moved)} == expected


@pytest.fixture(scope="module")
def finished(shared: Path) -> Path:
    return run(small.recipe(shared, save={"every": 2, "keep": 1}, peak_flops=1e12, output=str(shared / "finished")))


def test_the_artefact_gives_the_logits_of_the_model_that_was_trained(finished: Path) -> None:
    engine = dragonfly.load(finished)
    final = finished / "checkpoint-6"
    trained = DragonflyForConditionalGeneration.from_pretrained(final).eval()
    processor: Any = tiny.processor(tiny.config("baseline-1"))
    inputs = processor(images=[tiny.image()], text="<image>hello", return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(engine.model(**inputs).logits, trained(**inputs).logits)
    assert engine.ask(tiny.image(), "what?", max_new_tokens=2).text is not None


def test_the_record_lies_beside_the_weights(finished: Path) -> None:
    about = json.loads((finished / "dragonfly.json").read_text())
    assert about["recipe"] == "small" and about["version"] == dragonfly.__version__ and "commit" in about
    assert len(about["data"]["rows"]) == 64
    assert about["parameters"]["lm_head"]["trained"] == about["parameters"]["lm_head"]["total"] > 0
    record = json.loads((finished / "run.json").read_text())
    speed = record["speed"]
    assert record["steps"] == 6 and speed["samples_per_second"] > 0 and speed["tokens_per_second"] > 0
    assert speed["flops_utilisation"] == pytest.approx(speed["flops_per_second"] / 1e12)
    assert record["flops"] == pytest.approx(speed["flops_per_second"] * speed["seconds"], rel=1e-2)
    assert 0 < speed["waiting_for_data"] < 1
    assert (finished / "loss.png").read_bytes().startswith(b"\x89PNG") and len(small.losses(finished)) == 6
    assert Recipe.load(finished / "recipe.yaml").name == "small"
    assert [folder.name for folder in finished.glob("checkpoint-*")] == ["checkpoint-6"]  # keep: 1
    assert json.loads((finished / "config.json").read_text())["text_config"].get("use_cache", True)
    assert not (finished / "training_args.bin").exists()


def test_a_finished_or_foreign_output_is_not_overwritten(finished: Path, shared: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds a finished run; choose another output"):
        run(small.recipe(shared, output=str(finished)))
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty and holds no run of ours"):
        run(small.recipe(shared, output=str(tmp_path)))


def test_a_changed_recipe_does_not_go_on_with_anothers_run(shared: Path, tmp_path: Path) -> None:
    from dragonfly.training.run import resumable, write_recipe

    recipe = small.recipe(shared, output=str(tmp_path / "out"))
    write_recipe(recipe, tmp_path / "out")
    assert resumable(recipe, tmp_path / "out") is None
    optim = {**recipe.optim.model_dump(), "learning_rate": 0.5}
    with pytest.raises(ValueError, match=r"another recipe \(different: optim.learning_rate, seed\)"):
        resumable(small.recipe(shared, optim=optim, seed=3, output=str(tmp_path / "out")), tmp_path / "out")
    faster = small.recipe(shared, log={"every": 2}, data={**recipe.data.model_dump(), "workers": 3}, output=str(tmp_path / "out"))
    assert resumable(faster, tmp_path / "out") is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"trainable": ["language_model.layer"]}, r"no module 'language_model.layer' in language_model.*did you mean 'layers'"),
        ({"batch": {"global_size": 5, "per_device": 2}}, "global_size 5 is not batch.per_device 2 x 1 processes"),
        ({"init_from": {"checkpoint": "/nowhere"}}, "no model directory '/nowhere'"),
        ({"deepspeed": "zero9"}, "neither a file nor one of: zero1, zero2$"),
        ({"model": {"preset": "v3"}}, "unknown preset"),
        ({"model": {"selection": {"keep": 2}}}, "this encoder has no high level"),
        ({"lora": {"targets": "nothing"}, "trainable": []}, "lora.targets 'nothing' or trainable does not fit"),
        ({"optim": {"learning_rate": 1e30}}, "the loss is (nan|inf) at step"),
    ],
)
def test_refusals(shared: Path, tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        run(small.recipe(shared, output=str(tmp_path / "out"), **changes))
    assert not (tmp_path / "out" / "dragonfly.json").exists()


def test_a_tied_head_is_not_trained_alone(shared: Path, tmp_path: Path) -> None:
    settings = tiny.config("low-only", tie_word_embeddings=True)
    settings.text_config.tie_word_embeddings = True
    tiny.model(settings).save_pretrained(tmp_path / "base")
    tiny.processor(settings).save_pretrained(tmp_path / "base")
    base = {"checkpoint": str(tmp_path / "base")}
    with pytest.raises(ValueError, match="lm_head is the same matrix as language_model's embeddings"):
        run(small.recipe(shared, init_from=base, trainable=["lm_head"], output=str(tmp_path / "out")))


def test_an_evaluation_source_is_in_the_loss_curve(shared: Path, tmp_path: Path) -> None:
    source = {"name": "rows", "path": str(shared / "data" / "rows.json")}
    recipe = small.recipe(
        shared,
        data={"train": [source], "eval": source},
        log={"tensorboard": True, "eval_every": 2},
        steps=2,
        output=str(tmp_path / "out"),
    )
    output = run(recipe)
    lines = [json.loads(line) for line in (output / "loss.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "eval_loss" in line] == [2]
    assert list(output.rglob("events.out.tfevents.*"))


def test_two_do_not_train_into_one_folder(tmp_path: Path) -> None:
    chosen = small.recipe(tmp_path, steps=1)
    with lock(tmp_path / "out"), pytest.raises(ValueError, match=r"out is in use by process \d+ on "):
        run(chosen)
    assert not (tmp_path / "out").exists()
    assert (run(chosen) / "dragonfly.json").is_file()
