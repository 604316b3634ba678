"""`dragonfly plan`: models by name and by file, recipes, budgets, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

from dragonfly.planning import Training, plan_training
from dragonfly.planning.model import ModelSize
from tests.cli.conftest import Run
from tests.cli.test_ask import refused

VALUES = {
    "name": "planned",
    "trainable": ["language_model"],
    "data": {"train": [{"name": "rows", "path": "rows.json"}]},
    "optim": {"learning_rate": 1e-3},
    "batch": {"global_size": 2},
    "steps": 2,
    "output": "out",
}


def test_a_card_and_a_budget(run: Run) -> None:
    text = run("plan", "--preset", "v1", "--device", "rtx-4090", "--budget", "24GB").out
    assert "fits RTX-4090 (24 GB)                yes, by this estimate" in text
    assert "at 40% of 165 TFLOP/s" in text and "at 60% of 1,008 GB/s" in text
    assert "largest batch that fits" in text and "presets that fit at batch 1" in text
    data = json.loads(run("plan", "--preset", "v2", "--device", "L4", "--budget", "24GB", "--quantize", "int4", "--json").out)
    assert (data["estimate"], data["fits"], data["utilisation"], data["fit"]["largest_keep"]) == (True, True, 0.4, None)
    assert data["memory"]["peak_bytes"] + data["device"]["context"] == data["memory"]["needed_bytes"] == data["fit"]["needed"]


def test_training_gives_hours_at_a_stated_share(run: Run) -> None:
    options = ["--train", "--zero", "2", "--devices", "8", "--device", "H100", "--checkpointing", "--batch", "2"]
    data = json.loads(run("plan", "--preset", "v1", *options, "--samples", "1.2e6", "--epochs", "2", "--json").out)
    assert data["work"]["sharding"] == "zero2" and data["fits"] is True
    assert data["time"]["hours"] * 3600 * data["time"]["samples_per_second"] == 2.4e6
    text = run("plan", "--preset", "v1", *options, "--samples", "1.2e6", "--utilisation", "0.3").out
    assert "hours" in text and "at 30% of 989 TFLOP/s" in text


def test_a_model_and_a_recipe(run: Run, saved_model: Path) -> None:
    """The bundled model by its name, one's own by its directory; a recipe says how it is trained."""
    nano = json.loads(run("plan", "nano", "--json").out)
    assert sum(nano["parameters"].values()) < 10**7
    own = json.loads(run("plan", saved_model, "--recipe", "finetune", "--image-size", "640x480", "--json").out)
    work = own["work"]
    assert (work["batch"], work["accumulation"], work["precision"], work["attention"]) == (8, 1, "float32", "eager")
    size = ModelSize.of_checkpoint(saved_model)
    expected = plan_training(
        size.with_spec(
            size.spec.changed({"selection": {"policy": "residual", "scope": "image", "keep": 6}})
        ),  # as the recipe changes it
        Training((480, 640), batch=8, text_tokens=64, precision="float32", attention="eager"),
    )
    assert own["memory"]["peak_bytes"] == expected.memory.peak
    lean = json.loads(run("plan", "nano", "--recipe", "qlora", "--json").out)["work"]
    assert (lean["lora_rank"], lean["quantize"], lean["accumulation"], lean["trainable"]) == (16, "int4", 16, [])
    staged = json.loads(run("plan", saved_model, "--recipe", "med/stage1-v1", "--devices", "8", "--json").out)
    assert (staged["work"]["sharding"], staged["work"]["accumulation"], list(staged["trained"])) == ("zero1", 2, ["vision_tower"])


def test_a_recipes_encoder_is_planned(run: Run, saved_model: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    changes = {"preset": "v1", "selection": {"keep": 1}}
    recipe.write_text(json.dumps({**VALUES, "init_from": {"checkpoint": str(saved_model)}, "model": changes}), encoding="utf-8")
    own = json.loads(run("plan", "--recipe", recipe, "--json").out)
    assert (own["num_kept"], own["work"]["trainable"]) == (1 + 4 + 4, ["language_model"])
    recipe.write_text(json.dumps({**VALUES, "objective": "text", "init_from": {"checkpoint": "nano"}}), encoding="utf-8")
    refused(run("plan", "--recipe", recipe), "objective 'text' has no images")


def test_what_it_refuses(run: Run, saved_model: Path) -> None:
    refused(run("plan", "--recipe", "nano/read"), "which makes the model; name it")
    refused(run("plan", saved_model, "--tower", "x"), "MODEL has its own tower and language model")
    refused(run("plan", "--recipe", "qlora"), "there is no model 'runs/general-stage2-v1'", "config.json")
    refused(run("plan", "--device", "cpu"), "machines of the kind 'cpu' differ", "--peak-tflops N")
    refused(run("plan", "--peak-tflops", "3"), "name one with --device")
    refused(run("plan", "--budget", "24"), "memory '24' is not a number with a unit")
    refused(run("plan", "--train", "--zero", "1", "--fsdp"), "--zero and --fsdp")
    refused(run("plan", "--train", "--quantize", "int4"), "plan an adapter with them")
    refused(run("plan", "--preset", "v2", "--tower", "openai/clip-vit-base-patch32"), "pool")
    refused(run("plan", "--language-model", "nobody/nothing"), "unknown language model", "downloaded from the hub")
