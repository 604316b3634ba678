"""How much an evaluation does, counted, never timed: images decoded, sub-images encoded, questions asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dragonfly.evaluation import Settings, evaluate, load_questions
from dragonfly.imaging import pixels
from dragonfly.inference import Engine
from tests import tiny

from .fakes import write_qa, yes_no_rows

QUESTIONS, IMAGES, SUB_IMAGES = 6, 3, 29


def test_a_row_decodes_its_image_once_and_an_image_is_encoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's own answers and those of the shuffled-image baseline name an image each, the blind baseline none."""
    settings = tiny.config("v1")
    engine = Engine(tiny.model(settings), tiny.processor(settings))
    decodes, encoded, asked = list[int](), list[int](), list[int]()
    decode, tower, answer = pixels.decode, engine.model.model.run_tower, engine.answer_conversations

    def counted(work: Any, seen: list[int], size: Any) -> Any:
        def counting(*args: Any, **kwargs: Any) -> Any:
            seen.append(size(args))
            return work(*args, **kwargs)

        return counting

    monkeypatch.setattr(pixels, "decode", counted(decode, decodes, lambda args: 1))
    monkeypatch.setattr(engine.model.model, "run_tower", counted(tower, encoded, lambda args: len(args[0])))
    monkeypatch.setattr(engine, "answer_conversations", counted(answer, asked, lambda args: len(args[0])))
    task = f"jsonl:{write_qa(tmp_path / 'data', yes_no_rows(QUESTIONS))}"
    chosen = Settings(tasks=(task,))
    evaluate(engine, {"name": "tiny"}, chosen, load_questions(chosen), tmp_path / "out")
    assert sum(asked) == 3 * QUESTIONS
    assert len(decodes) == 2 * QUESTIONS
    assert sum(encoded) == IMAGES * SUB_IMAGES
