"""In the place of `serving/worker.py`: images are looked at here, and questions are answered by a vLLM at an address.

vLLM batches what it is asked, so every question is one request to it, streamed as token ids. Text, stop strings and confidence
are made of the ids here, by the same code as the engine's. A question that is given up ends its request, and vLLM ends the row.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx2

from dragonfly.inference import Answer
from dragonfly.serving.errors import Refusal, stopping
from dragonfly.serving.metrics import Metrics
from dragonfly.serving.vllm.viewer import Viewer
from dragonfly.serving.worker import GivenUp, Question, Stopping, Worker

POLL = 0.1  # seconds between looks at whether a question was given up
HEALTH = 5.0  # seconds between looks at whether vLLM answers


class VllmWorker(Worker):
    """A worker whose thread is never started.

    Args:
        viewer: of the model that vLLM serves.
        url: where vLLM listens, without `/v1`.
        key: its API key, if it wants one.
        model: the name by which it serves the model; None for the first that it names.
    """

    explains = False  # what a sub-image contributed needs the weights
    transport: httpx2.AsyncBaseTransport | None = None  # a test's

    def __init__(self, viewer: Viewer, url: str, metrics: Metrics, key: str | None = None, model: str | None = None) -> None:
        super().__init__(viewer, 1, metrics)
        self.viewer, self.model = viewer, model
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = httpx2.Timeout(None, connect=10)  # a question's deadline ends it
        self._client = httpx2.AsyncClient(
            base_url=url, headers=headers, timeout=timeout, transport=self.transport, trust_env=False
        )
        self.url, self._images = url, ThreadPoolExecutor(1, "viewer")
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping, self._answers = False, False

    @property
    def alive(self) -> bool:
        """Whether vLLM answered when it was last looked at."""
        return self._answers and not self._stopping

    def unready(self) -> Refusal:
        return stopping() if self._stopping else Refusal(503, f"vLLM at {self.url} does not answer", "engine", None, 10)

    def start(self) -> None:
        self._keep(asyncio.get_running_loop().create_task(self._watch()))

    def stop(self, patience: float | None = None) -> None:
        """Takes nothing more; waits for what is being answered, at most so many seconds."""
        self._stopping = True
        end = time.monotonic() + (patience or 0)
        while self._tasks and time.monotonic() < end:
            time.sleep(POLL)
        self._images.shutdown(cancel_futures=True)

    def submit_with_others(self, work: Callable[[Sequence[Any]], Sequence[Any]], item: Any) -> Future[Any]:
        """Work with images, one at a time."""
        if self._stopping:
            refused: Future[Any] = Future()
            refused.set_exception(Stopping())
            return refused
        return self._images.submit(lambda: work([item])[0])

    def ask(self, question: Question) -> None:
        """Send a question to vLLM; called in the server's loop."""
        if self._stopping:
            question.tell(Stopping())
            return
        question.pieces = self.engine.pieces(question.options)
        self._keep(asyncio.get_running_loop().create_task(self._answer(question)))
        self.metrics.batch.observe(len(self._tasks) - 1)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self) -> None:
        while not self._stopping:
            try:
                self._answers = (await self._client.get("/health", timeout=HEALTH)).is_success
                if self._answers and self.model is None:
                    self.model = (await self._client.get("/v1/models", timeout=HEALTH)).json()["data"][0]["id"]
            except (httpx2.HTTPError, ValueError, LookupError):
                self._answers = False
            for _ in range(int(HEALTH / POLL)):
                if self._stopping:
                    break
                await asyncio.sleep(POLL)
        if others := self._tasks - {asyncio.current_task()}:
            await asyncio.wait(others)
        await self._client.aclose()

    async def _answer(self, question: Question) -> None:
        asking = asyncio.create_task(self._generated(question))
        while not (await asyncio.wait({asking}, timeout=POLL))[0]:
            if (reason := question.given_up()) is not None:
                asking.cancel()
                self.metrics.cancelled.labels(reason).inc()
                question.tell(GivenUp(reason))
                return
        try:
            question.tell(asking.result())
        except (httpx2.HTTPError, ValueError, LookupError, TypeError):
            question.tell(Refusal(502, f"vLLM at {self.url} does not answer as it should; its log says why", "engine", None, 10))
        except BaseException as error:  # whatever it is, who waits must see it
            question.tell(error)

    async def _generated(self, question: Question) -> Answer:
        if self.model is None:
            raise self.unready()
        ids: list[int] = []
        logprobs: list[float] = []
        expected = self.engine.prompt([question.conversation], [question.images])["input_ids"].shape[1]
        pieces = question.pieces
        async for event in self._events(request(question, self.model, self.engine.end_ids)):
            prompt = event.get("prompt_token_ids")
            if prompt is not None and len(prompt) != expected:
                raise Refusal(502, f"vLLM at {self.url} serves another model than '{self.engine.name}'", "engine")
            for choice in event["choices"]:
                ids += choice.get("token_ids") or ()
                logprobs += [one["logprob"] for one in (choice.get("logprobs") or {}).get("content") or ()]
                for token in choice.get("token_ids") or ():
                    if token not in self.engine.end_ids and pieces is not None and (piece := pieces.add(token)):
                        question.tell(piece)
        if len(ids) != len(logprobs) or not ids:
            raise ValueError("ids and log-probabilities do not belong together")
        return self.viewer.answered(ids, logprobs, expected, question.images, question.options)

    async def _events(self, body: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Server-sent events of one answer. Raises Refusal for what vLLM refuses."""
        async with self._client.stream("POST", "/v1/chat/completions", json=body) as response:
            if not response.is_success:
                raise refusal(response.status_code, await response.aread())
            async for line in response.aiter_lines():
                if line.startswith("data: ") and line != "data: [DONE]":
                    event = json.loads(line.removeprefix("data: "))
                    if "error" in event:
                        raise refusal(int(event["error"].get("code") or 502), line.removeprefix("data: ").encode())
                    yield event


def request(question: Question, model: str, end_ids: list[int]) -> dict[str, Any]:
    """A question in the words of vLLM's chat completions; what it would take from elsewhere if nothing were said is said."""
    images = iter(question.images)
    turns: list[dict[str, Any]] = []
    for turn in question.conversation:
        content = turn["content"]
        if not isinstance(content, str):
            content = [
                {"type": "image_url", "image_url": {"url": next(images).url}} if part["type"] == "image" else part  # pyright: ignore[reportAttributeAccessIssue]
                for part in content
            ]
        turns.append({"role": turn["role"], "content": content})
    options = question.options
    sampling = {"top_p": options.top_p, "seed": options.seed} if options.temperature > 0 else {}
    return {
        "model": model,
        "messages": turns,
        "max_tokens": options.max_new_tokens,
        "temperature": options.temperature,
        "top_k": 0,
        "min_p": 0.0,
        **sampling,
        "stop": list(options.stop),
        "stop_token_ids": list(end_ids),
        "stream": True,
        "logprobs": True,
        "top_logprobs": 0,
        "return_token_ids": True,
    }


def refusal(status: int, body: bytes) -> Refusal:
    """What vLLM refuses: a request that it cannot mean, too many of them, or a fault, of which nothing is told."""
    if status in (429, 503):
        return Refusal(429, "vLLM has as many requests as it takes; try again later", "queue_full", None, 5)
    if status != 400:
        return Refusal(502, "vLLM failed at this request; its log says where", "engine")
    try:
        message = str(json.loads(body)["error"]["message"]).partition("\n")[0]
    except (ValueError, LookupError, TypeError):
        message = "no reason given"
    return Refusal(400, f"vLLM refuses: {message:.300}", None, "messages")
