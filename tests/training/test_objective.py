"""The objective `text`, and how answers are measured; `answer` is what every other test trains."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dragonfly.training import run
from dragonfly.training.objective import answer_metrics
from tests.training import small


def test_text_trains_the_language_model_on_rows_without_images(tmp_path: Path) -> None:
    small.recipe(tmp_path)
    text = small.rows(tmp_path / "text", text_only=True)
    changes: dict[str, Any] = {"objective": "text", "trainable": ["language_model"], "steps": 2}
    output = run(small.recipe(tmp_path, data={"train": [{"name": "text", "path": str(text)}]}, **changes))
    assert len(small.losses(output)) == 2
    with pytest.raises(ValueError, match="objective 'text' takes rows without images, source 'rows' has some"):
        run(small.recipe(tmp_path, output=str(tmp_path / "other"), **changes))


def test_an_answer_counts_when_all_its_tokens_are_predicted() -> None:
    labels = np.array([[-100, 5, 6, -100, 7, -100, -100], [-100, -100, -100, 8, 9, 9, -100]])
    predictions = np.array([[5, 6, 0, 7, 0, 0, 0], [0, 0, 8, 9, 1, 0, 0]])  # position i predicts the token at i + 1
    # Answers 5 6 and 7 are right, 8 9 9 is not: two of three; five of six tokens.
    assert answer_metrics(predictions, labels) == {"tokens": 5 / 6, "turns": 2 / 3, "num_turns": 3.0}
