"""The best checkpoint: kept by its score, the same when the run was cut off, and looked for without touching the training."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dragonfly.__main__ import main
from dragonfly.config import dump
from dragonfly.models.origin import file_faults, read_origin
from dragonfly.training import run
from dragonfly.training.best import best_step
from tests.training import small

SCORES = {2: 0.25, 4: 0.75, 6: 0.75}


class Scripted:
    """A score that answers by the number of its call, moves chance and switches the model over, as generation does."""

    def __init__(self, values: list[float]) -> None:
        self.values, self.calls = values, 0

    def __call__(self, model: Any, processor: Any) -> float:
        torch.rand(3)
        model.eval()
        self.calls += 1
        return self.values[self.calls - 1]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("best")
    small.recipe(folder)
    return folder


def options(shared: Path, name: str) -> dict[str, Any]:
    return {"save": {"every": 2, "keep": 9}, "best": {"task": "jsonl:x"}, "output": str(shared / name)}


@pytest.fixture(scope="module")
def finished(shared: Path) -> Path:
    return run(small.recipe(shared, **options(shared, "finished")), Scripted(list(SCORES.values())))


def same(one: Path, other: Path) -> bool:
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_earliest_of_the_best_is_the_artefact_and_says_so(finished: Path) -> None:
    about = read_origin(finished)
    assert about is not None and "best.json" not in about["files"] and file_faults(finished, about, hash_below=math.inf) == []
    assert about["best"] == {
        "task": "jsonl:x",
        "metric": None,
        "step": 4,
        "score": 0.75,
        "scores": {str(step): score for step, score in SCORES.items()},
    }
    assert same(finished, finished / "checkpoint-4") and not same(finished, finished / "checkpoint-6")
    assert not list(finished.glob("best-*"))
    assert json.loads((finished / "config.json").read_text())["text_config"]["use_cache"] is True


def test_looking_moves_nothing(shared: Path, finished: Path) -> None:
    plain = run(small.recipe(shared, save={"every": 2, "keep": 9}, output=str(shared / "plain")))
    assert small.losses(plain) == small.losses(finished)
    assert same(plain, finished / "checkpoint-6")


def test_a_run_that_was_cut_off_keeps_the_same_best(shared: Path, finished: Path) -> None:
    class Cut(Exception):
        pass

    class Cutting(Scripted):
        def __call__(self, model: Any, processor: Any) -> float:
            if self.calls == 1:
                raise Cut  # step 4 is saved and not yet scored
            return super().__call__(model, processor)

    recipe = small.recipe(shared, **options(shared, "cut"))
    with pytest.raises(Cut):
        run(recipe, Cutting([0.25]))
    again = Scripted([0.75, 0.75])
    run(recipe, again)
    assert again.calls == 2  # steps 4 and 6; step 2 is not scored again
    assert same(shared / "cut", finished)
    best = [(read_origin(folder) or {})["best"] for folder in (shared / "cut", finished)]
    assert best[0] == best[1]


def test_a_task_by_the_command_line(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"image": f"{index}.png", "question": f"question {index}?", "answer": small.WORDS[index]} for index in range(3)]
    (shared / "data" / "dev.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    chosen = {**options(shared, "command"), "best": {"task": f"jsonl:{shared / 'data' / 'dev.jsonl'}"}, "steps": 2}
    (shared / "recipe.yaml").write_text(dump(small.recipe(shared, **chosen)))
    assert main(["train", str(shared / "recipe.yaml"), "best.metric=nonsense"]) == 2
    assert "has no metric 'nonsense'; it has " in capsys.readouterr().err
    assert main(["train", str(shared / "recipe.yaml")]) == 0
    best = (read_origin(shared / "command") or {})["best"]
    assert best["step"] == 2 and 0.0 <= best["score"] <= 1.0


def test_what_cannot_be_meant(shared: Path) -> None:
    with pytest.raises(ValueError, match=r"best is looked for among checkpoints; give save.every"):
        small.recipe(shared, best={"task": "pope"})
    with pytest.raises(ValueError, match=r"best.every 3 is no multiple of save.every 2"):
        small.recipe(shared, save={"every": 2}, best={"task": "pope", "every": 3})
    with pytest.raises(ValueError, match="run it with `dragonfly train`, or pass score="):
        run(small.recipe(shared, **options(shared, "none")))
    assert best_step({}) is None and best_step({"10": 1.0, "9": 1.0, "2": 0.5}) == 9


def test_an_adapter_is_chosen_too(shared: Path) -> None:
    changes = {**options(shared, "adapter"), "trainable": [], "lora": {"r": 2}, "steps": 4}
    output = run(small.recipe(shared, **changes), Scripted([0.9, 0.1]))
    assert (read_origin(output) or {})["best"]["step"] == 2
    kept, first = (load_file(folder / "adapter_model.safetensors") for folder in (output, output / "checkpoint-2"))
    assert all(torch.equal(kept[name], first[name]) for name in first)
    shutil.rmtree(output)
