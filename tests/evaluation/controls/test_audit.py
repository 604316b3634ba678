"""The audit exposes an explainer that only decorates, and passes one that tells the truth."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragonfly.evaluation import Question, find_task
from dragonfly.evaluation.controls.audit import Request, audit
from dragonfly.evaluation.controls.subject import EngineSubject, Simple, Spot
from dragonfly.evaluation.controls.told import MATTERS, NOT_MORE, UNTOLD
from dragonfly.inference import Engine, Row
from dragonfly.vision.layout import Box
from tests import tiny

WIDTH, HEIGHT, SIDE = 48, 32, 8  # 6 x 4 cells
TASK = replace(find_task("jsonl:none.jsonl"), prompt="{question}")


def cell(place: int) -> Box:
    row, col = divmod(place % 24, 6)
    return (SIDE * col, SIDE * row, SIDE * (col + 1), SIDE * (row + 1))


def page(number: int) -> bytes:
    """Grey, with a square of its own brightness in the cell that the question asks about."""
    pixels = np.full((HEIGHT, WIDTH, 3), 128, dtype=np.uint8)
    left, top, right, bottom = map(int, cell(number))
    pixels[top:bottom, left:right] = 7 * (number % 17)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def questions(count: int) -> list[Question]:
    return [
        Question(f"q{n}", f"{n % 24}", (str(7 * (n % 17)),), (page(n),), group=f"g{n}", evidence=(cell(n),)) for n in range(count)
    ]


def reads_its_cell(images: Sequence[Image.Image], question: str) -> str:
    """The brightness in the middle of the cell that the question names; all else of the image means nothing to it."""
    if not images:
        return "nothing to see"
    left, top, _, _ = map(int, cell(int(question)))
    return str(images[0].getpixel((left + SIDE // 2, top + SIDE // 2))[0])  # pyright: ignore[reportIndexIssue, reportOptionalSubscript]


def looks_at(place: Callable[[int], int]) -> Callable[[Sequence[Image.Image], str, str], list[Spot]]:
    return lambda images, question, answer: [Spot(0, cell(place(int(question))))]


ORACLE = Simple(reads_its_cell, looks_at(lambda asked: asked))
DECORATIVE = Simple(reads_its_cell, looks_at(lambda asked: asked * 5 + 7 if asked % 24 != (asked * 5 + 7) % 24 else asked + 1))


def ask(subject: Any, some: Sequence[Question], **options: Any) -> dict[str, Any]:
    return audit(subject, Request(TASK, some, **options))


@pytest.fixture(scope="module")
def of_the_oracle() -> dict[str, Any]:
    return ask(ORACLE, questions(80), curves=True)


def test_the_oracle_passes(of_the_oracle: dict[str, Any]) -> None:
    looked = of_the_oracle["evidence"]["looked"]
    assert looked["verdict"] == MATTERS
    changed = {name: one["changed"]["value"] for name, one in looked["controls"].items()}
    assert changed["deleted"] == 1 and changed["only"] == 0 and changed["random_deleted"] < 0.05
    assert changed["random_only"] > 0.9 and changed["swapped"] > 0.8
    assert looked["needed"]["low"] > 0.9 and looked["needed"]["p"] < 0.01 and looked["sufficient"]["low"] > 0.8
    assert looked["area"] == pytest.approx(1 / 24, abs=1e-6) and looked["random_overlap"] < 1 / 24
    assert looked["sentence"].startswith(
        "Removing what it looked at changes 100.0 % of answers [100.0, 100.0], removing a random "
    )
    assert "(n = 80 questions about 80 images)." in looked["sentence"]
    assert looked["verdict_sentence"].startswith("What it looked at matters more than chance (difference ")


def test_the_decorative_explainer_is_exposed() -> None:
    found = ask(DECORATIVE, questions(80))["evidence"]
    assert found["looked"]["verdict"] == NOT_MORE and found["looked"]["controls"]["deleted"]["changed"]["value"] == 0
    assert found["looked"]["verdict_sentence"].startswith("What it looked at does not matter more than chance (difference ")
    assert found["annotated"]["verdict"] == MATTERS  # the same answers do depend on what the data call evidence


def test_a_model_that_sees_nothing_passes_nothing() -> None:
    found = ask(Simple(lambda images, question: "yes", looks_at(lambda asked: asked)), questions(80))
    assert {name: one["changed"]["value"] for name, one in found["controls"].items()} == dict.fromkeys(
        ("repeated", "blind", "shuffled_image"), 0
    )
    assert {one["verdict"] for one in found["evidence"].values()} == {NOT_MORE}


@pytest.mark.parametrize("subject", [ORACLE, DECORATIVE])
def test_few_images_tell_nothing(subject: Simple) -> None:
    """Three images that all agree have an interval without width."""
    looked = ask(subject, questions(3))["evidence"]["looked"]
    assert looked["verdict"] == UNTOLD and "cannot be told from 3 questions about 3 images" in looked["verdict_sentence"]


def test_a_box_that_is_the_whole_image_is_compared_with_nothing() -> None:
    everything = Simple(reads_its_cell, lambda images, question, answer: [Spot(0, (0, 0, WIDTH, HEIGHT))])
    looked = ask(everything, questions(80))["evidence"]["looked"]
    assert looked["verdict"] == UNTOLD
    assert "cannot be told: a random box of the same area removes 100 % of it too" in looked["verdict_sentence"]


def test_questions_of_one_image_are_no_independent_witnesses() -> None:
    some = [replace(one, group="the image") for one in questions(80)]
    looked = ask(ORACLE, some)["evidence"]["looked"]
    assert looked["verdict"] == UNTOLD and looked["needed"]["p"] is None
    assert "80 questions about 1 image " in looked["verdict_sentence"]


def test_swapped_evidence_is_anothers(of_the_oracle: dict[str, Any]) -> None:
    own = {one["id"]: one["reply"] for one in of_the_oracle["records"]}
    for record in of_the_oracle["records"]:
        assert record["replies"]["looked_swapped"] in own.values()


def test_curves_fall_where_the_evidence_goes(of_the_oracle: dict[str, Any]) -> None:
    curves = of_the_oracle["evidence"]["looked"]["curves"]
    deletion, insertion = curves["deletion"], curves["insertion"]
    assert [one["value"] for one in deletion["looked"]] == [1, 0, 0, 0, 0, 0]  # a ranking of one box: every share is all of it
    assert [one["value"] for one in insertion["looked"]][1:] == [1, 1, 1, 1, 1]
    assert deletion["area"]["difference"]["high"] < -0.8 and insertion["area"]["difference"]["low"] > 0.8


def test_neither_order_nor_company_changes_anything(of_the_oracle: dict[str, Any]) -> None:
    some = questions(80)
    random.Random(5).shuffle(some)
    assert ask(ORACLE, some, curves=True) == of_the_oracle


def test_another_seed_draws_other_places() -> None:
    some = questions(4)
    first, second = (ask(ORACLE, some, seed=seed)["records"] for seed in (0, 1))
    assert [one["looked"]["random_shift"] for one in first] != [one["looked"]["random_shift"] for one in second]
    assert [one["looked"]["spots"] for one in first] == [one["looked"]["spots"] for one in second]


def test_what_cannot_be_asked_is_named_and_what_has_no_evidence_is_not_counted() -> None:
    some = questions(6)
    some[1] = replace(some[1], images=("gone.png",))
    some[2] = replace(some[2], images=())
    some[3] = replace(some[3], evidence=())
    some[4] = replace(some[4], evidence=((900, 900, 910, 910),))
    found = ask(ORACLE, some)
    assert (found["questions"], found["asked"], found["without_image"]) == (6, 4, 1)
    (broken,) = found["broken"]
    assert broken["id"] == "q1" and "gone.png" in broken["error"]
    assert found["evidence"]["annotated"]["questions"] == 2 and found["evidence"]["looked"]["questions"] == 4


def test_nothing_to_ask_is_one_line() -> None:
    with pytest.raises(ValueError, match="none of 2 questions could be asked; none has an image"):
        ask(ORACLE, [replace(one, images=()) for one in questions(2)])


def test_long_answers_change_by_words() -> None:
    def ask_long(images: Sequence[Image.Image], question: str) -> str:
        return f"the square that is asked about here has the brightness {reads_its_cell(images, question)}"

    found = ask(Simple(ask_long, ORACLE.boxes), questions(80))
    looked = found["evidence"]["looked"]
    assert found["unit"] == "words" and found["metric"] is None
    assert looked["controls"]["deleted"]["changed"]["value"] == pytest.approx(1 / 9, abs=0.03)  # one word of nine
    assert looked["verdict"] == MATTERS and "% of the words of its answers" in looked["sentence"]


def test_the_score_under_each_control_is_the_tasks_own(of_the_oracle: dict[str, Any]) -> None:
    assert of_the_oracle["metric"] == "exact_match" and of_the_oracle["score"]["value"] == 1
    assert of_the_oracle["evidence"]["annotated"]["controls"]["deleted"]["score"]["value"] == 0
    assert of_the_oracle["controls"]["blind"]["score"]["value"] == 0


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(tiny.model(), tiny.processor())


@pytest.fixture
def scans() -> list[Question]:
    def png(seed: int) -> bytes:
        file = io.BytesIO()
        tiny.image(96, 64, seed=seed).save(file, "PNG")
        return file.getvalue()

    return [Question(f"s{n}", f"What is {n}?", ("x",), tuple(map(png, range(n, n + 1 + n % 2))), group=f"s{n}") for n in range(2)]


def test_an_engine_looks_at_what_contributes_or_at_what_it_keeps(engine: Engine, scans: list[Question]) -> None:
    rows = [Row(list(one.images), one.text) for one in scans]
    why, kept = EngineSubject(engine, max_new_tokens=2), EngineSubject(engine, "kept", max_new_tokens=2)
    assert why.looked == "why"  # v1 keeps half of the image, which is no place
    for row, reply in zip(rows, why.look(rows), strict=True):
        places = [(one.box[2] - one.box[0]) * (one.box[3] - one.box[1]) for one in reply.looked]
        assert sum(places) <= 96 * 64 * len(row.images) / 4 and reply.looked == reply.ranking[: len(reply.looked)]
    answers = engine.ask_batch(rows, max_new_tokens=2)
    for answer, reply in zip(answers, kept.look(rows), strict=True):
        chosen = {(n, one.box) for n, items in enumerate(answer.selections) for one in items if one.kept}
        assert {(one.image, one.box) for one in reply.looked} == chosen and reply.text == answer.text
        assert len(reply.ranking) == 24 * len(answer.selections)
        best = max((one for items in answer.selections for one in items if one.kept), key=lambda one: one.score or 0)
        assert reply.ranking[0].box == best.box


def test_an_engine_answers_alike_in_any_batch_and_order(engine: Engine, scans: list[Question]) -> None:
    alone = ask(EngineSubject(engine, "kept", batch_size=1, max_new_tokens=2), scans)
    together = ask(EngineSubject(engine, "kept", batch_size=4, max_new_tokens=2), scans[::-1])
    assert alone == together
    assert alone["controls"]["repeated"]["changed"]["value"] == 0
    assert alone["controls"]["blind"]["changed"]["value"] > 0
