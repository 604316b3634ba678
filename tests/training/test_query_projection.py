"""Training what chooses: the query projection learns from evidence, positions from answers, and nothing else moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dragonfly.data import ImageRef, Message, Part, Sample, write_manifest
from dragonfly.inference import load
from dragonfly.training import Recipe, run
from dragonfly.training.build import build_processor, warn_of_stale_query_projection
from dragonfly.training.modules import freeze
from dragonfly.training.objective import encoded
from dragonfly.training.sources import load_rows
from tests import tiny
from tests.training import small

BOX = (0.0, 0.0, 16.0, 16.0)  # of 96 x 64: the first high sub-image and no other


def sample(folder: Path, index: int) -> Sample:
    image = folder / f"{index}.png"
    tiny.image(96, 64, seed=index).save(image)
    asked = (Part("image"), Part("text", f"question {index}?")) if index != 2 else (Part("text", "no image?"),)
    return Sample(
        id=str(index),
        source="made",
        images=(ImageRef(path=str(image)),) if index != 2 else (),
        messages=(Message("user", asked), Message("assistant", (Part("text", "red"),))),
        evidence=((BOX,),) if index < 2 else (),
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("choice")
    small.checkpoint(folder / "base")
    (folder / "data").mkdir()
    write_manifest((sample(folder / "data", index) for index in range(4)), folder / "data" / "manifest")
    return folder


def recipe(shared: Path, name: str, **changes: Any) -> Recipe:
    data = {"train": [{"name": "rows", "path": str(shared / "data" / "manifest")}], "audit": 4}
    optim = {"learning_rate": 0.05}
    question = {"selection": {"policy": "question"}}
    batch = {"global_size": 4, "per_device": 2}
    values = {
        "data": data,
        "optim": optim,
        "model": question,
        "batch": batch,
        "steps": 12,
        "output": str(shared / name),
        **changes,
    }
    return small.recipe(shared, **values)


def test_evidence_comes_with_the_example(shared: Path) -> None:
    chosen = recipe(shared, "looked-at")
    rows = encoded(chosen, load_rows(chosen.data.train[0], 0.0), build_processor(chosen))
    assert rows[0]["evidence_high"].tolist() == [[256.0] + [0.0] * 23]
    assert not rows[3]["evidence_high"].any() and "evidence_high" not in rows[2]
    assert rows[0]["question_ids"].shape == (1, len("question 0?"))


def test_the_map_alone_learns_to_find_the_evidence(shared: Path) -> None:
    done = run(recipe(shared, "map", trainable=["query_projection"], evidence_weight=1.0))
    before, after = load_file(shared / "base" / "model.safetensors"), load_file(done / "model.safetensors")
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert set(after) - set(before) == {"model.query_projection.weight"}
    found = []
    for folder, more in ((shared / "base", ["model.selection.policy=question"]), (done, [])):
        engine = load(folder, device="cpu", overrides=more)
        scores = [item.score for item in engine.ask(tiny.image(seed=0), "question 0?", max_new_tokens=1).selections[0]]
        found.append(torch.tensor(scores).log_softmax(0)[0])
    assert found[1] > found[0] + 0.5


@pytest.mark.parametrize(
    ("trainable", "names"),
    [
        (["multi_modal_projector", "language_model"], "the multi_modal_projector, embeddings as they were"),
        (["vision_tower", "language_model.layers"], "the vision_tower as they were"),
        (["language_model.layers"], None),
        (["multi_modal_projector", "query_projection"], None),
    ],
)
def test_a_learned_map_that_is_left_behind_is_told_of(
    caplog: pytest.LogCaptureFixture, trainable: list[str], names: str | None
) -> None:
    spec = tiny.config().spec.with_selection(policy="question")
    model = tiny.model(tiny.config(encoder=spec.to_dict()))
    freeze(model, trainable)
    warn_of_stale_query_projection(model)
    messages = [record.message for record in caplog.records]
    assert len(messages) == (0 if names is None else 1)
    assert all((names or "") in message for message in messages)


def test_a_new_map_is_left_behind_by_nothing(caplog: pytest.LogCaptureFixture) -> None:
    spec = tiny.config().spec.with_selection(policy="question")
    model = tiny.model(tiny.config(encoder=spec.to_dict()))
    torch.nn.init.eye_(model.model.query_projection.weight)
    warn_of_stale_query_projection(model)
    assert not caplog.records


def test_the_map_needs_evidence(shared: Path) -> None:
    with pytest.raises(ValueError, match="query_projection learns from the choice alone; set evidence_weight above 0"):
        recipe(shared, "never", trainable=["query_projection"])
    with pytest.raises(ValueError, match="no module 'query_projection'"):
        run(recipe(shared, "never", trainable=["query_projection"], evidence_weight=1.0, model={}, steps=1))


def test_positions_are_trained_where_they_are_named(shared: Path) -> None:
    done = run(recipe(shared, "position", trainable=["sub_image_position"], model={"position": "learned"}, steps=2))
    weights = load_file(done / "model.safetensors")
    assert weights["model.sub_image_position.weight"].abs().amax(dim=1).min() == 0  # rows and columns that never came
    assert weights["model.sub_image_position.weight"][:3].abs().amax(dim=1).min() > 0


def test_the_oracle_is_given_what_it_needs(shared: Path) -> None:
    chosen = recipe(shared, "oracle", model={"selection": {"policy": "oracle"}})
    rows = encoded(chosen, load_rows(chosen.data.train[0], 0.0), build_processor(chosen))
    assert rows[0]["selected_high"][0, 0] == 0 and rows[0]["pixel_values"].shape[1] == 17
