"""Attention is told where to look: small where it looks there, of each answer its own, and it is learned."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from dragonfly.data import ImageRef, Message, Part, Sample, write_manifest
from dragonfly.research.curriculum.attention_supervision import AttentionSupervision, attention_supervision_loss
from dragonfly.training import run
from tests import tiny
from tests.research.curriculum import recipes
from tests.training import small

# tokens: two sub-images, then "w?" and an answer of each of two segments
PLACEHOLDERS = torch.tensor([[True, True, False, False, False, False, False, False]])
SEGMENTS = torch.tensor([[0, 0, 1, 1, 1, 2, 2, 2]])
TARGETS = torch.tensor([[1, 2, 1, 0, 0, 2, 0, 0]])  # segment 1: the first sub-image and its first word; segment 2: the second
LABELS = torch.tensor([[-100, -100, -100, -100, 7, -100, -100, 8]])
OPTIONS = AttentionSupervision(words=0, places=1, heads=1)


def looking(first: int, second: int) -> torch.Tensor:
    """(1, 2, 8, 8): the positions that say the answers, 3 and 6, look at these tokens; the second head elsewhere."""
    paid = torch.full((1, 2, 8, 8), 1 / 8)
    paid[0, 0, 3], paid[0, 0, 6] = torch.eye(8)[first], torch.eye(8)[second]
    return paid


def loss(words: torch.Tensor, places: torch.Tensor) -> float:
    return float(attention_supervision_loss(OPTIONS, [words, places], TARGETS, SEGMENTS, LABELS, PLACEHOLDERS))


def test_nothing_is_lost_where_each_answer_looks_at_its_own() -> None:
    assert loss(looking(2, 5), looking(0, 1)) == pytest.approx(0.0, abs=1e-6)


def test_another_answers_words_and_places_do_not_count() -> None:
    nothing = -math.log(1e-4)
    assert loss(looking(2, 5), looking(1, 0)) == pytest.approx(nothing / 2)
    assert loss(looking(5, 2), looking(0, 1)) == pytest.approx(nothing / 2)
    assert loss(looking(2, 2), looking(0, 1)) == pytest.approx(nothing / 4)


def test_even_attention_loses_what_it_spreads() -> None:
    even = torch.full((1, 2, 8, 8), 1 / 8)
    assert loss(even, even) == pytest.approx(math.log(8))


def test_an_answer_looks_at_its_patches_in_a_layer_of_its_own() -> None:
    options = AttentionSupervision(words=0, places=1, answer=2, heads=1)
    patches = torch.tensor([[2, 1, 0, 0, 0, 0, 0, 0]])  # of segment 1 the second token, of segment 2 the first
    given = (TARGETS, SEGMENTS, LABELS, PLACEHOLDERS, patches)
    layers = [looking(2, 5), looking(0, 1)]
    assert float(attention_supervision_loss(options, [*layers, looking(1, 0)], *given)) == pytest.approx(0.0, abs=1e-6)
    wrong = float(attention_supervision_loss(options, [*layers, looking(0, 1)], *given))
    assert wrong == pytest.approx(-math.log(1e-4) / 3)


def test_an_answer_about_nothing_in_the_image_is_not_told() -> None:
    none = torch.zeros_like(TARGETS)
    assert float(attention_supervision_loss(OPTIONS, [looking(2, 5)] * 2, none, SEGMENTS, LABELS, PLACEHOLDERS)) == 0.0


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attention_supervision")
    small.checkpoint(folder / "base")
    tiny.image(96, 64, seed=0).save(folder / "page.png")
    write_manifest((row(folder, number) for number in range(6)), folder / "manifest")
    return folder


def row(folder: Path, number: int) -> Sample:
    """A question about a sub-image of the high level; the answer says nothing of it."""
    left, top = 16.0 * number, 16.0
    return Sample(
        id=str(number),
        source="made",
        images=(ImageRef(path=str(folder / "page.png")),),
        messages=(
            Message("user", (Part("image"), Part("text", f"question {number}?"))),
            Message("assistant", (Part("text", "red"),)),
        ),
        evidence=(((left + 1, top + 1, left + 15, top + 15),),),
        meta={"about": [[str(number)]]},
    )


def supervised(**options: Any) -> dict[str, Any]:
    return {"name": "shared_prefix", "attention_supervision": options}


def recipe(shared: Path, name: str, **changes: Any) -> Any:
    values: dict[str, Any] = {
        "data": {
            "train": [{"name": "rows", "path": str(shared / "manifest"), "group_questions": 6}],
            "audit": 2,
        },
        "model": {"selection": {"policy": "all"}},
        "trainable": ["language_model.layers"],
        "objective": supervised(words=0, places=1, heads=1, weight=10.0),
        "attention": {"text_config": "eager"},
        "optim": {"learning_rate": 0.02},
        "batch": {"global_size": 1, "per_device": 1},
        "steps": 20,
        "output": str(shared / name),
        **changes,
    }
    return recipes.recipe(shared, **values)


def losses(folder: Path) -> list[float]:
    entries = [json.loads(line) for line in (folder / "loss.jsonl").read_text(encoding="utf-8").splitlines()]
    return [entry["loss"] for entry in entries if "loss" in entry]


def test_it_is_learned_beside_the_answers(shared: Path) -> None:
    told = losses(run(recipe(shared, "told")))
    alone = losses(run(recipe(shared, "shared_prefix", objective="shared_prefix")))
    assert told[0] > alone[0] + 10  # the loss of attention that is spread is there
    assert told[-1] < told[0] / 2


def test_sdpa_is_told_as_eager_is(shared: Path) -> None:
    """It gives the weights of the supervised heads alone."""
    told = {"objective": supervised(words=0, places=1, answer=1, heads=2, weight=10.0)}
    every = losses(run(recipe(shared, "by-eager", **told)))
    some = losses(run(recipe(shared, "by-sdpa", attention=None, **told)))
    assert some == pytest.approx(every, rel=1e-3) and len(some) > 2
    assert "supervised" not in (shared / "by-sdpa" / "config.json").read_text(encoding="utf-8")


def test_what_cannot_point_is_refused(shared: Path) -> None:
    with pytest.raises(
        ValueError, match="attention_supervision names layers 0 and 7 and 1 heads; the language model has layers 0 to 1 of"
    ):
        run(recipe(shared, "never", objective=supervised(places=7, heads=1)))
    with pytest.raises(ValueError, match=r"must see every sub-image or the oracle.s: set model\.selection\.policy=all"):
        run(recipe(shared, "never-either", model={}))
    with pytest.raises(
        ValueError, match="attention_supervision reads the language model's attention, which flash_attention_2 does not give; set"
    ):
        recipe(shared, "never", attention={"text_config": "flash_attention_2"})
    with pytest.raises(ValueError, match="with group_by_length=false and the objective 'answer' or 'text'"):
        recipe(shared, "never", data={"train": [{"name": "rows", "path": str(shared / "manifest")}], "streaming": True})
