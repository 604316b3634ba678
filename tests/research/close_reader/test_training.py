"""Questions behind the same views are trained as if each was asked alone, and only the language model's layers learn."""

import random
from typing import Any

import pytest
import torch

from dragonfly.data import IGNORE_INDEX
from dragonfly.installation import bundled_model
from dragonfly.lens.grid import Block, Grid
from dragonfly.research.close_reader.examples import Example, Target, examples
from dragonfly.research.close_reader.model import close_reader
from dragonfly.research.close_reader.pages import LEARNED, READ, Page, pages
from dragonfly.research.close_reader.prompts import Prompts, share
from dragonfly.research.close_reader.training import Schedule, answer_logits, collated, places, right_by_kind, train
from dragonfly.vision.layout import Box


@pytest.fixture
def rows(prompts: Prompts, page: Page) -> list[Example]:
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


def test_training_learns_answers_and_leaves_what_makes_views(page: Page) -> None:
    model, processor = close_reader(bundled_model())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rows = [row for seed in range(12) for row in examples(Prompts(model, processor), page, random.Random(seed))]
    steps: list[int] = []
    _, known = shown(model, rows)
    train(model, processor, [page], Schedule(24, batch=2, rate=5e-4, warmup=2), report=lambda step, _: steps.append(step))
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed and all(".language_model.layers." in name or name.endswith("language_model.norm.weight") for name in changed)
    assert steps == list(range(24))
    count, learned = shown(model, rows)
    assert learned > known + 0.1 and count > 10


def shown(model: Any, rows: list[Example]) -> tuple[int, float]:
    share, count = right_by_kind(model, rows)["shown"]
    return count, share


def test_what_is_right_is_counted_by_kind(pair: tuple[Any, Any], rows: list[Example]) -> None:
    found = right_by_kind(pair[0], rows)
    kinds = [target.kind for row in rows for target in row.targets]
    assert {kind: count for kind, (_, count) in found.items()} == {kind: kinds.count(kind) for kind in set(kinds)}
    assert all(0 <= share <= 1 for share, _ in found.values())
    labels = collated(pair[0], rows).labels
    assert int((labels != IGNORE_INDEX).sum()) == sum(count for row in rows for count in row.answers)


def test_pages_are_asked_about_one_place_or_none_and_are_the_same_again() -> None:
    for page, again in zip(pages("dev", 3, 4), pages("dev", 3, 4), strict=True):
        assert page.questions == again.questions and page.image.tobytes() == again.image.tobytes()
        assert page.questions and {one.kind for one in page.questions} <= set(LEARNED)
        assert all((one.box is None) == (one.kind == "absent") for one in page.questions)


def test_a_close_up_holds_what_is_asked_about() -> None:
    """So that what a lens shows is what there is to read, whatever its method."""
    held = list[bool]()
    for page in pages("dev", 3, 12, READ):
        grid = Grid.of((page.image.height, page.image.width), 64)
        boxes = [one.box for one in page.questions if one.box]
        held += [share(box, grid.area(near(grid, box))) >= 0.95 for box in boxes]
    assert sum(held) > 0.9 * len(held) > 50


def near(grid: Grid, box: Box) -> Block:
    """The window that shows most of a box."""
    windows = [Block(row, col, row + 2, col + 2) for row in range(grid.cells[0] - 1) for col in range(grid.cells[1] - 1)]
    return max(windows, key=lambda block: share(box, grid.area(block)))
