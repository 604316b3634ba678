"""The query projection learned from evidence: it finds a relation that is there under what all share, and changes
nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dragonfly.cli import run
from dragonfly.inference import load
from dragonfly.models.query_projection import QueryProjection
from dragonfly.training.query_calibration import Asked, _fit, _recall, learn_query_projection, read_located
from dragonfly.vision.scoring import in_context
from tests.training import small

HIGH, HIDDEN = 12, 16


def hidden_relation(images: int, loud: float = 30.0) -> tuple[torch.Tensor, Asked]:
    """Each sub-image shows one of ten things, turned and under a component that all share; a question asks for one thing."""
    generator = torch.Generator().manual_seed(0)
    words = torch.randn(10, HIDDEN, generator=generator)
    turn = torch.linalg.qr(torch.randn(HIDDEN, HIDDEN, generator=generator))[0]
    shown = torch.stack([torch.randperm(HIGH, generator=generator) for _ in range(images)])  # 10 and 11 are blanks
    things = torch.cat([words @ turn, torch.zeros(2, HIDDEN)])
    blank = torch.randn(HIDDEN, generator=generator)
    strength = torch.rand(images, HIGH, 1, generator=generator)
    high = things[shown] + loud * strength * blank
    asked = torch.randint(10, (images, 6), generator=generator)
    places = shown[:, None, :] == asked[:, :, None]
    image = torch.arange(images).repeat_interleave(6)
    return in_context(high, None), Asked(
        words[asked].flatten(0, 1), image, places.flatten(0, 1).float() * 7.0, places.flatten(0, 1)
    )


def test_it_finds_what_a_question_asks_for_under_a_loud_common_component() -> None:
    high, asked = hidden_relation(400)
    chosen = asked.image < 300
    query_projection = QueryProjection(HIDDEN)
    before = _recall(query_projection, high, asked, ~chosen, keep=1)
    weight = _fit(high, asked, chosen, steps=400, batch=128, seed=0)
    query_projection.weight.data.copy_(weight)
    assert before < 0.3  # chance is one of twelve
    assert _recall(query_projection, high, asked, ~chosen, keep=1) > 0.95
    assert torch.equal(weight, _fit(high, asked, chosen, steps=400, batch=128, seed=0))


def test_in_context_it_finds_what_stands_beside_what_a_question_names() -> None:
    """Values look alike: only the key in the other sub-image of its row tells which one is asked for."""
    generator = torch.Generator().manual_seed(0)
    images, rows = 300, HIGH // 2
    positions = torch.tensor([[row, column] for row in range(rows) for column in (0, 1)]).expand(images, HIGH, 2)
    words = torch.randn(rows, HIDDEN, generator=generator)
    order = torch.stack([torch.randperm(rows, generator=generator) for _ in range(images)])
    high = torch.stack([words[order], torch.randn(HIDDEN, generator=generator).expand(images, rows, HIDDEN)], dim=2).flatten(1, 2)
    image = torch.arange(images).repeat_interleave(rows)
    value = (order.argsort(dim=1) * 2 + 1).flatten()  # of every word in turn, the sub-image to its right
    places = torch.nn.functional.one_hot(value, HIGH).bool()
    asked = Asked(words.repeat(images, 1), image, places.float(), places)
    learned = asked.image < 200
    recalls = []
    for seen in (in_context(high, None), in_context(high, positions)):
        query_projection = QueryProjection(HIDDEN, seen.shape[-1])
        query_projection.weight.data.copy_(_fit(seen, asked, learned, steps=300, batch=128, seed=0))
        recalls.append(_recall(query_projection, seen, asked, ~learned, keep=1))
    assert recalls[0] < 0.35 and recalls[1] > 0.95  # one of six values by chance


def test_recall_wants_all_of_the_evidence() -> None:
    high, asked = hidden_relation(40, loud=0.0)
    asked.places[:, 0] = True  # a second place, which the score does not know of
    every = asked.image >= 0
    query_projection = QueryProjection(HIDDEN)
    assert _recall(query_projection, high, asked, every, keep=HIGH) == 1.0
    both = asked.places.sum(dim=1) == 2
    assert _recall(query_projection, high, asked, every & both, keep=1) == 0.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("map")
    small.checkpoint(folder / "base")
    assert run(["synth", "--spec", "nano", "--split", "train", "--n", "20", "--seed", "1", "-o", str(folder / "data")]) == 0
    return folder


QUESTION = ["model.selection.policy=question", "model.selection.scope=image", "model.selection.keep=2"]


@pytest.mark.slow
def test_the_command_changes_the_map_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = [word for override in QUESTION for word in ("--set", override)]
    target = folder / "asked"
    assert run(["lab", "calibrate", str(folder / "base"), str(folder / "data"), *sets, "-o", str(target)]) == 0
    assert "on 20 images" in capsys.readouterr().out
    model: Any = load(target, device="cpu").model
    assert model.config.spec.selection.policy == "question" and model.config.spec.selection.keep == 2
    assert model.model.query_projection.learned()
    first = load(folder / "base", device="cpu").model.state_dict()
    now = {name: tensor for name, tensor in model.state_dict().items() if "query_projection" not in name}
    assert now.keys() == first.keys() and all(torch.equal(tensor, first[name]) for name, tensor in now.items())


def test_too_few_images_are_refused(folder: Path) -> None:
    engine = load(folder / "base", device="cpu", overrides=QUESTION)
    with pytest.raises(ValueError, match="at least 20 images of one number of high sub-images; got"):
        learn_query_projection(engine, read_located(folder / "data")[:40])
