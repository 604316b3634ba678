"""The bundled model: it must answer what only the picture tells, and the pictures must be what their module promises."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import dragonfly
from dragonfly.inference import Engine
from dragonfly.inference.locate import bundled_model

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import measure_nano  # pyright: ignore[reportMissingImports]
import nano_scenes  # pyright: ignore[reportMissingImports]

SEED = 11_000_000  # neither trained on nor part of the published measurement
MARGIN = 0.3  # what the picture must add at least; measured on 200 pictures: benchmarks/results/first_nano.json


@pytest.fixture(scope="module")
def engine() -> Engine:
    return dragonfly.load(device="cpu")


def test_it_is_small() -> None:
    assert sum(file.stat().st_size for file in bundled_model().iterdir()) <= 20 * 2**20


def test_the_picture_adds_what_the_model_card_says(engine: Engine) -> None:
    rows = measure_nano.held_out(5, first=SEED)
    asked = measure_nano.conditions(rows)
    share = {}
    for condition in ("picture", "no picture"):
        answers = engine.ask_batch(asked[condition], batch_size=16, max_new_tokens=8)
        share[condition] = sum(a.text == q.answer for a, (_, q) in zip(answers, rows, strict=True)) / len(rows)
    assert len(rows) >= 30
    assert share["picture"] >= share["no picture"] + MARGIN, share


def test_answers_do_not_change_from_run_to_run(engine: Engine) -> None:
    rows = measure_nano.held_out(1, first=SEED)
    asked = measure_nano.conditions(rows)["picture"]
    together = [answer.text for answer in engine.ask_batch(asked, max_new_tokens=8)]
    assert together == [engine.ask(row.images, row.question, max_new_tokens=8).text for row in asked]


@pytest.mark.parametrize("text", ["What number is next to the red circle?", "café ≠ 東京 🐉", "tab\tline\nend  ", "x" * 300])
def test_any_text_survives_its_tokenizer(engine: Engine, text: str) -> None:
    ids = engine.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert engine.tokenizer.decode(ids) == text


def test_numbers_are_read_digit_by_digit(engine: Engine) -> None:
    assert len(engine.tokenizer("4711", add_special_tokens=False)["input_ids"]) == 4


@pytest.mark.parametrize("grid", nano_scenes.GRIDS)
def test_scenes_keep_their_promises(grid: tuple[int, int]) -> None:
    rows, cols = grid
    mid_rows, mid_cols = nano_scenes.MID_GRIDS[grid]
    for seed in range(20):
        scene = nano_scenes.make_scene(seed, grid)
        width, height = scene.picture.size
        load: dict[tuple[int, int], int] = {}
        assert len({thing.name for thing in scene.things}) == len(scene.things)
        for thing in scene.things:
            left, top, right, bottom = thing.box
            cell = (int(top / height * rows), int(left / width * cols))
            assert cell == (int(bottom / height * rows), int(right / width * cols))
            region = (cell[0] * mid_rows // rows, cell[1] * mid_cols // cols)
            load[region] = load.get(region, 0) + 1
        assert max(load.values()) <= 3
        assert nano_scenes.make_scene(seed, grid).picture.tobytes() == scene.picture.tobytes()


def test_every_answer_follows_from_the_scene() -> None:
    for seed in range(40):
        scene = nano_scenes.make_scene(seed)
        by_name = {thing.name: thing for thing in scene.things}
        for question in nano_scenes.ask_about(scene, seed):
            named = [thing for name, thing in by_name.items() if name in question.text]
            if question.kind == "number":
                assert [thing.number for thing in named] == [question.answer]
            elif question.kind == "exists":
                assert question.answer == ("yes" if named else "no")
            elif question.kind == "count":
                assert question.answer == str(len(scene.things))
            elif question.kind.endswith("absent"):
                assert not named
                assert question.answer == nano_scenes.ABSENT
