"""A language model with a chat template of its own: joined, trained by a recipe, it answers and stops."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from dragonfly.inference import load
from dragonfly.training import Recipe, run
from tests import tiny
from tests.templates import FAMILIES, tokenizer
from tests.training import small

FAST = "chatml, other eos"
TURNS = [("color?", "red"), ("how many?", "two of them")]


def parts(folder: Path, family: str) -> dict[str, str]:
    base = small.parts(folder)
    text = tokenizer(FAMILIES[family])
    settings = tiny.config().text_config
    settings.update({"vocab_size": len(text), "eos_token_id": text.eos_token_id, "pad_token_id": None, "bos_token_id": None})
    AutoModelForCausalLM.from_config(settings).save_pretrained(base["language_model"])
    text.save_pretrained(base["language_model"])
    return base


def conversations(folder: Path) -> Path:
    """Two turns about an image, and each question alone."""
    folder.mkdir()
    tiny.image().save(folder / "a.png")
    rows = [TURNS, *([turn] for turn in TURNS)]
    said = [
        [{"from": who, "value": text} for turn in row for who, text in zip(("human", "gpt"), turn, strict=True)] for row in rows
    ]
    for row in said:
        row[0]["value"] = f"<image>\n{row[0]['value']}"
    (folder / "rows.json").write_text(json.dumps([{"image": "a.png", "conversations": row} for row in said]))
    return folder / "rows.json"


@pytest.mark.parametrize("family", [pytest.param(name, marks=() if name == FAST else pytest.mark.slow) for name in FAMILIES])
def test_what_was_trained_is_answered_and_stops(family: str, tmp_path: Path) -> None:
    values: dict[str, Any] = small.values(tmp_path, init_from=parts(tmp_path, family), model={"preset": "low-only"}, steps=60)
    values["data"] = {"train": [{"name": "rows", "path": str(conversations(tmp_path / "data"))}], "audit": 3}
    values["optim"] = {"learning_rate": 1e-2, "warmup": 0.1}
    values["batch"] = {"global_size": 3, "per_device": 3}
    engine = load(run(Recipe.model_validate(values)), device="cpu", dtype="float32")
    image = tiny.image()
    for question, reply in TURNS:
        answer = engine.ask(image, question, max_new_tokens=40)
        assert (answer.text.strip(), answer.finish) == (reply, "stop")
    ids = engine.processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": TURNS[1][0]}]}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    model: Any = engine.model  # plain transformers stops where the Engine does
    assert model.generate(**ids, max_new_tokens=40, do_sample=False)[0, ids["input_ids"].shape[1] :].tolist() == list(
        engine.ask(image, TURNS[1][0], max_new_tokens=40).token_ids
    )
