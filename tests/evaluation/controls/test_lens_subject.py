"""The evidence controls, of a model of another family that looks closer through a lens."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dragonfly.evaluation import Question, find_task
from dragonfly.evaluation.controls.audit import Request, audit
from dragonfly.evaluation.controls.subject import LensSubject, Spot
from dragonfly.inference import Row
from dragonfly.lens import Lens
from dragonfly.lens.reader import Reader, Said
from tests.lens.conftest import pair_of

TASK = replace(find_task("jsonl:none.jsonl"), prompt="{question}")
SIDE = 480


def question(number: int) -> Question:
    """Grey, with a red square; the blue of the pixel in its middle is the answer."""
    x, y = (int(place) for place in np.random.default_rng(number).integers(20, SIDE - 20, 2))
    pixels = np.full((SIDE, SIDE, 3), 128, dtype=np.uint8)
    pixels[y - 6 : y + 7, x - 6 : x + 7] = (200, 60, 60)
    pixels[y, x] = (255, 0, 10 * number)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    box = (x - 6.0, y - 6.0, x + 7.0, y + 7.0)
    return Question(f"q{number}", "Blue?", (str(10 * number),), (file.getvalue(),), group=f"g{number}", evidence=(box,))


class Reading(Reader):
    """Reads the pixel from a view that shows its tile as it is, and attends to what is red."""

    def answer(self, views: Any, question: str, options: Any, tokens: int, max_new_tokens: int) -> Said:
        text = "nothing"
        for _, image in views:
            pixels = np.asarray(image)
            found = np.argwhere((pixels[..., 0] == 255) & (pixels[..., 1] == 0))
            if len(found) and max(image.size) <= (self.side or 0):
                text = str(pixels[tuple(found[0])][2])
        return Said(text, (1,), (-0.1,), tokens, "stop", None)  # type: ignore[arg-type]

    def attention(self, image: Image.Image, question: str, tokens: int) -> Any:
        small = np.asarray(image.resize((32, 32), Image.Resampling.BOX), dtype=np.float64)
        red = 1 + 50 * np.maximum(0, small[..., 0] - small[..., 1]) if question == "Blue?" else np.ones((32, 32))
        return red / red.sum()


@pytest.fixture
def subject() -> LensSubject:
    lens = Lens(pair_of("internvl"), "attention")
    lens.reader = Reading(*pair_of("internvl"), "reading")
    return LensSubject(lens, max_tokens=24)


def test_what_the_close_ups_show_is_what_the_model_looked_at(subject: LensSubject) -> None:
    found = audit(subject, Request(TASK, [question(n) for n in range(1, 11)], seed=0))
    looked = found["evidence"]["looked"]
    changed = {name: one["changed"]["value"] for name, one in looked["controls"].items()}
    assert found["broken"] == []
    assert changed["deleted"] == 1.0
    assert changed["random_deleted"] == 0.0
    assert changed["only"] == 0.0
    assert changed["random_only"] > 0.8
    assert looked["area"] == pytest.approx((54 / SIDE) ** 2, abs=1e-6)
    assert {record["reply"] for record in found["records"]} == {str(10 * n) for n in range(1, 11)}
    assert {record["replies"]["blind"] for record in found["records"]} == {"nothing"}


def test_what_the_answer_names_may_be_what_it_looked_at(subject: LensSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said("30 at [500, 250, 750, 500]", (1,), (-0.1,), 9, "stop", None)  # type: ignore[arg-type]
    monkeypatch.setattr(subject.lens.reader, "answer", lambda *_: said)
    stating = LensSubject(subject.lens, "stated", max_tokens=24)
    assert stating.look([Row(question(3).images, "Blue?")])[0].looked == (Spot(0, (240.0, 120.0, 360.0, 240.0)),)


def test_a_question_that_a_lens_cannot_be_asked_is_refused(subject: LensSubject) -> None:
    image = Image.new("RGB", (100, 100))
    with pytest.raises(ValueError, match="the question has 2 images"):
        subject.answer([Row([image, image], "Blue?")])
    with pytest.raises(ValueError, match="the question has a system message"):
        subject.answer([Row([image], "Blue?", "Be brief.")])
