"""Clients at a port: OpenAI's own, ours, ones that leave, and too many of them."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import time
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import openai
import pytest

from dragonfly.imaging import View, load_image
from dragonfly.inference import Engine
from dragonfly.inference.continuous import ContinuousBatch
from dragonfly.serving.app import create_app
from dragonfly.serving.client import Server, data_url, image_url
from dragonfly.serving.settings import Settings
from tests import tiny
from tests.cli.conftest import run as command  # noqa: F401 - a fixture
from tests.imaging.scans import series
from tests.imaging.slides import write_slide
from tests.serving.conftest import body, listening_at, run, served

IMAGES = [tiny.image(96, 64, seed=1), tiny.image(40, 120, seed=2), tiny.image(64, 64, seed=3)]


def test_openais_client(engine: Engine, listening: str) -> None:
    with openai.OpenAI(base_url=f"{listening}/v1", api_key="none", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["tiny"]
        for count in (0, 1, 3):
            messages: Any = body("What is it?", *IMAGES[:count])["messages"]
            answer = engine.ask(IMAGES[:count], "What is it?", max_new_tokens=6)
            whole = client.chat.completions.create(model="tiny", messages=messages, max_tokens=6)
            assert whole.choices[0].message.content == answer.text
            assert whole.usage is not None and whole.usage.prompt_tokens == answer.prompt_tokens
            assert whole.model_extra is not None and len(whole.model_extra["dragonfly"]["images"]) == count
            stream = client.chat.completions.create(model="tiny", messages=messages, max_completion_tokens=6, stream=True)
            assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == answer.text
        with pytest.raises(openai.BadRequestError, match="reads nothing else"):
            client.chat.completions.create(model="tiny", messages=body("?", "/etc/passwd")["messages"])  # pyright: ignore[reportArgumentType]
        with pytest.raises(openai.BadRequestError, match="there is no model"):
            client.chat.completions.create(model="gpt", messages=[{"role": "user", "content": "?"}])
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt")


def test_ask_of_a_server_about_two_pages(engine: Engine, listening: str, tmp_path: Path, command: Any) -> None:  # noqa: F811
    path = tmp_path / "scan.pdf"
    IMAGES[0].save(path, "PDF", save_all=True, append_images=[IMAGES[1]], resolution=72)
    answer = engine.ask([path, f"{path}#2"], "What is it?", max_new_tokens=6)
    asked = ("ask", path, f"{path}#2", "What is it?", "--server", listening, "--max-new-tokens", 6, "--zoom", tmp_path / "a.png")
    done = command(*asked, "--json")
    told = json.loads(done.out)
    assert (done.code, told["choices"][0]["message"]["content"]) == (0, answer.text)
    assert [image["size"] for image in told["dragonfly"]["images"]] == [list(layout.size) for layout in answer.layouts]
    assert len({file.read_bytes() for file in tmp_path.glob("*.png")}) == 2


def test_ask_of_a_server(engine: Engine, listening: str, tmp_path: Path, command: Any) -> None:  # noqa: F811
    IMAGES[0].save(path := tmp_path / "image.png")
    answer = engine.ask(IMAGES[0], "What is it?", max_new_tokens=6)
    common = ("What is it?", "--server", listening, "--max-new-tokens", 6)
    done = command("ask", path, *common, "--zoom", tmp_path / "where.png", "--json")
    assert done.code == 0 and (tmp_path / "where.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(done.out)["choices"][0]["message"]["content"] == answer.text
    for wrong, words in (
        (("ask", tmp_path / "none.png", *common), "does not exist"),
        (("ask", path, *common, "--why"), "--why"),
        (("ask", path, *common, "--temperature", -1), "temperature must be a number of at least 0"),
        (("ask", path, *common, "--zoom", tmp_path / "where.jpg"), ".png"),
        (("ask", path, "What?", "--server", "ftp://x"), "not a server's address"),
        (("ask", path, "What?", "--server", "http://127.0.0.1:9"), "cannot be reached"),
        (("ask", "--batch", path, "--server", listening), "--batch"),
    ):
        failed = command(*wrong)
        assert (failed.code, failed.out) == (2, "") and words in failed.err and failed.err.count("\n") == 1


def test_our_client_shows_its_key_and_follows_nobody(engine: Engine) -> None:
    with listening_at(create_app(engine, Settings(keys=("secret",)))) as address:
        with pytest.raises(ValueError, match="refuses: show an API key"):
            Server(address).ask([], "What?", max_tokens=2)
        assert Server(address + "/v1/", "secret").ask([], "What?", max_tokens=2)["usage"]["completion_tokens"] <= 2


def test_serve_refuses_in_one_line(tmp_path: Path, saved_model: Path, command: Any) -> None:  # noqa: F811
    (tmp_path / "keys").write_text("\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for wrong, words in (
            (("--api-keys", tmp_path / "none"), "no such file"),
            (("--api-keys", tmp_path / "keys"), "holds no key"),
            (("--allow-domain", "https://example.org/"), "a host's name"),
            (("--deadline", 0), "deadline"),
            (("--model", tmp_path / "none"), "none"),
            (("--model", saved_model, "--compare", "model.selection.policy=details"), "detail"),
            (("--model", saved_model, "--compare", "model.selection.policy=centred"), "needs a learned mean_embedding"),
            (("--model", saved_model, "--compare", "model.position=none", "--device-map", "auto"), "leave --device-map out"),
            (("--compare", "model.selection.policy=detail", "--engine", "vllm"), "--compare is of no use"),
            (("--method", "residual", "--engine", "vllm"), "--method is of no use"),
            (("--model", saved_model, "--method", "zoom"), "method 'zoom' is not one of"),
            (("--model", saved_model, "--method", "oracle"), "'oracle' needs the boxes of the evidence"),
            (("--model", saved_model, "--max-calls", 2), "method 'attention' needs 3 calls and --max-calls is 2"),
            (("--model", saved_model, "--max-image-tokens", 300, "--batch", 4), "--batch is not there"),
            (("--model", saved_model, "--method", "residual", "--compare", "model.selection.policy=detail"), "--compare is not"),
            (("--model", saved_model, "--port", taken.getsockname()[1]), "cannot listen"),
        ):
            failed = command("serve", *wrong)
            assert (failed.code, failed.out) == (2, "") and words in failed.err.strip().splitlines()[-1]


@pytest.fixture
def slow_engine() -> Engine:
    """Each token takes 20 ms, and no answer ends by itself."""
    engine = Engine(tiny.model(), tiny.processor(), name="tiny")
    engine.model.lm_head.register_forward_pre_hook(lambda *_: time.sleep(0.02))
    engine.end_ids = [tiny.SPECIAL.index("<separator>")]
    engine.model.lm_head.register_forward_hook(_never_ends)
    return engine


def _never_ends(module: Any, inputs: Any, logits: Any) -> Any:
    logits[..., : len(tiny.SPECIAL)] = -1000.0
    return logits


def _metric(address: str, name: str) -> float:
    lines = httpx2.get(f"{address}/metrics").text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(name)), 0.0)


def _settled(address: str) -> bool:
    for _ in range(400):
        if _metric(address, "dragonfly_active_requests ") == 0 and _metric(address, "dragonfly_waiting_questions ") == 0:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
def test_clients_that_leave_hold_no_place(slow_engine: Engine) -> None:
    """Half leave in the middle of a stream, half while they wait for a whole answer; who stays is answered."""
    asked = body("Go on.", max_tokens=1000)

    async def leave(address: str, stream: bool) -> None:
        async with httpx2.AsyncClient() as client:
            if not stream:
                with pytest.raises(httpx2.TimeoutException):
                    await client.post(f"{address}/v1/chat/completions", json=asked, timeout=0.5)
                return
            async with client.stream("POST", f"{address}/v1/chat/completions", json={**asked, "stream": True}) as reply:
                async for _ in reply.aiter_lines():
                    return

    async def all_leave(address: str) -> None:
        await asyncio.gather(*(leave(address, stream=i % 2 == 0) for i in range(8)))

    with listening_at(create_app(slow_engine, Settings(batch=4, queue=16))) as address:
        asyncio.run(all_leave(address))
        began = time.monotonic()
        stayed = httpx2.post(f"{address}/v1/chat/completions", json=body("What?"), timeout=60)
        assert stayed.status_code == 200 and time.monotonic() - began < 15  # a thousand tokens take 20 seconds, eight times
        assert _settled(address)
        assert 1 <= _metric(address, 'dragonfly_cancelled_total{reason="disconnect"}') <= 8  # some leave before they are heard


def test_too_many_are_told_to_come_later_and_too_slow_is_told_so(slow_engine: Engine) -> None:
    async def work() -> None:
        async with served(slow_engine, batch=1, queue=2, deadline=0.6) as client:
            posts = [client.post("/v1/chat/completions", json=body("Go on.", max_tokens=500)) for _ in range(6)]
            replies = await asyncio.gather(*posts)
            assert sorted(reply.status_code for reply in replies) == [429, 429, 429, 504, 504, 504]
            for reply in replies:
                assert (reply.status_code == 429) == ("retry-after" in reply.headers)
            stream = await client.post("/v1/chat/completions", json=body("Go on.", max_tokens=500, stream=True))
            assert json.loads(stream.text.strip().split("\n\n")[-1].removeprefix("data: "))["error"]["code"] == "deadline"

    run(work)


def test_a_stop_lets_the_running_answer_end(slow_engine: Engine) -> None:
    from threading import Thread

    replies: list[Any] = []
    with listening_at(create_app(slow_engine, Settings())) as address:
        asked = body("Go on.", max_tokens=30)
        thread = Thread(target=lambda: replies.append(httpx2.post(f"{address}/v1/chat/completions", json=asked, timeout=60)))
        thread.start()
        while _metric(address, "dragonfly_batch_questions_count") == 0:
            time.sleep(0.01)
    thread.join(30)
    assert replies[0].status_code == 200 and replies[0].json()["usage"]["completion_tokens"] == 30


def test_a_bad_row_harms_no_other(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever fails while others run beside it, all of them are asked again, one by one."""
    real, step, ran = engine.answer_conversations, ContinuousBatch.step, list[int]()

    def picky(conversations: Any, images: Any, options: Any, clock: Any, hooks: Any = None) -> Any:
        if any("bad" in str(turns) for turns in conversations):
            raise RuntimeError("bad")
        return real(conversations, images, options, clock, hooks)

    def picky_step(together: ContinuousBatch) -> Any:
        ran.append(len(together.rows))
        if any("bad" in engine.tokenizer.decode(row.prompt) for row in together.rows):
            raise RuntimeError("bad")
        return step(together)

    monkeypatch.setattr(engine, "answer_conversations", picky)
    monkeypatch.setattr(ContinuousBatch, "step", picky_step)

    async def work() -> None:
        async with served(engine) as client:
            posts = [client.post("/v1/chat/completions", json=body(word)) for word in ("good", "bad", "fine", "well")]
            replies = await asyncio.gather(*posts)
        assert [reply.status_code for reply in replies] == [200, 500, 200, 200]
        texts = [reply.json()["choices"][0]["message"]["content"] for reply in replies if reply.status_code == 200]
        assert texts == [engine.ask(None, word, max_new_tokens=6).text for word in ("good", "fine", "well")]

    run(work)
    assert ran


def test_files_become_data_urls_and_addresses_stay(tmp_path: Path) -> None:
    IMAGES[0].save(tmp_path / "a.jpg")
    assert data_url(str(tmp_path / "a.jpg")).startswith("data:image/jpeg;base64,/9j/")
    assert data_url("https://example.org/a.png") == "https://example.org/a.png"


def test_a_slice_of_a_folder_and_a_part_of_a_slide_are_sent_as_they_are_seen(tmp_path: Path) -> None:
    folder = series(tmp_path / "scan", 4)
    colours = np.random.default_rng(0).integers(0, 256, (600, 800, 3), dtype=np.uint8)
    slide = write_slide(tmp_path / "slide.tiff", [colours, colours[::2, ::2]])
    for name in (f"{folder}#slice=3&window=-50,400", f"{folder}#slice=2", f"{folder}#montage=2x2", f"{slide}#region=10,20,64,32"):
        sent = image_url(name)
        payload = base64.b64decode(sent["url"].partition(",")[2])
        view = View.parse(sent.get("view", ""))
        assert load_image(payload, view=view).image.tobytes() == load_image(name).image.tobytes(), name
    with pytest.raises(ValueError, match="no slice 9"):
        image_url(f"{folder}#slice=9")


def test_a_deadline_holds_while_the_model_computes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragonfly.serving.chat._GRACE", 0.1)
    join = ContinuousBatch.join
    monkeypatch.setattr(ContinuousBatch, "join", lambda *given: time.sleep(1.0) or join(*given))

    async def work() -> None:
        async with served(engine, deadline=0.1) as client:
            began = time.monotonic()
            reply = await client.post("/v1/chat/completions", json=body("What?"))
            assert (reply.status_code, reply.json()["error"]["code"]) == (504, "deadline") and time.monotonic() - began < 0.9

    run(work)
