"""The curriculum's objectives over a tower cache: the losses of a run without, and evidence where it is learned from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dragonfly.data import write_manifest
from dragonfly.training import run
from tests.research.curriculum import recipes
from tests.training import small
from tests.training.test_query_projection import sample

QUESTION: dict[str, Any] = {"selection": {"policy": "question", "scope": "image", "keep": 24}}
STAGES: dict[str, dict[str, Any]] = {
    "shared_prefix": {"objective": "shared_prefix", "trainable": ["language_model"]},
    "attention_choice": {
        "objective": "attention_choice",
        "trainable": ["query_projection"],
        "model": QUESTION,
        "attention": {"text_config": "eager"},
    },
    "evidence": {"trainable": ["query_projection"], "evidence_weight": 1.0, "model": {"selection": {"policy": "question"}}},
}


@pytest.mark.parametrize("name", list(STAGES))
def test_losses_are_those_of_a_run_without(tmp_path: Path, name: str) -> None:
    small.checkpoint(tmp_path / "base")
    (tmp_path / "data").mkdir()
    write_manifest((sample(tmp_path / "data", index) for index in range(4)), tmp_path / "data" / "manifest")

    def losses(output: str, **options: Any) -> list[float]:
        train = [{"name": "rows", "path": str(tmp_path / "data" / "manifest")}]
        data = {"train": train, "audit": 4, **options}
        return small.losses(run(recipes.recipe(tmp_path, data=data, steps=2, output=str(tmp_path / output), **STAGES[name])))

    expected = losses("plain")
    assert losses("cached", tower_cache=str(tmp_path / "tower")) == pytest.approx(expected, rel=1e-6)
    assert len(list((tmp_path / "tower").rglob("*.safetensors"))) == 3


def test_supervised_attention_looks_at_images(tmp_path: Path) -> None:
    objective = {"name": "shared_prefix", "attention_supervision": {"words": 0, "places": 1}}
    data = {"train": [{"name": "rows", "path": "rows.json"}], "tower_cache": "tower"}
    with pytest.raises(ValueError, match=r"data\.tower_cache opens none; leave one out"):
        recipes.recipe(tmp_path, data=data, objective=objective, attention={"text_config": "eager"})
