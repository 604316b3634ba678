"""Questions behind the same views are trained as if each was asked alone, and only the language model's layers learn."""

import random
from typing import Any

import pytest
import torch

from dragonfly.data import IGNORE_INDEX
from dragonfly.research.close_reader.examples import Example, Target, examples
from dragonfly.research.close_reader.model import close_reader
from dragonfly.research.close_reader.pages import pages
from dragonfly.research.close_reader.prompts import Prompts
from dragonfly.research.close_reader.training import Schedule, answer_logits, collated, places, right_by_kind, train
from dragonfly.data import ImageRef, Message, Part, Sample
from dragonfly.inference.loading import bundled_model

from .conftest import Drawn


@pytest.fixture
def rows(prompts: Prompts, page: Drawn) -> list[Example]:
    return [row for seed in range(4) for row in examples(prompts, page, random.Random(seed))][:3]


@torch.inference_mode()
def test_every_question_has_the_logits_that_it_has_alone(pair: tuple[Any, Any], rows: list[Example]) -> None:
    model, _ = pair
    logits, labels, _ = answer_logits(model, collated(model, rows))
    expected, answers = list[torch.Tensor](), list[int]()
    for row in rows:
        for tail, count in zip(row.tails, row.answers, strict=True):
            ids = torch.cat([row.inputs["input_ids"][0, : row.shared], torch.tensor(tail)])[None]
            views = {name: row.inputs[name] for name in ("pixel_values", "image_sizes")}
            expected.append(model(input_ids=ids, **views).logits[0, -count - 1 : -1])
            answers += tail[-count:]
    assert labels.tolist() == answers
    torch.testing.assert_close(logits, torch.cat(expected), atol=2e-4, rtol=1e-3)


def test_attention_is_told_the_views_of_each_question() -> None:
    image = torch.tensor([0, 1, 1, 0, 1, 1, 1, 0, 0], dtype=torch.bool)
    targets = [Target("a", "b", "shown", (1,)), Target("c", "d", "hidden"), Target("e", "f", "shown", (0, 1))]
    row = Example({}, 7, [[1], [2], [3]], [1, 1, 1], targets)
    assert places(image, row).tolist() == [0, 4, 4, 0, 5, 5, 5, 0, 0]


def test_a_rate_rises_and_falls_to_nothing() -> None:
    schedule = Schedule(100, warmup=10)
    assert [round(schedule.rate_at(step), 2) for step in (0, 9, 55, 100)] == [0.1, 1.0, 0.5, 0.0]


def test_training_learns_answers_and_leaves_what_makes_views(page: Drawn) -> None:
    model, processor = close_reader(bundled_model())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    losses: list[float] = []
    train(model, processor, [page], Schedule(12, batch=2, rate=2e-3, warmup=2), report=lambda _, loss: losses.append(loss))
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed and all(".language_model.layers." in name or name.endswith("language_model.norm.weight") for name in changed)
    assert len(losses) == 12 and sum(losses[-4:]) < sum(losses[:4])


def test_what_is_right_is_counted_by_kind(pair: tuple[Any, Any], rows: list[Example]) -> None:
    found = right_by_kind(pair[0], rows)
    kinds = [target.kind for row in rows for target in row.targets]
    assert {kind: count for kind, (_, count) in found.items()} == {kind: kinds.count(kind) for kind in set(kinds)}
    assert all(0 <= share <= 1 for share, _ in found.values())
    labels = collated(pair[0], rows).labels
    assert int((labels != IGNORE_INDEX).sum()) == sum(count for row in rows for count in row.answers)


def sample(number: int, path: str, kind: str, boxes: tuple[tuple[float, float, float, float], ...]) -> Sample:
    messages = (Message("user", (Part("image"), Part("text", f"q{number}"))), Message("assistant", (Part("text", "a"),)))
    return Sample(str(number), "here", (ImageRef(path=path),), messages, (boxes,), {"kind": kind})


def test_pages_are_rows_of_one_image_of_the_kinds_that_are_learned() -> None:
    box = (1.0, 2.0, 3.0, 4.0)
    rows = [
        sample(0, "one.jpg", "read", (box,)),
        sample(1, "one.jpg", "count", (box,)),
        sample(2, "one.jpg", "read", (box, box)),
        sample(3, "one.jpg", "absent", ()),
        sample(4, "two.jpg", "describe", ()),
        sample(5, "three.jpg", "look", (box,)),
    ]
    found = list(pages(rows))
    assert [page.path.name for page in found] == ["one.jpg", "three.jpg"]
    assert [(one.text, one.box) for one in found[0].questions] == [("q0", box), ("q3", None)]
    bad = Sample("bad", "here", (), rows[0].messages, (), {"kind": "read"})
    with pytest.raises(ValueError, match="row 'bad' has 0 images"):
        list(pages([bad]))
