"""A model of another family behind the API: what a lens says, within its budget, one request at a time."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch
from PIL import Image

from dragonfly.__main__ import main
from dragonfly.lens import Lens
from dragonfly.lens.asker import LensAsker
from dragonfly.serving.app import create_app
from dragonfly.serving.settings import Settings
from tests.lens.conftest import pair_of
from tests.lens.seen import noise, spy
from tests.serving.conftest import body, client_of, data_url, events, listening_at, run, served

pytestmark = pytest.mark.usefixtures("decoding_here")

IMAGE = noise(900, 700, seed=1)
CHAT = "/v1/chat/completions"


def asker(family: str = "internvl", method: str = "attention", **budget: Any) -> LensAsker:
    torch.set_num_threads(1)
    return LensAsker(Lens(pair_of(family), method), **{"max_tokens": 300, **budget})


@pytest.fixture
def slow() -> Iterator[LensAsker]:
    """Twenty milliseconds for each token, and no answer ends by itself."""
    found = asker(method="downsample")
    model = found.lens.reader.model

    def never_ends(module: Any, inputs: Any, logits: Any) -> Any:
        logits[..., found.tokenizer.eos_token_id] = -1000.0
        return logits

    hooks = [
        model.register_forward_pre_hook(lambda *_: time.sleep(0.02)),
        model.get_output_embeddings().register_forward_hook(never_ends),
    ]
    yield found
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize(("family", "method", "budget"), [("internvl", "attention", 300), ("llava_next", "gate", 800)])
def test_an_answer_is_the_lenss_whole_and_streamed(family: str, method: str, budget: int) -> None:
    lensed = asker(family, method, max_tokens=budget)

    async def work() -> tuple[Any, Any, str]:
        async with served(lensed) as client:
            asked = body("What is it?", IMAGE, logprobs=True)
            whole = (await client.post(CHAT, json=asked)).json()
            options = {"stream": True, "stream_options": {"include_usage": True}}
            return whole, events((await client.post(CHAT, json={**asked, **options})).text), (await client.get("/metrics")).text

    whole, chunks, counted = run(work)
    calls = spy(lensed.lens)
    answer = lensed.lens.ask(IMAGE, "What is it?", max_tokens=budget, max_new_tokens=6)
    choice, seen = whole["choices"][0], whole["dragonfly"]["images"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (answer.text, answer.finish)
    assert [one["logprob"] for one in choice["logprobs"]["content"]] == pytest.approx(answer.logprobs, abs=1e-4)
    made = sum(call.tokens for call in calls)
    usage = whole["usage"]
    assert usage["prompt_tokens_details"]["image_tokens"] == whole["dragonfly"]["image_tokens"] == answer.image_tokens == made
    assert usage["completion_tokens"] == len(answer.token_ids)
    assert budget >= made > 0 and usage["prompt_tokens"] == answer.all_prompt_tokens > answer.prompt_tokens > 0
    assert (whole["dragonfly"]["method"], whole["dragonfly"]["calls"]) == (method, answer.calls) == (method, len(calls))
    assert seen["kept"] == [item.index for item in answer.selections[0] if item.kept] != []
    assert [one["box"] for one in seen["sub_images"]] == [list(item.box) for item in answer.selections[0]]
    assert [view["box"] for view in seen["views"]] == [list(view.box) for view in answer.views]
    assert (seen["size"], seen["detail"]) == ([700, 900], round(answer.detail, 4))
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"])
    assert (text, chunks[-1]["usage"], chunks[-1]["dragonfly"]) == (answer.text, usage, whole["dragonfly"])
    assert f'dragonfly_tokens_total{{kind="prompt"}} {2 * usage["prompt_tokens"]:.1f}' in counted


def test_a_request_may_lower_the_budget_and_not_raise_it() -> None:
    lensed = asker(max_tokens=300, max_calls=4)
    calls = spy(lensed.lens)

    async def work() -> list[Any]:
        tokens, most = [{"max_image_tokens": value} for value in (24, 301, 3)], [{"max_calls": value} for value in (5, 2)]
        budgets = ({}, tokens[0], tokens[1], most[0], most[1], tokens[2])
        async with served(lensed) as client:
            return [await client.post(CHAT, json=body("What?", IMAGE, dragonfly=budget)) for budget in budgets]

    usual, lower, *refused = run(work)
    assert usual.json()["dragonfly"]["image_tokens"] > 24 >= lower.json()["dragonfly"]["image_tokens"] > 0
    assert sum(call.tokens for call in calls[-3:]) == lower.json()["dragonfly"]["image_tokens"]
    assert [reply.status_code for reply in refused] == [400] * 4
    said = [reply.json()["error"]["message"] for reply in refused]
    assert said[:2] == [
        "dragonfly.max_image_tokens is 301, over the limit of 300",
        "dragonfly.max_calls is 5, over the limit of 4",
    ]
    assert "needs 3 calls and max_calls is 2" in said[2] and "max_image_tokens 3 is too few" in said[3]


def test_requests_are_answered_one_at_a_time_each_as_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    lensed = asker()
    alone = {f"What {n}?": lensed.lens.ask(IMAGE, f"What {n}?", max_tokens=300, max_new_tokens=6).text for n in range(5)}
    real, here, most = lensed.lens.ask, [0], [0]

    def counted(*given: Any, **options: Any) -> Any:
        here[0] += 1
        most[0] = max(most[0], here[0])
        time.sleep(0.02)
        answer = real(*given, **options)
        here[0] -= 1
        return answer

    monkeypatch.setattr(lensed.lens, "ask", counted)

    async def work() -> list[Any]:
        async with served(lensed, batch=8) as client:
            return await asyncio.gather(*(client.post(CHAT, json=body(question, IMAGE)) for question in alone))

    assert [reply.json()["choices"][0]["message"]["content"] for reply in run(work)] == [*alone.values()]
    assert most == [1]


TURNS = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "1"}, {"role": "user", "content": "Two?"}]
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "two images": (body("What?", IMAGE, IMAGE), "a lens looks at one image, and 2 are sent", "messages"),
    "earlier turns": ({"messages": TURNS}, "send one user message", "messages"),
    "a system message": ({"messages": [{"role": "system", "content": "Hm."}, TURNS[0]]}, "send one user message", "messages"),
    "sampling": (body("What?", IMAGE, temperature=0.5), "greedily, and temperature is 0.5", "temperature"),
    "a stop": (body("What?", IMAGE, stop="a"), "leave 'stop' out", "stop"),
    "why": (body("What?", IMAGE, dragonfly={"why": True}), "'why' leaves out sub-images", "dragonfly"),
    "tools": (body("What?", IMAGE, tools=[]), "'tools' is not offered", "tools"),
    "another model": (body("What?", IMAGE, model="nano"), "there is no model 'nano'", "model"),
    "a control token": (body("<IMG_CONTEXT>?", IMAGE), "control token", "messages"),
    "a path": (body("What?", "/etc/passwd"), "reads nothing else", ""),
    "no image": (body("What?", "data:image/png;base64,AAAA"), "image 1", "messages"),
    "no question": (body(" ", IMAGE), "asks nothing", "messages"),
    "more than the context": (body("x" * 33_000), "tokens and the model takes 32768", "messages"),
}


def test_what_a_lens_cannot_do_is_refused_in_one_line() -> None:
    async def work() -> tuple[dict[str, Any], Any, str]:
        async with served(asker()) as client:
            replies = {name: await client.post(CHAT, json=asked) for name, (asked, _, _) in REFUSED.items()}
            stream = await client.post(CHAT, json=body("What?", "data:image/png;base64,AAAA", stream=True))
            good = await client.post(CHAT, json=body("What?", IMAGE, top_p=0.9, seed=3, n=2))
            assert good.status_code == 200 and len(good.json()["choices"]) == 2
            return replies, stream, (await client.get("/metrics")).text

    replies, stream, counted = run(work)
    for name, (_, said, field) in REFUSED.items():
        error = replies[name].json()["error"]
        assert replies[name].status_code == 400 and set(error) == {"message", "type", "param", "code"}, name
        assert said in error["message"] and "\n" not in error["message"] and (error["param"] or "") == field, name
    assert replies["more than the context"].json()["error"]["code"] == "context_length_exceeded"
    assert '"code": "invalid_image"' in stream.text.strip().split("\n\n")[-1] and "[DONE]" not in stream.text
    assert "dragonfly_active_requests 0.0" in counted


def test_an_engine_refuses_the_budget_of_a_lens(engine: Any) -> None:
    async def work() -> Any:
        async with served(engine) as client:
            return await client.post(CHAT, json=body("What?", dragonfly={"max_image_tokens": 10}))

    reply = run(work)
    assert reply.status_code == 400 and "is for a lens, and none is served here" in reply.json()["error"]["message"]


def test_zoom_models_health_and_page() -> None:
    lensed = asker(method="residual", max_calls=2)

    async def work() -> dict[str, Any]:
        async with served(lensed) as client:
            zoom = {"image": data_url(IMAGE), "question": "Where?"}
            found = {kind: await client.post("/v1/zoom", json={**zoom, "format": kind}) for kind in ("json", "png", "image")}
            found["blind"] = await client.post("/v1/zoom", json={"image": data_url(IMAGE)})
            found["broken"] = await client.post("/v1/zoom", json={**zoom, "image": "data:image/png;base64,AAAA"})
            for path in ("/", "/health", "/ready", "/metrics", "/v1/models", "/openapi.json"):
                found[path] = await client.get(path)
            return found

    found = run(work)
    answer = lensed.lens.ask(IMAGE, "Where?", max_tokens=300, max_calls=2, max_new_tokens=1)
    said = found["json"].json()
    assert said["kept"] == [item.index for item in answer.selections[0] if item.kept] != []
    assert [view["box"] for view in said["views"]] == [list(view.box) for view in answer.views]
    with Image.open(io.BytesIO(found["png"].content)) as drawn, Image.open(io.BytesIO(found["image"].content)) as shown:
        assert drawn.width == 1280 and shown.size == IMAGE.size
    assert (
        found["blind"].status_code == 400 and "a lens looks where the question leads" in found["blind"].json()["error"]["message"]
    )
    assert found["broken"].status_code == 400
    assert {found[path].status_code for path in found if path.startswith("/")} == {200}
    (model,) = found["/v1/models"].json()["data"]
    about = model["dragonfly"]
    assert (about["family"], about["policy"], about["max_image_tokens"], about["max_calls"]) == ("internvl", "residual", 300, 2)
    assert (about["conversation"], about["why"], about["context"]) == (False, False, 32_768)


def test_too_many_are_told_to_come_later_and_too_slow_is_told_so(slow: LensAsker) -> None:
    async def work() -> list[Any]:
        async with served(slow, batch=9, queue=2, deadline=0.6) as client:
            return await asyncio.gather(*(client.post(CHAT, json=body("Go on.", max_tokens=500)) for _ in range(6)))

    assert sorted(reply.status_code for reply in run(work)) == [429, 429, 429, 504, 504, 504]


def test_who_leaves_gives_the_lens_free(slow: LensAsker) -> None:
    """The one that is answered and one that waits leave; what comes next is answered long before five hundred tokens are."""

    def metric(name: str) -> float:
        lines = httpx2.get(f"{address}/metrics").text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")), 0.0)

    def leave(seconds: float) -> None:
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(f"{address}{CHAT}", json=body("Go on.", IMAGE, max_tokens=500), timeout=seconds)

    asked, real = list[int](), slow.lens.ask
    slow.lens.ask = lambda *given, **options: asked.append(1) or real(*given, **options)  # type: ignore[method-assign]
    cancelled = 'dragonfly_cancelled_total{reason="disconnect"}'
    with listening_at(create_app(slow, Settings(queue=8))) as address:
        first, second = (threading.Thread(target=leave, args=(seconds,)) for seconds in (4.0, 0.5))
        first.start()
        while metric("dragonfly_batch_questions_count") < 1:
            time.sleep(0.01)
        second.start()
        second.join()
        while metric(cancelled) < 1:
            time.sleep(0.01)
        first.join()
        stayed = httpx2.post(f"{address}{CHAT}", json=body("What?", IMAGE, max_tokens=3), timeout=60)
        assert stayed.status_code == 200
        assert (metric(cancelled), metric("dragonfly_active_requests")) == (2.0, 0.0)
        assert len(asked) == 2  # the one that waited was never asked


def test_the_command_serves_a_directory_of_another_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in pair_of("internvl"):
        part.save_pretrained(tmp_path)
    made: list[Any] = []
    monkeypatch.setattr("dragonfly.cli.serve._serve", lambda config: made.append(config.app) or 0)
    assert main(["serve", "--model", str(tmp_path), "--method", "residual", "--max-image-tokens", "24", "--device", "cpu"]) == 0
    assert "method residual, up to 24 image tokens and 4 calls a question, one question at a time" in capsys.readouterr().err

    async def work() -> Any:
        async with made[0].app.router.lifespan_context(made[0].app), client_of(made[0]) as client:
            return (await client.post(CHAT, json=body("What?", IMAGE, model=tmp_path.name))).json()

    said = run(work)
    answer = Lens(tmp_path, "residual", device="cpu").ask(IMAGE, "What?", max_tokens=24, max_new_tokens=6)
    assert said["choices"][0]["message"]["content"] == answer.text
    assert said["dragonfly"]["image_tokens"] == answer.image_tokens <= 24
