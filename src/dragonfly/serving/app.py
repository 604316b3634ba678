"""The application: routes over one engine. `create_app(engine)` is what `dragonfly serve` runs, and any ASGI server can."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException

from dragonfly import __version__
from dragonfly.imaging import LoadedImage
from dragonfly.inference import Engine
from dragonfly.lens.asker import LensAsker
from dragonfly.serving.chat import Chat, Exchange, Looked, fault
from dragonfly.serving.errors import Refusal, Refused, bad, no_model
from dragonfly.serving.gate import Gate
from dragonfly.serving.images import Images
from dragonfly.serving.metrics import Metrics
from dragonfly.serving.schema import ChatRequest, ZoomRequest
from dragonfly.serving.settings import Settings
from dragonfly.serving.worker import Worker

_KINDS = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}


def create_app(
    engine: Engine | LensAsker,
    settings: Settings | None = None,
    make_worker: Callable[[Metrics], Worker] | None = None,
    compare: Mapping[str, Engine] | None = None,
) -> Gate:
    """The server as an ASGI application; its worker starts and stops with the application's lifespan.

    `make_worker` makes what answers in the place of the engine's own thread. `compare` are engines that share the first's
    weights (`with_same_weights`), each by what is other about it: they are served beside it, as `NAME:OTHER`. A lens is asked
    one question at a time, and stands alone; its budget is the most that a request may take.
    """
    settings = settings or Settings()
    kind: type[Chat] = Chat
    if isinstance(engine, LensAsker):
        from dragonfly.serving.lens import LensChat, LensWorker

        settings, kind, make_worker = replace(settings, batch=1), LensChat, partial(LensWorker, engine)
    metrics = Metrics()
    answering: Any = engine
    worker = make_worker(metrics) if make_worker else Worker(answering, settings.batch, metrics)

    @asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        worker.start()
        yield
        await asyncio.to_thread(worker.stop, settings.deadline)

    refused: dict[int | str, dict[str, Any]] = {"default": {"model": Refused, "description": "Refused, in OpenAI's shape."}}
    # Its pages of documentation would load scripts from the internet.
    app = FastAPI(title="Dragonfly", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, responses=refused)
    name = Path(engine.name).name if Path(engine.name).is_dir() else engine.name
    _add_errors(app)
    _add_watching(app, worker, metrics)
    _add_page(app)
    models = {name: engine, **{f"{name}:{other}": one for other, one in (compare or {}).items()}}
    images = Images(worker, settings, metrics)
    _add_api(app, kind(worker, images, settings, metrics, models), images, models)
    return Gate(app, settings, metrics)


def _add_api(app: FastAPI, chat: Chat, images: Images, models: Mapping[str, Engine | LensAsker]) -> None:
    began = int(time.time())

    @app.post("/v1/chat/completions", response_model=None)
    async def chat_completions(request: ChatRequest, http: Request) -> Response:
        """Answer a conversation about any number of images; with `stream`, piece by piece as server-sent events."""
        exchange = await chat.begin(request)
        http.state.facts.update(images=len(request.images()), choices=request.n, stream=request.stream)
        if request.stream:
            return StreamingResponse(_watched(http, exchange, chat), media_type="text/event-stream")
        leaving = asyncio.create_task(_leave(http, exchange))
        try:
            answer = await chat.whole(exchange)
        finally:
            leaving.cancel()
        http.state.facts.update(answer["usage"])
        return JSONResponse(answer)

    @app.post("/v1/zoom", response_model=None)
    async def zoom(request: ZoomRequest) -> Response | dict[str, Any]:
        """The sub-images of an image that the model would be given, as JSON or drawn as PNG; or the image itself."""
        name, _ = chat.model(request.model)
        if request.format == "image":
            shown = await images.single(request.image, request.view or "")
            return Response(await asyncio.to_thread(_png, shown.image), headers=_said(shown), media_type="image/png")
        looked = await chat.look(request)
        if request.format == "json":
            return {"object": "zoom", "model": name, **looked.described}
        return Response(await asyncio.to_thread(_drawn, looked, request), media_type="image/png")

    head = {"object": "model", "created": began, "owned_by": "dragonfly"}
    entries = {name: {"id": name, **head, "dragonfly": chat.about(engine)} for name, engine in models.items()}

    @app.get("/v1/models")
    async def listed() -> dict[str, Any]:
        """The model that is served, then it under other policies."""
        return {"object": "list", "data": list(entries.values())}

    @app.get("/v1/models/{model:path}")
    async def one_model(model: str) -> dict[str, Any]:
        """A model that is served, by its name."""
        if model not in entries:
            raise no_model(model, entries, 404)
        return entries[model]


def _add_watching(app: FastAPI, worker: Worker, metrics: Metrics) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """The process runs."""
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> dict[str, str]:
        """The model is loaded and questions are taken."""
        if not worker.alive:
            raise worker.unready()
        return {"status": "ready"}

    @app.get("/metrics", response_class=Response)
    async def counted() -> Response:
        """Counters for Prometheus."""
        return Response(metrics.text(), media_type=Metrics.CONTENT_TYPE)


def _add_page(app: FastAPI) -> None:
    """The page's files, read once: no request names a file."""
    folder = files("dragonfly.serving").joinpath("page")

    def serve(path: str, content: bytes, kind: str) -> None:
        async def page() -> Response:
            return Response(content, media_type=kind)

        app.add_api_route(path, page, include_in_schema=False)

    for file in folder.iterdir():
        suffix = Path(file.name).suffix
        if suffix in _KINDS:
            serve("/" if file.name == "index.html" else f"/{file.name}", file.read_bytes(), _KINDS[suffix])
    for file in folder.joinpath("examples").iterdir():
        serve(f"/examples/{file.name}", file.read_bytes(), "image/png")


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(Refusal)
    async def refused(_: Request, error: Refusal) -> JSONResponse:
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        # A message's content is a text or parts: what is wrong inside a part stands deeper than that it is no text.
        first = max(error.errors(), key=lambda one: len(one["loc"]))
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        if first["type"] == "extra_forbidden":
            return bad(f"'{where:.100}' is not offered here; leave it out", where[:100]).response()
        if first["type"] in ("json_invalid", "model_attributes_type", "missing") and not where.strip("0123456789"):
            return bad("the body is not a JSON object; send one, as Content-Type: application/json").response()
        return bad(f"{where:.100}: {first['msg']}", where[:100] or None).response()

    @app.exception_handler(HTTPException)
    async def shaped(_: Request, error: HTTPException) -> JSONResponse:
        words = {404: "there is nothing here; see /openapi.json", 405: "this method is not offered here; see /openapi.json"}
        return Refusal(error.status_code, words.get(error.status_code, str(error.detail))).response()

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        return fault(error).response()


async def _leave(http: Request, exchange: Exchange) -> None:
    """Give the request up when its client leaves."""
    while (await http.receive())["type"] != "http.disconnect":
        pass
    exchange.give_up()


async def _watched(http: Request, exchange: Exchange, chat: Chat) -> AsyncIterator[str]:
    leaving = asyncio.create_task(_leave(http, exchange))
    try:
        async for event in chat.events(exchange):
            yield event
    finally:
        leaving.cancel()
        exchange.give_up()
        with suppress(asyncio.CancelledError):
            await leaving


def _drawn(looked: Looked, request: ZoomRequest) -> bytes:
    from dragonfly.visualization.zoom import draw_zoom

    seen = looked.seen
    scored = request.scores and seen.selection and seen.selection[0].score is not None
    kept = [item.index for item in seen.selection if item.kept]
    scores = [item.score or 0.0 for item in seen.selection] if scored else None
    drawn = draw_zoom(looked.image.image, seen.layout, kept, scores, question=request.question or "", detail=looked.detail)
    return _png(drawn)


def _said(image: LoadedImage) -> dict[str, str]:
    """What was done to an image, where the response is the image itself: a list in JSON, which is ASCII."""
    return {"Dragonfly-Notes": json.dumps(image.notes)}


def _png(image: Any) -> bytes:
    out = BytesIO()
    image.save(out, format="PNG", compress_level=3)
    return out.getvalue()
