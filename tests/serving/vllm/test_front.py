"""Our server in front of vLLM says what the engine says, and what it asks vLLM for is complete. A stand-in is vLLM here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dragonfly.inference import Engine
from dragonfly.models import DragonflyConfig, DragonflyForConditionalGeneration
from dragonfly.serving.app import create_app
from dragonfly.serving.settings import Settings
from dragonfly.serving.vllm.viewer import ViewedImage, Viewer, chooses_in_model
from dragonfly.serving.vllm.worker import VllmWorker, refusal
from tests import tiny
from tests.serving.conftest import body, client_of, data_url, events, run
from tests.serving.vllm.conftest import StandIn

pytestmark = pytest.mark.usefixtures("decoding_here")

IMAGES = [tiny.image(96, 64, seed=1), tiny.image(40, 120, seed=2), tiny.image(64, 64, seed=3)]


@asynccontextmanager
async def front(model: Path, **settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    viewer = Viewer(str(model))
    app = create_app(viewer, Settings(**settings), lambda metrics: VllmWorker(viewer, "http://vllm", metrics, "secret"))
    async with app.app.router.lifespan_context(app.app), client_of(app) as client:
        while (await client.get("/ready")).status_code != 200:
            await asyncio.sleep(0.01)
        yield client


@pytest.mark.parametrize("count", [0, 1, 3])
def test_an_answer_is_the_engines_whole_and_streamed(engine: Engine, saved: Path, stand_in: StandIn, count: int) -> None:
    async def work() -> None:
        async with front(saved) as client:
            asked = body("What is it?", *IMAGES[:count], logprobs=True)
            whole = (await client.post("/v1/chat/completions", json=asked)).json()
            chunks = events((await client.post("/v1/chat/completions", json={**asked, "stream": True})).text)
        answer = engine.ask(IMAGES[:count], "What is it?", max_new_tokens=6)
        choice = whole["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"]) == (answer.text, answer.finish)
        assert whole["usage"]["prompt_tokens"] == answer.prompt_tokens
        assert [one["logprob"] for one in choice["logprobs"]["content"]] == pytest.approx(answer.logprobs, abs=1e-4)
        for seen, selection in zip(whole["dragonfly"]["images"], answer.selections, strict=True):
            assert seen["kept"] == [item.index for item in selection if item.kept]
            assert [one["score"] for one in seen["sub_images"]] == pytest.approx([item.score for item in selection], abs=1e-3)
        text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"])
        assert (text, chunks[-1]["dragonfly"]) == (answer.text, whole["dragonfly"])

    run(work)


def test_what_vllm_is_asked_leaves_nothing_to_its_defaults(engine: Engine, saved: Path, stand_in: StandIn) -> None:
    async def work() -> None:
        async with front(saved) as client:
            turns = [{"role": "developer", "content": "Be brief."}, body("One?", IMAGES[0])["messages"][0]]
            await client.post("/v1/chat/completions", json={"messages": turns, "max_tokens": 5, "stop": "x"})
            await client.post("/v1/chat/completions", json=body("Draw.", temperature=0.5, top_p=0.9, seed=7, n=2))

    run(work)
    (greedy, key), (first, _), (second, _) = stand_in.asked
    assert key == "Bearer secret" and greedy["model"] == "served" and greedy["stream"]
    assert greedy["messages"][0] == {"role": "system", "content": "Be brief."}
    assert [part["type"] for part in greedy["messages"][1]["content"]] == ["image_url", "text"]
    assert (greedy["temperature"], greedy["top_k"], greedy["min_p"], greedy["max_tokens"], greedy["stop"]) == (0, 0, 0, 5, ["x"])
    assert greedy["stop_token_ids"] == engine.end_ids
    assert [(one["temperature"], one["top_p"], one["seed"]) for one in (first, second)] == [(0.5, 0.9, 7), (0.5, 0.9, 8)]


def test_vllm_gets_the_image_as_it_was_decoded(saved: Path) -> None:
    """Turned by its EXIF orientation, without alpha: what vLLM itself would not do."""
    from PIL import Image

    turned = tiny.image(60, 40, seed=4)
    exif = turned.getexif()
    exif[0x0112] = 6
    path = saved.parent / "turned.png"
    turned.convert("RGBA").save(path, exif=exif)
    viewer = Viewer(str(saved))
    (seen,) = viewer.encode([path])
    assert isinstance(seen, ViewedImage) and seen.layout.size == (60, 40)
    from dragonfly.imaging import load_image

    sent = load_image(seen.url, viewer.image_policy).image
    assert (sent.mode, sent.size) == ("RGB", (40, 60))
    assert sent.tobytes() == turned.transpose(Image.Transpose.ROTATE_270).tobytes()
    assert viewer.encode([path])[0].url is seen.url  # pyright: ignore[reportAttributeAccessIssue] - remembered


@pytest.mark.parametrize(
    ("selection", "weights"),
    [({"policy": "similarity"}, True), ({"policy": "detail", "pooled_remainder": 1}, True), ({"policy": "residual"}, False)],
)
def test_zoom_is_the_models_choice_and_weights_are_loaded_only_for_it(
    tmp_path: Path, selection: dict[str, Any], weights: bool
) -> None:
    settings = tiny.config()
    settings.encoder = settings.spec.changed({"selection": selection}).to_dict()
    model, processor = tiny.model(settings), tiny.processor(settings)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    viewer = Viewer(str(tmp_path))
    assert chooses_in_model(settings.spec) == weights == (viewer.eyes is not None)
    expected = Engine(model, processor).encode(IMAGES)
    for seen, one in zip(viewer.encode(IMAGES), expected, strict=True):
        assert [item.kept for item in seen.selection] == [item.kept for item in one.selection]
        assert seen.layout == one.layout and seen.tokens is None
    if viewer.eyes is not None:
        assert len(viewer.eyes.model.model.language_model.layers) == 0 and len(viewer.eyes.cache) == 0


def test_a_model_that_keeps_all_needs_no_weights(tmp_path: Path) -> None:
    settings = tiny.config("v2")
    settings.save_pretrained(tmp_path)
    DragonflyForConditionalGeneration(settings).save_pretrained(tmp_path)
    tiny.processor(settings).save_pretrained(tmp_path)
    viewer = Viewer(str(tmp_path))
    (seen,) = viewer.encode(IMAGES[:1])
    assert viewer.eyes is None and all(item.kept for item in seen.selection) and len(seen.selection) == 36


def test_faults_of_vllm_are_one_line(saved: Path, stand_in: StandIn) -> None:
    async def work() -> None:
        async with front(saved) as client:
            for status, reason, seen in ((400, "too long\nfor me", 400), (503, "full", 429), (500, "secret text", 502)):
                stand_in.fault = (status, reason)
                reply = await client.post("/v1/chat/completions", json=body("What?"))
                said = reply.json()["error"]["message"]
                assert reply.status_code == seen and "\n" not in said and "secret" not in said
                assert ("too long" in said) == (status == 400)
            stand_in.fault = None
            stand_in.engine = Engine(tiny.model(), tiny.processor(image_token="<separator>", separator_token="<image>"))
            why = await client.post("/v1/chat/completions", json=body("What?", IMAGES[0], dragonfly={"why": True}))
            assert why.status_code == 400 and "vLLM cannot" in why.json()["error"]["message"]

    run(work)


def test_another_model_behind_the_address_is_noticed(engine: Engine, saved: Path, stand_in: StandIn) -> None:
    settings = tiny.config("low-only")
    stand_in.engine = Engine(tiny.model(settings), tiny.processor(settings))

    async def work() -> None:
        async with front(saved) as client:
            reply = await client.post("/v1/chat/completions", json=body("What?", IMAGES[0]))
            assert reply.status_code == 502 and "serves another model" in reply.json()["error"]["message"]

    run(work)


def test_a_question_in_vllm_is_given_up_at_its_deadline(saved: Path, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()

    async def never(body: dict[str, Any]) -> Any:
        try:
            await asyncio.Event().wait()
            yield ""
        finally:
            ended.set()

    monkeypatch.setattr(VllmWorker, "_events", lambda self, body: never(body))

    async def work() -> None:
        async with front(saved, deadline=0.5) as client:
            reply = await client.post("/v1/chat/completions", json=body("What?"))
            assert reply.status_code == 504
            await asyncio.wait_for(ended.wait(), 5)

    run(work)


def test_the_policy_question_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="policy 'question' chooses sub-images by the question"):
        Viewer(None)  # the bundled model reads the question


def test_refusals_without_a_reason() -> None:
    assert refusal(400, b"not JSON").message == "vLLM refuses: no reason given"
    assert refusal(429, b"").retry_after == 5


def test_the_context_is_checked_before_vllm_is_asked(saved: Path, stand_in: StandIn) -> None:
    async def work() -> None:
        async with front(saved, max_text=10_000) as client:
            reply = await client.post("/v1/chat/completions", json=body("x" * 5000))
            assert reply.json()["error"]["code"] == "context_length_exceeded" and not stand_in.asked

    run(work)


def test_zoom_over_http(saved: Path, stand_in: StandIn, engine: Engine) -> None:
    async def work() -> None:
        async with front(saved) as client:
            reply = (await client.post("/v1/zoom", json={"image": data_url(IMAGES[0])})).json()
            drawn = await client.post("/v1/zoom", json={"image": data_url(IMAGES[0]), "format": "png"})
        (expected,) = engine.encode(IMAGES[:1])
        assert reply["kept"] == [item.index for item in expected.selection if item.kept]
        assert drawn.headers["content-type"] == "image/png" and not stand_in.asked

    run(work)


def test_configuration_says_what_is_served(saved: Path) -> None:
    assert DragonflyConfig.from_pretrained(saved).spec == Viewer(str(saved)).processor.image_processor.spec
