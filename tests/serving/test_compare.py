"""The same weights under another policy, served beside the first under a name of their own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dragonfly.inference import Engine
from dragonfly.inference.continuous import ContinuousBatch
from dragonfly.inference.same_weights import with_same_weights
from dragonfly.serving.app import create_app
from dragonfly.serving.settings import Settings
from tests import tiny
from tests.serving.conftest import body, client_of, data_url, run

pytestmark = pytest.mark.usefixtures("decoding_here")

IMAGE = tiny.image(96, 64, seed=1)
CHANGES = ["model.selection.policy=uniform", "model.selection.keep=1"]
NAMES = ["tiny", "tiny:selection.policy=uniform,selection.keep=1"]


@pytest.mark.parametrize("fits", [True, False])
def test_each_answers_as_its_own_engine_in_one_batch(engine: Engine, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fits:
        monkeypatch.setattr(ContinuousBatch, "fits", lambda engine: False)
    other = with_same_weights(engine, CHANGES)
    app = create_app(engine, Settings(), compare={NAMES[1].partition(":")[2]: other})
    expected = [one.ask(IMAGE, "What is it?", max_new_tokens=6) for one in (engine, other)]
    assert expected[0].prompt_tokens != expected[1].prompt_tokens

    async def work() -> None:
        async with app.app.router.lifespan_context(app.app), client_of(app) as client:
            assert [one["id"] for one in (await client.get("/v1/models")).json()["data"]] == NAMES
            about = (await client.get(f"/v1/models/{NAMES[1]}")).json()["dragonfly"]
            assert about["policy"] == "uniform"
            asked = [client.post("/v1/chat/completions", json=body("What is it?", IMAGE, model=name)) for name in NAMES * 4]
            told: list[Any] = [reply.json() for reply in await asyncio.gather(*asked)]
            seen = [
                (await client.post("/v1/zoom", json={"image": data_url(IMAGE), "model": name})).json() for name in [*NAMES, "gpt"]
            ]
        for number, one in enumerate(told):
            answer = expected[number % 2]
            assert one["model"] == NAMES[number % 2] and one["choices"][0]["message"]["content"] == answer.text
            assert one["usage"]["prompt_tokens"] == answer.prompt_tokens
            kept = [item.index for item in answer.selections[0] if item.kept]
            assert one["dragonfly"]["images"][0]["kept"] == kept == seen[number % 2]["kept"]
        assert seen[2]["error"]["message"] == f"there is no model 'gpt' here; served: {', '.join(NAMES)}"

    run(work)
