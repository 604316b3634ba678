"""Policy `question` in the Engine: encoded once, chosen anew for every question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dragonfly.cli import run
from dragonfly.inference import Answer, Engine, load
from dragonfly.models.query_projection import query_module
from tests import tiny


@pytest.fixture(scope="module", params=["none", "row", "patches"])
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path_factory.mktemp("question")
    spec = tiny.config().spec.with_selection(policy="question", scope="image", keep=5, context=request.param)
    settings = tiny.config(encoder=spec.to_dict())
    tiny.model(settings).save_pretrained(folder)
    tiny.processor(settings).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return load(folder, device="cpu")


def kept(answer: Answer, image: int = 0) -> list[int]:
    return [item.index for item in answer.selections[image] if item.kept]


def test_loading_says_that_a_model_never_learned_to_choose(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model: Any = load(folder, device="cpu").model
    assert not caplog.text  # this one's map is drawn, not new
    model.model.query_projection.load_state_dict(query_module(model.config.spec.selection, 32).state_dict())
    model.save_pretrained(tmp_path)
    tiny.processor(model.config).save_pretrained(tmp_path)
    load(tmp_path, device="cpu")
    assert "this model never learned to choose by questions" in caplog.text


def test_the_bundled_model_loads_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    assert load(device="cpu").processor.asks
    assert not caplog.text


def test_an_answer_is_the_models_own(engine: Engine) -> None:
    answer = engine.ask(tiny.image(), "where is it?", max_new_tokens=4)
    messages = [{"role": "user", "content": [{"type": "image", "image": tiny.image()}, {"type": "text", "text": "where is it?"}]}]
    inputs: Any = engine.processor.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
    )
    ids = engine.model.generate(**inputs, max_new_tokens=4, do_sample=False, eos_token_id=engine.end_ids)  # pyright: ignore
    assert tuple(ids[0, inputs["input_ids"].shape[1] :].tolist()) == answer.token_ids
    images = {key: value for key, value in inputs.items() if key not in ("input_ids", "attention_mask")}
    with torch.no_grad():
        assert engine.model.get_image_features(**images).selection.indices[0].tolist() == kept(answer)


def test_a_batch_and_a_stream_are_one_by_one(engine: Engine) -> None:
    rows = [
        (tiny.image(seed=1), "where?"),
        ([tiny.image(seed=1), tiny.image(64, 96, seed=2)], "0123456789"),
        (None, "why?"),
    ]
    together = engine.ask_batch(rows, max_new_tokens=3)
    for row, answer in zip(rows, together, strict=True):
        alone = engine.ask(*row, max_new_tokens=3)
        assert (alone.text, alone.selections) == (answer.text, answer.selections)
        stream = engine.stream(*row, max_new_tokens=3)
        assert "".join(stream) == answer.text
    assert kept(together[0]) != kept(together[1])


def test_a_chat_encodes_once_and_chooses_every_turn(engine: Engine) -> None:
    calls: list[int] = []
    engine.cache.clear()
    handle = engine.model.model.vision_tower.register_forward_pre_hook(lambda *_: calls.append(1))
    chat = engine.chat(tiny.image())
    first, second = chat.ask("where is it?", max_new_tokens=3), chat.ask("0123456789", max_new_tokens=3)
    handle.remove()
    assert len(calls) == 1
    assert kept(first) == kept(engine.ask(tiny.image(), "where is it?", max_new_tokens=1))
    assert kept(second) == kept(engine.ask(tiny.image(), "0123456789", max_new_tokens=1)) != kept(first)


def test_a_zoom_without_a_question_draws_all_and_says_so(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.image().save(tmp_path / "a.png")
    run(["zoom", str(tmp_path / "a.png"), "--model", str(folder), "-o", str(tmp_path / "z.png")])
    assert "it chooses them by the question, so all are drawn" in capsys.readouterr().err
    assert (tmp_path / "z.png").is_file()
