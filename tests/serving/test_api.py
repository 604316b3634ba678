"""The API says what the engine says: whole, streamed, in a chat, together with others."""

from __future__ import annotations

import asyncio
import base64
import io
from typing import Any

import pytest
from PIL import Image

from dragonfly.inference import Engine
from dragonfly.inference.continuous import ContinuousBatch
from tests import tiny
from tests.serving.conftest import body, data_url, events, run, served

pytestmark = pytest.mark.usefixtures("decoding_here")

IMAGES = [tiny.image(96, 64, seed=1), tiny.image(40, 120, seed=2), tiny.image(64, 64, seed=3)]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_greedy_answer_is_the_engines_whole_and_streamed(engine: Engine, count: int) -> None:
    async def work() -> None:
        async with served(engine) as client:
            asked = body("What is it?", *IMAGES[:count], logprobs=True)
            whole = (await client.post("/v1/chat/completions", json=asked)).json()
            again = await client.post(
                "/v1/chat/completions", json={**asked, "stream": True, "stream_options": {"include_usage": True}}
            )
            chunks = events(again.text)
        answer = engine.ask(IMAGES[:count], "What is it?", max_new_tokens=6)
        choice = whole["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"]) == (answer.text, answer.finish)
        assert whole["usage"] == {
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": len(answer.token_ids),
            "total_tokens": answer.prompt_tokens + len(answer.token_ids),
        }
        assert [one["logprob"] for one in choice["logprobs"]["content"]] == pytest.approx(answer.logprobs, abs=1e-4)
        for seen, selection in zip(whole["dragonfly"]["images"], answer.selections, strict=True):
            assert seen["kept"] == [item.index for item in selection if item.kept]
            assert [one["box"] for one in seen["sub_images"]] == [list(item.box) for item in selection]
        text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"])
        assert (text, chunks[-1]["usage"], chunks[-1]["dragonfly"]) == (answer.text, whole["usage"], whole["dragonfly"])

    run(work)


@pytest.mark.parametrize("fits", [True, False])
def test_sixteen_at_once_get_what_each_gets_alone(engine: Engine, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mixed sizes, lengths and numbers of images, several kinds of options; joining at each token, and batch by batch."""
    if not fits:
        monkeypatch.setattr(ContinuousBatch, "fits", lambda engine: False)
    cases: list[tuple[Any, str, dict[str, Any]]] = [
        (IMAGES[i % 3 :][: i % 4], f"Question {'x' * i}?", {"max_tokens": 4 + i % 2}) for i in range(16)
    ]
    cases += [(IMAGES[0], "Draw.", {"temperature": 1.5, "seed": seed, "max_tokens": 6}) for seed in (3, 4, 3)]

    async def work() -> None:
        async with served(engine, batch=8) as client:
            posts = [
                client.post(
                    "/v1/chat/completions", json=body(question, *(images if isinstance(images, list) else [images]), **more)
                )
                for images, question, more in cases
            ]
            answers = [reply.json()["choices"][0]["message"]["content"] for reply in await asyncio.gather(*posts)]
            counted = (await client.get("/metrics")).text
        for (images, question, more), text in zip(cases, answers, strict=True):
            options = {"max_new_tokens": more["max_tokens"], **{key: more[key] for key in ("temperature", "seed") if key in more}}
            assert text == engine.ask(images, question, **options).text
        assert answers[16] == answers[18] != answers[17]
        batches, rows = (float(counted.split(f"dragonfly_batch_questions_{one} ")[1].split()[0]) for one in ("count", "sum"))
        assert rows > 1.5 * batches and "dragonfly_active_requests 0.0" in counted

    run(work)


def test_a_chat_is_the_engines_chat_and_its_image_is_decoded_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tiny.image(70, 90, seed=11)
    chat = engine.chat(image, system="Be brief.")
    first, second = chat.ask("One?", max_new_tokens=5).text, chat.ask("Two?", max_new_tokens=5).text
    parts = body("One?", image)["messages"][0]
    turns = [
        {"role": "developer", "content": "Be brief."},
        parts,
        {"role": "assistant", "content": first, "refusal": None},
        {"role": "user", "content": "Two?"},
    ]

    async def work() -> None:
        async with served(engine) as client:
            one = await client.post("/v1/chat/completions", json={"messages": turns[:2], "max_completion_tokens": 5})
            two = await client.post("/v1/chat/completions", json={"messages": turns, "max_tokens": 5, "model": "tiny"})
            counted = (await client.get("/metrics")).text
        assert [reply.json()["choices"][0]["message"]["content"] for reply in (one, two)] == [first, second]
        assert 'dragonfly_images_total{source="cache"} 1.0' in counted and 'source="decoded"} 1.0' in counted

    run(work)


def test_choices_seeds_and_stops(engine: Engine) -> None:
    async def ask(client: Any, **more: Any) -> dict[str, Any]:
        return (await client.post("/v1/chat/completions", json=body("Go on.", **more))).json()

    async def work() -> None:
        async with served(engine) as client:
            drawn = await ask(client, n=3, temperature=1.5, seed=5)
            texts = [choice["message"]["content"] for choice in drawn["choices"]]
            assert texts == [engine.ask(None, "Go on.", temperature=1.5, seed=5 + i, max_new_tokens=6).text for i in range(3)]
            unseeded = [await ask(client, temperature=1.5) for _ in range(2)]
            seeds = [one["dragonfly"]["seed"] for one in unseeded]
            assert seeds[0] != seeds[1]
            again = await ask(client, temperature=1.5, seed=seeds[0])
            assert again["choices"][0]["message"] == unseeded[0]["choices"][0]["message"]
            greedy = await ask(client, n=2)
            assert greedy["choices"][0]["message"] == greedy["choices"][1]["message"] and len(greedy["choices"]) == 2
            stream = await client.post("/v1/chat/completions", json=body("Go on.", n=2, stream=True))
            said = {0: "", 1: ""}
            for chunk in events(stream.text):
                for choice in chunk["choices"]:
                    said[choice["index"]] += choice["delta"].get("content", "")
            text = greedy["choices"][0]["message"]["content"]
            assert said == {0: text, 1: text}
            mark = text[2:4]
            stopped = (await ask(client, stop=[mark]))["choices"][0]
            assert (stopped["message"]["content"], stopped["finish_reason"]) == (text[: text.index(mark)], "stop")

    run(work)


def test_zoom_and_why(engine: Engine) -> None:
    from dragonfly.inference.occlusion import explain

    async def work() -> None:
        async with served(engine) as client:
            seen = (await client.post("/v1/zoom", json={"image": data_url(IMAGES[0])})).json()
            drawn = await client.post("/v1/zoom", json={"image": data_url(IMAGES[0]), "format": "png"})
            told = (await client.post("/v1/chat/completions", json=body("Why?", IMAGES[0], dragonfly={"why": True}))).json()
        encoded = engine.encode([IMAGES[0]])
        assert seen["kept"] == [item.index for item in encoded[0].selection if item.kept]
        assert drawn.headers["content-type"] == "image/png" and drawn.content.startswith(b"\x89PNG")
        why = explain(engine, encoded, "Why?", engine.ask(encoded, "Why?", max_new_tokens=6))
        assert told["dragonfly"]["why"]["logprob"] == pytest.approx(why.logprob, abs=1e-3)
        assert len(told["dragonfly"]["why"]["contributions"]) == len(why.contributions)

    run(work)


def test_the_bytes_of_an_image_say_what_it_is(engine: Engine) -> None:
    """A form that browsers do not show, under a type that says nothing."""
    out = io.BytesIO()
    IMAGES[0].save(out, "PPM")
    url = f"data:application/octet-stream;base64,{base64.b64encode(out.getvalue()).decode()}"

    async def work() -> None:
        async with served(engine) as client:
            shown = await client.post("/v1/zoom", json={"image": url, "format": "image"})
            told = (await client.post("/v1/chat/completions", json=body("What is it?", url))).json()
        image = Image.open(io.BytesIO(shown.content))
        assert shown.headers["content-type"] == "image/png" and image.tobytes() == IMAGES[0].tobytes()
        assert told["choices"][0]["message"]["content"] == engine.ask(IMAGES[0], "What is it?", max_new_tokens=6).text

    run(work)


def test_models_health_metrics_and_the_description(engine: Engine) -> None:
    async def work() -> None:
        async with served(engine) as client:
            listed = (await client.get("/v1/models")).json()["data"]
            assert [one["id"] for one in listed] == ["tiny"]
            assert (await client.get("/v1/models/tiny")).json()["dragonfly"]["preset"] == "v1"
            assert (await client.get("/v1/models/other")).status_code == 404
            for path in ("/health", "/ready", "/metrics"):
                assert (await client.get(path)).status_code == 200
            paths = (await client.get("/openapi.json")).json()["paths"]
            assert set(paths["/v1/zoom"]["post"]["responses"]) == {"200", "default"}  # never FastAPI's own 422
            assert {"/v1/chat/completions", "/v1/models", "/v1/zoom", "/health", "/ready", "/metrics"} <= set(paths)

    run(work)
