"""The objective `text`, and how answers are measured; `answer` is what every other test trains."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dragonfly.data import IGNORE_INDEX, read
from dragonfly.training import run
from dragonfly.training.build import build_processor
from dragonfly.training.objective import answer_inputs, answer_metrics, encoded
from tests import tiny
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


def test_a_jpeg_that_lost_data_is_a_bad_row_unless_the_recipe_says_otherwise(tmp_path: Path) -> None:
    small.recipe(tmp_path)
    buffer = io.BytesIO()
    Image.effect_noise((200, 150), 60).convert("RGB").save(buffer, "JPEG")
    data = buffer.getvalue()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    turns = [{"from": "human", "value": "<image>\nwhat?"}, {"from": "gpt", "value": "noise"}]
    (tmp_path / "cut.json").write_text(json.dumps([{"image": "cut.jpg", "conversations": turns}]))
    source = [{"name": "cut", "path": str(tmp_path / "cut.json")}]

    def example(**options: Any) -> Any:
        recipe = small.recipe(tmp_path, data={"train": source, **options})
        return encoded(recipe, list(read(source[0]["path"])), build_processor(recipe))[0]  # pyright: ignore[reportArgumentType]

    with pytest.raises(ValueError, match=r"cut.json row 0: .*a damaged or truncated JPEG file"):
        example()
    assert "labels" in example(missing_data="note") and "labels" in example(missing_data="ignore")


def test_logits_are_computed_where_the_loss_looks_and_nothing_else_changes() -> None:
    model = tiny.model(tiny.config("low-only")).train()
    ids = torch.randint(7, 200, (3, 40), generator=torch.Generator().manual_seed(0))
    labels = torch.full_like(ids, IGNORE_INDEX)
    labels[0, 30:33], labels[1, 31:40], labels[2, 0] = ids[0, 30:33], ids[1, 31:40], ids[2, 0]  # the very first is told by none
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}
    parameters = [parameter for name, parameter in model.named_parameters() if "language_model.layers" in name or "head" in name]
    given = answer_inputs(model, batch)
    few, whole = model(**given), model(**batch)
    assert few.logits.shape[1] == 10 and whole.logits.shape[1] == 40
    torch.testing.assert_close(few.loss, whole.loss, rtol=1e-6, atol=0)
    pairs = zip(torch.autograd.grad(few.loss, parameters), torch.autograd.grad(whole.loss, parameters), strict=True)
    for ours, expected in pairs:
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-7)
    assert answer_inputs(model.eval(), batch).keys() == batch.keys()  # metrics look at every position


def test_a_batch_without_labels_has_a_loss_of_zero() -> None:
    model = tiny.model(tiny.config("low-only")).train()
    ids = torch.full((2, 8), 9)
    labels = torch.full_like(ids, IGNORE_INDEX)
    loss = model(**answer_inputs(model, {"input_ids": ids, "labels": labels}), num_items_in_batch=torch.tensor(5)).loss
    loss.backward()
    assert float(loss.detach()) == 0.0 and float(model.lm_head.weight.grad.abs().max()) == 0.0
