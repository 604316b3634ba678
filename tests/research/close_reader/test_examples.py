"""What a close reader learns is what a lens would ask it, and the views hold what the answers say they hold."""

import random
from typing import Any

import pytest
import torch

from dragonfly.lens import Lens
from dragonfly.research.close_reader.examples import Example, examples
from dragonfly.research.close_reader.pages import Page
from dragonfly.research.close_reader.prompts import Prompt, Prompts, choosing, share, way
from dragonfly.research.synthetic import ABSENT


def many(prompts: Prompts, page: Page) -> list[Example]:
    return [row for seed in range(60) for row in examples(prompts, page, random.Random(seed))]


class Listening:
    """A reader's processor that keeps the prompts that pass through."""

    def __init__(self, processor: Any) -> None:
        self.processor, self.heard = processor, list[Any]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.processor, name)

    def __call__(self, **given: Any) -> Any:
        found = self.processor(**given)
        self.heard.append({name: found[name].clone() for name in ("input_ids", "pixel_values", "image_sizes")})
        return found


def heard(pair: tuple[Any, Any], method: str, page: Page, question: str, **options: Any) -> list[Any]:
    """What the model itself is given by a lens that really asks it."""
    processor = Listening(pair[1])
    Lens((pair[0], processor), method=method).ask(page.image, question, max_new_tokens=1, **options)
    return processor.heard


def same(pair: tuple[Any, Any], prompts: Prompts, prompt: Prompt, question: str, expected: Any) -> None:
    found = prompts.recorder.inputs(prompt, question)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
    tail = prompts.recorder.tail(prompt, question)
    ids = expected["input_ids"][0].tolist()
    assert ids[-len(tail) :] == tail and ids[-len(tail) - 1] == pair[1].image_token_id


def test_prompts_are_those_that_the_model_is_asked_with(pair: tuple[Any, Any], prompts: Prompts, page: Page) -> None:
    asked = next(one for one in page.questions if one.box)
    assert asked.box
    for question in (asked.text, page.questions[0].text):
        expected = heard(pair, "oracle", page, question, max_tokens=216, evidence=[asked.box])
        same(pair, prompts, prompts.closer(page.image, [asked.box], 216)[0], question, expected[-1])
        expected = heard(pair, "downsample", page, question, max_tokens=120)
        same(pair, prompts, prompts.whole(page.image, 120), question, expected[-1])
    first = heard(pair, "search", page, asked.text, max_tokens=512)[0]
    prompt, _ = prompts.compared(page.image, asked.box, 512)[0]
    same(pair, prompts, prompt, choosing(asked.text), first)


def test_a_search_is_led_to_the_evidence(prompts: Prompts, page: Page) -> None:
    for asked in (one for one in page.questions if one.box):
        assert asked.box
        grid, _ = prompts.grid(page.image, 512)
        assert grid
        steps, numbers = way(grid, asked.box)
        found = prompts.compared(page.image, asked.box, 512)
        assert 1 <= len(found) <= len(steps) and found[0][1] == [grid.area(part) for part in grid.whole.quarters()]
        for (prompt, boxes), number in zip(found, numbers, strict=False):
            shares = [share(asked.box, box) for box in boxes]
            assert shares[number] == max(shares) > 0
            label, image = prompt.views[number]
            left, top, right, bottom = map(int, boxes[number])
            assert label == f"Close-up {number + 1}:"
            assert abs(image.width / image.height - (right - left) / (bottom - top)) < 0.1  # the part in its own shape


def test_answers_say_what_the_views_hold(prompts: Prompts, page: Page) -> None:
    answers, kinds = {one.text: one for one in page.questions}, set[str]()
    for row in many(prompts, page):
        for target in row.targets:
            kinds.add(target.kind)
            one = answers[target.question.partition("\nWhich close-up")[0]]
            if target.kind in ("shown", "whole"):
                assert target.answer == one.answer
            elif target.kind == "hidden":
                assert target.answer == ABSENT and not target.views
            else:
                assert target.answer == str(target.views[0] + 1) and target.question == choosing(one.text)
    assert kinds == {"shown", "hidden", "whole", "compare"}


@pytest.mark.parametrize("count", [1, 3])
def test_evidence_lies_in_the_views_that_a_target_names(prompts: Prompts, page: Page, count: int) -> None:
    """Its pixels, painted over, change exactly those views and the whole image."""
    asked = [one for one in page.questions if one.box][:count]
    boxes = [one.box for one in asked if one.box]
    prompt, areas = prompts.closer(page.image, boxes, 330)
    left, top, right, bottom = map(int, boxes[0])
    painted = page.image.copy()
    painted.paste((255, 0, 255), (left + 1, top + 1, right - 1, bottom - 1))
    again, _ = prompts.closer(painted, boxes, 330)
    both = enumerate(zip(prompt.views, again.views, strict=True))
    changed = {number for number, (one, other) in both if one[1].tobytes() != other[1].tobytes()}
    held = {number for number, area in enumerate(areas, start=1) if share(boxes[0], area) > 0}
    assert changed == {0, *held} and any(share(boxes[0], areas[number - 1]) >= 0.95 for number in held)


def test_rows_end_in_the_answer_and_share_what_comes_before(pair: tuple[Any, Any], prompts: Prompts, page: Page) -> None:
    tokenizer = pair[1].tokenizer
    for row in many(prompts, page)[:10]:
        ids = row.inputs["input_ids"][0].tolist()
        assert ids[row.shared - 1] == pair[1].image_token_id not in ids[row.shared :]
        assert ids[row.shared :] == row.tails[0][: -row.answers[0]]
        for tail, count, target in zip(row.tails, row.answers, row.targets, strict=True):
            assert tokenizer.decode(tail[-count:-1]) == target.answer and tail[-1] == tokenizer.eos_token_id
            assert target.question in tokenizer.decode(tail[:-count])
