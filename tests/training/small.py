"""Small runs: directories of tiny models and a few rows of data, and the recipe that joins them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import AutoModel, AutoModelForCausalLM

from dragonfly.training import Recipe
from tests import tiny

WORDS = ("red", "green", "blue", "a long answer of several words")


def checkpoint(folder: Path, preset: str = "v1", **changes: Any) -> Path:
    """A whole tiny model with its processor."""
    settings = tiny.config(preset, **changes)
    tiny.model(settings).save_pretrained(folder)
    tiny.processor(settings).save_pretrained(folder)
    return folder


def parts(folder: Path, tower: str = "clip") -> dict[str, str]:
    """A tower and a language model in directories of their own, the tokenizer without image tokens."""
    settings = tiny.config(tower=tower)
    AutoModel.from_config(settings.vision_config).save_pretrained(folder / "tower")
    AutoModelForCausalLM.from_config(settings.text_config).save_pretrained(folder / "language_model")
    tiny.tokenizer().save_pretrained(folder / "language_model")
    return {"tower": str(folder / "tower"), "language_model": str(folder / "language_model")}


def rows(folder: Path, number: int = 8, text_only: bool = False, name: str = "rows") -> Path:
    """LLaVA rows about images of different shapes; every fourth without an image, or all."""
    folder.mkdir(parents=True, exist_ok=True)
    data = []
    for index in range(number):
        with_images = not text_only and index % 4 != 3
        turns = [("<image>\n" if with_images else "") + f"question {index}?", WORDS[index % 4]]
        row: dict[str, Any] = {
            "id": f"{name}-{index}",
            "conversations": [{"from": who, "value": text} for who, text in zip(("human", "gpt"), turns, strict=True)],
        }
        if with_images:
            row["image"] = f"{index}.png"
            tiny.image(40 + 8 * index, 64, seed=index).save(folder / f"{index}.png")
        data.append(row)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(data))
    return path


def values(folder: Path, **changes: Any) -> dict[str, Any]:
    """A recipe's values: every module trained, 6 steps of 2 x 2 rows."""
    return {
        "name": "small",
        "init_from": {"checkpoint": str(folder / "base")},
        "trainable": ["vision_tower", "multi_modal_projector", "language_model", "lm_head"],
        "data": {"train": [{"name": "rows", "path": str(folder / "data" / "rows.json")}], "audit": 4},
        "optim": {"learning_rate": 1e-3, "warmup": 0.1, "weight_decay": 0.1},
        "batch": {"global_size": 4, "per_device": 2},
        "steps": 6,
        "log": {"tensorboard": False},
        "output": str(folder / "out"),
        **changes,
    }


def recipe(folder: Path, kind: type[Recipe] = Recipe, **changes: Any) -> Recipe:
    """The recipe on a new base and new rows, where these are not in `folder` yet. `kind` may know more objectives."""
    if not (folder / "base").exists():
        checkpoint(folder / "base", "baseline-1")
    if not (folder / "data").exists():
        rows(folder / "data")
    return kind.model_validate(values(folder, **changes))


def losses(output: Path) -> list[float]:
    lines = (output / "loss.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines if "loss" in json.loads(line)]
