"""A server of a tiny model in this process, spoken to by ASGI alone, and one on a port for clients that need one."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import torch
import uvicorn
from PIL import Image

from dragonfly.imaging import worker as imaging_worker
from dragonfly.imaging.pixels import from_bytes
from dragonfly.inference import Engine
from dragonfly.lens.asker import LensAsker
from dragonfly.serving.app import create_app
from dragonfly.serving.gate import Gate
from dragonfly.serving.settings import Settings
from tests import tiny


@pytest.fixture(scope="session")
def engine() -> Engine:
    torch.set_num_threads(1)
    return Engine(tiny.model(), tiny.processor(), name="tiny")


@pytest.fixture
def decoding_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process for each image is imaging's to test; here it would be most of the time."""
    monkeypatch.setattr(imaging_worker, "isolated", from_bytes)


def data_url(image: Image.Image, form: str = "PNG") -> str:
    out = io.BytesIO()
    image.save(out, form)
    return f"data:image/{form.lower()};base64,{base64.b64encode(out.getvalue()).decode()}"


def body(question: str, *images: Image.Image | str, **more: Any) -> dict[str, Any]:
    """A request of one turn."""
    urls = [image if isinstance(image, str) else data_url(image) for image in images]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return {"messages": [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}], "max_tokens": 6, **more}


def events(text: str) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


@asynccontextmanager
async def served(engine: Engine | LensAsker, **settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a server whose worker runs."""
    app = create_app(engine, Settings(**settings))
    async with app.app.router.lifespan_context(app.app), client_of(app) as client:
        yield client


def client_of(app: Gate, **options: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost", timeout=60, **options)


def run(work: Callable[[], Any]) -> Any:
    return asyncio.run(work())


@pytest.fixture
def listening(engine: Engine, decoding_here: None) -> Iterator[str]:
    """The address of a server on a port."""
    with listening_at(create_app(engine, Settings(batch=8))) as address:
        yield address


class _Quiet(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """A thread has none."""


def listening_at(app: Gate) -> Any:
    from contextlib import contextmanager

    @contextmanager
    def serving() -> Iterator[str]:
        server = _Quiet(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=5, ws="none"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()

    return serving()
