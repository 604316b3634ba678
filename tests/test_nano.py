"""The bundled model: it must answer what only the image tells, and read what is too small at low resolution."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import dragonfly
from dragonfly.inference import Engine
from dragonfly.installation import BUNDLED, bundled_model
from dragonfly.research.curriculum.scratch import TEMPLATE

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import measure_pages  # pyright: ignore[reportMissingImports]
import measure_scans  # pyright: ignore[reportMissingImports]

SEED = 11_000_000  # neither trained on nor part of the published measurement
MARGIN = 0.3  # what the image must add at least; measured on 150 pages: benchmarks/results/nano.json


@pytest.fixture(scope="module")
def engine() -> Engine:
    return dragonfly.load(device="cpu")


@pytest.mark.parametrize("name", BUNDLED)
def test_it_is_small(name: str) -> None:
    assert sum(file.stat().st_size for file in bundled_model(name).iterdir()) <= 20 * 2**20


def test_the_card_says_what_the_result_files_say() -> None:
    results = Path(__file__).parents[1] / "benchmarks" / "results"
    files = (
        results / "nano.json",
        bundled_model() / "dragonfly.json",
        *(results / f"{name}.json" for name in ("realdata", "nano_language")),
    )
    card = measure_pages.card(*(json.loads(file.read_text(encoding="utf-8")) for file in files))
    assert card == (bundled_model() / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_the_card_of_the_model_for_scans_says_what_its_result_files_say() -> None:
    results = [json.loads(file.read_text(encoding="utf-8")) for file in measure_scans.RESULTS]
    assert measure_scans.card(*results) == (bundled_model("nano-scans") / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_of_what_was_asked_about_scanned_pages_beforehand_two_answers_are_right() -> None:
    """As docs/quickstart.md says, where the first of them is shown."""
    engine, folder = dragonfly.load("nano-scans", device="cpu"), Path(__file__).parents[1] / "examples" / "scans"
    rows = json.loads((folder / "questions.json").read_text(encoding="utf-8"))
    asked = [(folder / row["image"], one["question"], one["answer"]) for row in rows for one in row["questions"]]
    said = [engine.ask(image, question, max_new_tokens=16).text for image, question, _ in asked]
    right = [answer for (_, _, answer), own in zip(asked, said, strict=True) if own == answer]
    assert len(asked) == 6 and right == ["04/11/08", "AB-"]


def test_few_answers_show_an_error_of_confidence_by_chance_alone() -> None:
    four = [{"answers": 4, "confidence": 0.5}]  # |k - 2| / 4 over the binomial's 1, 4, 6, 4, 1 of 16
    assert measure_pages.error_by_chance(four) == pytest.approx(0.1875, abs=0.005)
    certain = [{"answers": 4, "confidence": 1.0}]
    assert measure_pages.error_by_chance(four + certain) == pytest.approx(0.1875 / 2, abs=0.005)


def test_the_image_adds_what_the_model_card_says(engine: Engine) -> None:
    rows = measure_pages.held_out(12, seed=SEED)
    asked = measure_pages.conditions(rows)
    share = {}
    for condition in ("image", "blind"):
        answers = engine.ask_batch(asked[condition], batch_size=16, max_new_tokens=16)
        right = [answer.text == row.question.answer for answer, row in zip(answers, rows, strict=True)]
        fine = [own for own, row in zip(right, rows, strict=True) if row.question.kind in measure_pages.FINE]
        share[condition] = {"all": sum(right) / len(right), "fine detail": sum(fine) / len(fine)}
        assert len(right) >= 60 and len(fine) >= 30
    for kind, without in share["blind"].items():
        assert share["image"][kind] >= without + MARGIN, share


def test_answers_do_not_change_from_run_to_run(engine: Engine) -> None:
    rows = measure_pages.held_out(1, seed=SEED)
    asked = measure_pages.conditions(rows)["image"]
    together = [answer.text for answer in engine.ask_batch(asked, max_new_tokens=16)]
    assert together == [engine.ask(row.images, row.question, max_new_tokens=16).text for row in asked]


def test_its_template_is_that_of_models_made_from_nothing(engine: Engine) -> None:
    assert engine.processor.chat_template == TEMPLATE.read_text(encoding="utf-8")


def test_a_later_turn_is_answered_like_a_first_one(engine: Engine) -> None:
    image = Path(__file__).parents[1] / "examples" / "images" / "shapes.png"
    chat = engine.chat(image)
    assert chat.ask("Give the number of the red dot.").text != "83"
    assert chat.ask("Read the value beside the blue diamond.").text == "83"


@pytest.mark.parametrize("text", ["What number is next to the red circle?", "café ≠ 東京 🐉", "tab\tline\nend  ", "x" * 300])
def test_any_text_survives_its_tokenizer(engine: Engine, text: str) -> None:
    ids = engine.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert engine.tokenizer.decode(ids) == text


def test_numbers_are_read_digit_by_digit(engine: Engine) -> None:
    assert len(engine.tokenizer("4711", add_special_tokens=False)["input_ids"]) == 4
