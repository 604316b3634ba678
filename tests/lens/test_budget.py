"""Tokens are the processors' own counts, the budget is never exceeded, and neither is the plan."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dragonfly.lens import METHODS, Lens
from dragonfly.lens.grid import Block
from dragonfly.lens.lens import _Asking
from tests.lens.family_models import FAMILIES
from tests.lens.seen import noise, spy

PROMPTS = ("What is written on the sign?", "How many?", "Which\nof these\nis it?", "是什么？ " * 20)
ZOOMING = ("residual", "attention", "search", "gate")


def sizes(count: int) -> Iterable[tuple[int, int]]:
    """(height, width) from 1 to 16,384 pixels a side, evenly spread over the logarithms; the extremes first."""
    edges = (1, 27, 28, 29, 57, 16_384)
    yield from ((height, width) for height in edges for width in edges)
    rng = np.random.default_rng(0)
    for height, width in np.exp(rng.uniform(0, np.log(16_384), (count - 36, 2))):
        yield int(height), int(width)


def check_plans(pair: tuple[Any, Any], count: int) -> None:
    lenses = [Lens(pair, method) for method in ZOOMING]
    refused = 0
    for number, size in enumerate(sizes(count)):
        for lens, prompt in zip(lenses, PROMPTS, strict=True):
            budget = (256, 600, 1024, 5000)[number % 4]
            try:
                plan = lens.plan(size, prompt, max_tokens=budget, max_calls=4)
            except ValueError:
                refused += 1
                continue
            last = plan.calls[-1]
            assert plan.tokens <= budget
            assert len(plan.calls) <= 4
            assert last.purpose == "answer"
            whole = lens.reader.tokens(plan.whole_size, plan.whole_options)
            assert whole + plan.close_ups * plan.close_up_tokens <= last.tokens
    assert refused < 0.1 * 4 * count


def test_no_plan_exceeds_its_budget(pair: tuple[Any, Any]) -> None:
    check_plans(pair, 150)


@pytest.mark.slow
def test_no_plan_exceeds_its_budget_over_ten_thousand_sizes(pair: tuple[Any, Any]) -> None:
    check_plans(pair, 10_000)


def test_counts_are_what_the_processor_makes(pair: tuple[Any, Any], family: str) -> None:
    """Idefics3 counts the tokens around its tiles too, which have no ids of their own: there the prompt's length is compared."""
    lens = Lens(pair, "residual")
    reader, processor = lens.reader, lens.reader.processor
    for shown in [(56, 56), (28, 28), (300, 41), (57, 400), (333, 333), (640, 480)]:
        for options in (reader.family.close, *reader.family.whole):
            image = Image.new("RGB", (shown[1], shown[0]), (90, 120, 30))
            inputs = reader._inputs([("", image)] * 2, "Which?", options, 2 * reader.tokens(shown, options))
            if family == "idefics3":
                bare = len(processor.tokenizer(reader._text(["", ""], "Which?"), add_special_tokens=False)["input_ids"]) - 2
                made = inputs["input_ids"].shape[1] - bare
            else:
                made = int(torch.isin(inputs["input_ids"], torch.tensor(processor.image_token_ids)).sum())
            assert made == 2 * reader.tokens(shown, options), (shown, options)


def test_any_block_of_cells_fits_a_close_up(pair: tuple[Any, Any], budget: int) -> None:
    """Whatever a method chooses, however odd its shape."""
    lens, rng = Lens(pair, "residual"), np.random.default_rng(1)
    for size in ((1700, 1900), (128, 9000), (9000, 190), (8192, 8192)):
        plan = lens.plan(size, max_tokens=budget)
        assert plan.grid is not None
        for _ in range(50):
            rows, columns = (sorted(rng.choice(count + 1, 2, replace=False)) for count in plan.grid.cells)
            block = Block(int(rows[0]), int(columns[0]), int(rows[1]), int(columns[1]))
            view = _close_up(lens, plan, block)
            assert lens.reader.tokens(view.size) <= plan.close_up_tokens, (size, block)


def _close_up(lens: Lens, plan: Any, block: Block) -> Any:
    asking = object.__new__(_Asking)
    asking.grid, asking.plan, asking.reader = plan.grid, plan, lens.reader
    return asking._close_up(block)


def test_every_method_answers_at_the_cost_that_was_planned(pair: tuple[Any, Any], budget: int) -> None:
    evidence = (811.5, 411.0, 842.0, 431.25)
    for method in METHODS:
        lens = Lens(pair, method, threshold=1.0)
        calls = spy(lens)
        plan = lens.plan((917, 1223), "Where?", max_tokens=budget, max_calls=4)
        answer = lens.ask(noise(1223, 917), "Where?", max_tokens=budget, evidence=[evidence], max_new_tokens=2)
        assert answer.method == method
        assert len(answer.token_ids) in (1, 2)
        assert 0 < answer.confidence <= 1
        assert answer.calls == len(calls) <= len(plan.calls) <= 4
        assert sum(call.tokens for call in calls) <= answer.image_tokens <= plan.tokens <= budget
        assert (len(answer.views) == 1) is (method == "downsample")
        if method == "oracle":
            left, top, right, bottom = answer.views[1].box
            assert left <= evidence[0] <= evidence[2] <= right
            assert top <= evidence[1] <= evidence[3] <= bottom


def test_cost_follows_the_budget_and_not_the_pixels(pair: tuple[Any, Any], budget: int) -> None:
    """From 1K to 8K and beyond: as many views and tokens, no more pixels handed over, a bounded number of cells."""
    lens = Lens(pair, "residual")
    plans = [lens.plan((side, side), max_tokens=budget) for side in (1024, 2048, 8192, 100_000)]
    assert len({plan.close_ups for plan in plans}) == 1
    assert len({plan.tokens for plan in plans}) == 1
    for plan in plans:
        assert plan.grid is not None
        assert plan.grid.cells[0] * plan.grid.cells[1] <= 4096
        assert max(plan.whole_size) <= 4096


@pytest.mark.parametrize(
    ("method", "tokens", "calls", "words"),
    [
        ("residual", 0, 4, "max_tokens must be an integer of at least 1, got 0"),
        ("residual", 1024, 0, "max_calls must be an integer of at least 1, got 0"),
        ("attention", 1024, 2, "method 'attention' needs 3 calls and max_calls is 2; allow more"),
        ("residual", 3, 4, "max_tokens 3 is too few for .*: the smallest view of this image takes 18 tokens"),
        (
            "search",
            30,
            4,
            "max_tokens 30 is too few for method 'search' .* takes at least 108 tokens over 1 views .* 5 close-ups",
        ),
    ],
)
def test_too_small_a_budget_is_one_line(method: str, tokens: int, calls: int, words: str) -> None:
    lens = Lens(FAMILIES["internvl"](), method)
    lens.reader.count.cache_clear()  # type: ignore[attr-defined]
    lens.reader.processor.image_seq_length = 16
    with pytest.raises(ValueError, match=words) as raised:
        lens.plan((600, 600), max_tokens=tokens, max_calls=calls)
    assert "\n" not in str(raised.value)
