"""A chat completion: from a checked request to answers, whole or as server-sent events, with the boxes that were looked at."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
import traceback
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from dragonfly import __version__
from dragonfly.imaging import LoadedImage
from dragonfly.inference import Answer, EncodedImage, Engine, Options
from dragonfly.inference.conversation import text_of
from dragonfly.inference.occlusion import explain
from dragonfly.serving.errors import Refusal, bad, no_model, own_fault, stopping, too_late
from dragonfly.serving.images import Images
from dragonfly.serving.metrics import Metrics
from dragonfly.serving.schema import ChatRequest, ZoomRequest
from dragonfly.serving.settings import Settings
from dragonfly.serving.worker import GivenUp, Question, Stopping, Worker

_GRACE = 2.0  # seconds after the deadline in which the worker, which looks at each token, may say so itself


@dataclass
class Exchange:
    """One request being answered: its questions (one per choice), and what they say, as (choice, said)."""

    request: ChatRequest
    model: str
    engine: Any  # what answers: an Engine, or a lens in its place
    options: Options
    conversation: list[dict[str, Any]]
    images: list[EncodedImage]
    deadline: float
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(12)}")
    created: int = field(default_factory=lambda: int(time.time()))
    questions: list[Question] = field(default_factory=list)
    said: asyncio.Queue[tuple[int, Any]] = field(default_factory=asyncio.Queue)

    async def next(self) -> tuple[int, Any]:
        """What is said next; GivenUp where even the worker does not say in time that time is over."""
        try:
            async with asyncio.timeout(max(0.0, self.deadline - time.monotonic()) + _GRACE):
                return await self.said.get()
        except TimeoutError:
            return 0, GivenUp("deadline")

    def teller(self, choice: int) -> Callable[[Any], None]:
        """What a question is told with: called in the worker's thread, heard in the server's loop."""
        loop = asyncio.get_running_loop()

        def tell(said: Any) -> None:
            with suppress(RuntimeError):  # the server has ended, and nobody waits any longer
                loop.call_soon_threadsafe(self.said.put_nowait, (choice, said))

        return tell

    def give_up(self) -> None:
        for question in self.questions:
            question.gone.set()


@dataclass(frozen=True)
class Looked:
    """Where a model looks in an image: `described` as JSON has it; `detail`, the least share of the resolution (`draw_zoom`)."""

    image: LoadedImage
    seen: EncodedImage
    described: dict[str, Any]
    detail: float = 1.0


class Chat:
    """Answers chat completions by one worker.

    `models` are the worker's engine and those that share its weights, by name; the first answers where a request names none.
    Each encodes its own images and writes its own prompts; the worker generates for all of them.
    """

    def __init__(self, worker: Worker, images: Images, settings: Settings, metrics: Metrics, models: Mapping[str, Any]) -> None:
        self.worker, self.images, self.settings, self.metrics, self.models = worker, images, settings, metrics, models

    def model(self, name: str | None) -> tuple[str, Any]:
        """The name and engine that a request means. Raises Refusal."""
        name = next(iter(self.models)) if name is None else name
        if name not in self.models:
            raise no_model(name, self.models)
        return name, self.models[name]

    async def begin(self, request: ChatRequest) -> Exchange:
        """Check a request, load its images and put its questions into the queue. Raises Refusal."""
        deadline = time.monotonic() + self.settings.deadline
        request.check(self.settings)
        name, engine = self.model(request.model)
        if request.dragonfly.max_image_tokens or request.dragonfly.max_calls:
            raise bad("a budget of image tokens and calls is for a lens, and none is served here; leave it out", "dragonfly")
        if request.dragonfly.why and not self.worker.explains:
            raise bad("'why' asks the model again without a sub-image, which vLLM cannot; leave it out", "dragonfly")
        options = request.options(self.settings)
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + self.settings.deadline):
                encoded = await self.images.encoded(request.images(), engine)
                conversation = request.conversation([image.label for image in encoded])
                work = self.worker.submit_with_others(_Preparing(engine), (conversation, encoded, options))
                images, prompt = await asyncio.wrap_future(work)
                exchange = Exchange(request, name, engine, options, conversation, images, deadline)
        except TimeoutError:
            raise too_late(self.settings.deadline) from None
        except Stopping:
            raise stopping() from None
        # Greedy answers to one question are the same: they are generated once.
        for choice in range(request.n if options.temperature > 0 else 1):
            own = replace(options, seed=(options.seed + choice) % 2**63)
            pieces = self.worker.engine.pieces(own) if request.stream else None
            exchange.questions.append(Question(conversation, images, prompt, own, deadline, exchange.teller(choice), pieces))
        for question in exchange.questions:
            self.worker.ask(question)
        return exchange

    async def look(self, request: ZoomRequest) -> Looked:
        """The sub-images of an image that the model would be given. Raises Refusal."""
        _, engine = self.model(request.model)
        if engine.processor.asks and not (request.question or "").strip():
            raise bad("this model chooses by the question; give one", "question")
        loaded = await self.images.single(request.image, request.view or "")

        def seen() -> EncodedImage:
            return engine.connect(engine.encode([loaded])[0], request.question or "")

        try:
            found = await asyncio.wrap_future(self.worker.submit(seen))
        except ValueError as error:
            raise bad(str(error)) from None
        except Stopping:
            raise stopping() from None
        return Looked(loaded, found, describe_image(found))

    def about(self, engine: Any) -> dict[str, Any]:
        """What `/v1/models` says of a model."""
        processor = engine.processor.image_processor
        return {
            "preset": processor.preset,
            "policy": processor.spec.selection.policy,
            "conversation": True,
            **self.about_limits(engine.model),
        }

    def about_limits(self, model: Any) -> dict[str, Any]:
        limits = ("max_images", "max_pixels", "max_body", "max_text", "max_tokens")
        return {
            "context": getattr(model.config.get_text_config(), "max_position_embeddings", None),
            "why": self.worker.explains,
            "limits": {key: getattr(self.settings, key) for key in limits},
        }

    async def answers(self, exchange: Exchange) -> list[Answer]:
        """An answer for each choice, when all are there. Raises Refusal."""
        answers: dict[int, Answer] = {}
        while len(answers) < len(exchange.questions):
            choice, said = await exchange.next()
            if isinstance(said, BaseException):
                exchange.give_up()
                raise self._refusal(said)
            if isinstance(said, Answer):
                answers[choice] = said
        return [answers[choice % len(answers)] for choice in range(exchange.request.n)]

    async def whole(self, exchange: Exchange) -> dict[str, Any]:
        """The response of a request that does not stream. Raises Refusal."""
        found = await self.answers(exchange)
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": answer.text, "refusal": None},
                "finish_reason": answer.finish,
                "logprobs": self._logprobs(answer) if exchange.request.logprobs else None,
            }
            for index, answer in enumerate(found)
        ]
        extension = self._extension(exchange, found)
        if exchange.request.dragonfly.why:
            extension["why"] = await self._why(exchange, found[0])
        head = self._head(exchange, "chat.completion")
        return {**head, "choices": choices, "usage": self._usage(found), "dragonfly": extension}

    async def events(self, exchange: Exchange) -> AsyncIterator[str]:
        """The events of a request that streams; a fault on the way is an event too. Who stops reading gives the request up."""
        try:
            async for chunk in self._chunks(exchange):
                yield f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
            yield "data: [DONE]\n\n"
        except Refusal as refusal:
            yield f"data: {json.dumps(refusal.body(), ensure_ascii=False)}\n\n"
        finally:
            exchange.give_up()

    async def _chunks(self, exchange: Exchange) -> AsyncIterator[dict[str, Any]]:
        request, head = exchange.request, self._head(exchange, "chat.completion.chunk")
        # Greedy answers are generated once and said n times.
        same = {choice: [choice] for choice in range(request.n)} if len(exchange.questions) > 1 else {0: [*range(request.n)]}
        if request.stream_options is not None and request.stream_options.include_usage:
            head["usage"] = None

        def chunk(choice: int, delta: dict[str, Any], **more: Any) -> dict[str, Any]:
            return {**head, "choices": [{"index": choice, "delta": delta, "finish_reason": None, "logprobs": None, **more}]}

        for choice in range(request.n):
            yield chunk(choice, {"role": "assistant", "content": ""})
        answers: dict[int, Answer] = {}
        while len(answers) < len(exchange.questions):
            number, said = await exchange.next()
            if isinstance(said, BaseException):
                raise self._refusal(said)
            piece, logprobs = said, None
            if isinstance(said, Answer):
                pieces = exchange.questions[number].pieces
                piece = pieces.rest(said.text) if pieces is not None else said.text
                answers[number] = said
                logprobs = self._logprobs(said) if request.logprobs else None
            for choice in same[number]:
                if piece:
                    yield chunk(choice, {"content": piece})
                if isinstance(said, Answer):
                    yield chunk(choice, {}, finish_reason=said.finish, logprobs=logprobs)
        found = [answers[choice % len(answers)] for choice in range(request.n)]
        usage = {"usage": self._usage(found)} if "usage" in head else {}
        yield {**head, "choices": [], **usage, "dragonfly": self._extension(exchange, found)}

    def _refusal(self, error: BaseException) -> Refusal:
        if isinstance(error, Stopping):
            return stopping()
        if isinstance(error, GivenUp):
            if error.args == ("disconnect",):
                return Refusal(499, "the client left", "disconnect")
            return too_late(self.settings.deadline)
        return error if isinstance(error, Refusal) else fault(error)

    def _head(self, exchange: Exchange, kind: str) -> dict[str, Any]:
        return {
            "id": exchange.id,
            "object": kind,
            "created": exchange.created,
            "model": exchange.model,
            "system_fingerprint": f"dragonfly-{__version__}",
        }

    def _usage(self, answers: list[Answer]) -> dict[str, Any]:
        prompt, completion = self._prompt_tokens(answers[0]), sum(len(answer.token_ids) for answer in answers)
        self.metrics.tokens.labels("prompt").inc(prompt)
        self.metrics.tokens.labels("completion").inc(completion)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    def _prompt_tokens(self, answer: Answer) -> int:
        return answer.prompt_tokens

    def _logprobs(self, answer: Answer) -> dict[str, Any]:
        tokens = self.worker.engine.tokenizer.convert_ids_to_tokens(list(answer.token_ids))
        texts = [self.worker.engine.tokenizer.decode([token]) for token in answer.token_ids]
        return {
            "content": [
                {
                    "token": text or token,
                    "logprob": value,
                    "bytes": None if "\ufffd" in text else [*text.encode()],
                    "top_logprobs": [],
                }
                for token, text, value in zip(tokens, texts, answer.logprobs, strict=True)
            ],
            "refusal": None,
        }

    def _extension(self, exchange: Exchange, answers: list[Answer]) -> dict[str, Any]:
        return {
            "confidence": [round(answer.confidence, 6) for answer in answers],
            "seed": exchange.options.seed if exchange.options.temperature > 0 else None,
            "images": [describe_image(image) for image in exchange.images],
        }

    async def _why(self, exchange: Exchange, answer: Answer) -> dict[str, Any]:
        turns = exchange.conversation
        system = turns[0]["content"] if len(turns) > 1 else None
        question = exchange.request.question()
        work = self.worker.submit(lambda: explain(exchange.engine, exchange.images, question, answer, system).to_dict())
        try:
            return await asyncio.wrap_future(work)
        except Stopping:
            raise stopping() from None


@dataclass(frozen=True)
class _Preparing:
    """Conversations, their images and options -> the images as the questions want them, and prompts. In the worker's thread."""

    engine: Engine

    def __call__(
        self, asked: Sequence[tuple[list[dict[str, Any]], list[EncodedImage], Options]]
    ) -> list[tuple[list[EncodedImage], list[int]]]:
        """Raises Refusal for what the model cannot take."""
        conversations = [conversation for conversation, _, _ in asked]
        try:
            questions = [text_of(turns[-1]) for turns, images, _ in asked for _ in images]
            seen = iter(self.engine.connect_all([image for _, images, _ in asked for image in images], questions))
            connected = [list(islice(seen, len(images))) for _, images, _ in asked]
            prompts = self.engine.prompt(conversations, connected)
        except ValueError as error:
            raise unanswerable(error) from None
        rows = zip(prompts["input_ids"].tolist(), prompts["attention_mask"].sum(dim=1).tolist(), strict=True)
        prompt_ids = [ids[len(ids) - length :] for ids, length in rows]
        for ids, (_, _, options) in zip(prompt_ids, asked, strict=True):
            self._check(len(ids), options.max_new_tokens)
        return list(zip(connected, prompt_ids, strict=True))

    def _check(self, prompt: int, answer: int) -> None:
        limit = getattr(self.engine.model.config.get_text_config(), "max_position_embeddings", None)
        if limit is not None and prompt + answer > limit:
            raise bad(
                f"the prompt has {prompt} tokens and the answer may have {answer}, over the model's {limit} "
                "together; ask for a shorter answer (max_tokens), with fewer images or a shorter text",
                "max_tokens",
                "context_length_exceeded",
            )


def unanswerable(error: ValueError) -> Refusal:
    """400, for what the model cannot take."""
    code = "context_length_exceeded" if "tokens and the model takes" in str(error) else None
    return bad(str(error), "messages", code)


def describe_image(image: EncodedImage) -> dict[str, Any]:
    """Where the model looked in an image: boxes are (left, top, right, bottom) in source pixels, size is (height, width)."""
    layout = image.layout
    return {
        "size": list(layout.size),
        "label": image.label,
        "tokens": layout.num_image_tokens,
        "regions": [list(box) for box in layout.level_boxes("mid")],
        "kept": [item.index for item in image.selection if item.kept],
        "sub_images": [
            {"index": item.index, "box": list(item.box), "score": item.score, "kept": item.kept, "region": item.region}
            for item in image.selection
        ],
        "notes": [note.removeprefix("bytes: ") for note in image.notes],
    }


def fault(error: BaseException) -> Refusal:
    """500, and a line in the log that says where it happened, and nothing of what was asked."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "unknown"
    logging.getLogger("dragonfly.serving").error(json.dumps({"event": "fault", "kind": type(error).__name__, "place": place}))
    return own_fault()
