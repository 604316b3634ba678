"""A stand-in for vLLM: the tiny engine behind vLLM's chat completions, as far as our server asks for them."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from PIL import Image

from dragonfly.inference import Engine
from dragonfly.inference.engine import Clock
from dragonfly.inference.options import Options
from dragonfly.serving.vllm.worker import VllmWorker
from tests import tiny


class StandIn:
    """Answers as vLLM does: ids and log-probabilities of each token, and the prompt's ids first."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.asked: list[Any] = []
        self.fault: tuple[int, str] | None = None
        self.app = FastAPI()
        self.app.add_api_route("/health", lambda: {})
        self.app.add_api_route("/v1/models", lambda: {"data": [{"id": "served"}]})
        self.app.add_api_route("/v1/chat/completions", self.chat, methods=["POST"], response_model=None)

    async def chat(self, request: Request) -> Any:
        body: dict[str, Any] = await request.json()
        self.asked.append((body, request.headers.get("authorization")))
        if self.fault is not None:
            return JSONResponse({"error": {"message": self.fault[1]}}, self.fault[0])
        return StreamingResponse(self.events(body), media_type="text/event-stream")

    async def events(self, body: dict[str, Any]) -> AsyncIterator[str]:
        turns, images = [], []
        for turn in body["messages"]:
            content = turn["content"]
            for part in content if isinstance(content, list) else ():
                if part["type"] == "image_url":
                    data = base64.b64decode(part["image_url"]["url"].removeprefix("data:image/png;base64,"))
                    images.append(Image.open(io.BytesIO(data)))
            parts = (
                [part if part["type"] == "text" else {"type": "image"} for part in content]
                if isinstance(content, list)
                else content
            )
            turns.append({"role": turn["role"], "content": parts})
        encoded = self.engine.encode(images)
        options = Options.of(max_new_tokens=body["max_tokens"], stop=tuple(body["stop"]))
        prompt = self.engine.prompt([turns], [encoded])["input_ids"][0].tolist()
        (answer,) = self.engine.answer_conversations([turns], [encoded], options, Clock())
        yield event(choices=[{"index": 0, "delta": {"role": "assistant"}}], prompt_token_ids=prompt)
        for token, value in zip(answer.token_ids, answer.logprobs, strict=True):
            said = {"content": [{"token": "?", "logprob": value}]}
            yield event(choices=[{"index": 0, "delta": {"content": "?"}, "token_ids": [token], "logprobs": said}])
        yield "data: [DONE]\n\n"


def event(**fields: Any) -> str:
    return f"data: {json.dumps(fields)}\n\n"


@pytest.fixture
def stand_in(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    found = StandIn(engine)
    monkeypatch.setattr(VllmWorker, "transport", httpx2.ASGITransport(found.app))
    return found


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine's model as a directory."""
    folder = tmp_path_factory.mktemp("vllm") / "tiny"
    tiny.model().save_pretrained(folder)
    tiny.processor().save_pretrained(folder)
    return folder
