"""A lens behind the API: one image, one question, and a budget of visual tokens and calls that a request may lower.

One thread asks one question after the other, for a lens takes one at a time. An image waits as it was sent, and is decoded when
its turn comes, because decoded ones take memory. A stream brings the answer in one piece.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from dragonfly.imaging import ImagePolicy, LoadedImage
from dragonfly.inference import EncodedImage
from dragonfly.lens.asker import LensAsker
from dragonfly.lens.lens import LensAnswer
from dragonfly.lens.methods import METHODS
from dragonfly.serving.chat import Chat, Exchange, Looked, describe_image, unanswerable
from dragonfly.serving.errors import bad
from dragonfly.serving.metrics import Metrics
from dragonfly.serving.schema import ChatRequest, Extension, ZoomRequest
from dragonfly.serving.worker import GivenUp, Question, Worker


@dataclass(eq=False)
class LensQuestion(Question):
    """A question to a lens: `asker` has this request's budget, `load` decodes its image when it is called."""

    asker: LensAsker | None = None
    words: str = ""
    load: Callable[[], LoadedImage] | None = None


class LensWorker(Worker):
    """The thread that owns a lens: questions in the order in which they came, each by itself."""

    explains = False  # a lens has no sub-images to leave out

    def __init__(self, asker: LensAsker, metrics: Metrics) -> None:
        engine: Any = asker
        super().__init__(engine, 1, metrics)
        self.asker = asker

    @property
    def image_policy(self) -> ImagePolicy:
        return self.asker.image_policy

    def start(self) -> None:
        self._thread.start()

    def _answer(self, batch: list[Question]) -> None:
        (question,) = batch
        assert isinstance(question, LensQuestion) and question.asker is not None
        self.metrics.batch.observe(1)
        try:
            with self._watched(question):
                image = None
                if question.load is not None:
                    image = question.load()
                    self.metrics.images.labels("decoded").inc()
                answer = question.asker.ask(image, question.words, max_new_tokens=question.options.max_new_tokens)
        except GivenUp:
            self._give_up(question)
        except ValueError as error:
            # A request's max_tokens is the answer's length.
            question.tell(unanswerable(ValueError(str(error).replace("max_tokens", "max_image_tokens"))))
        except Exception as error:
            question.tell(error)
        else:
            question.tell(answer)

    @contextmanager
    def _watched(self, question: Question) -> Generator[None]:
        """Meanwhile each pass of the model begins with a look at who has left: this question ends, those that wait go."""

        def look(*_: Any) -> None:
            with self._news:
                self._next_batch(0)
                self.metrics.waiting.set(len(self._questions))
            if (reason := question.given_up()) is not None:
                raise GivenUp(reason)

        hook = self.asker.model.register_forward_pre_hook(look)
        try:
            yield
        finally:
            hook.remove()


class LensChat(Chat):
    """Answers chat completions through a lens. `models` holds the one that is served, with the most that a question may take."""

    async def begin(self, request: ChatRequest) -> Exchange:
        """Check a request and put its question into the queue. Raises Refusal."""
        deadline = time.monotonic() + self.settings.deadline
        request.check(self.settings)
        name, served = self.model(request.model)
        self._check(request)
        asker, options = within(served, request.dragonfly), request.options(self.settings)
        words = request.question()
        try:
            asker.lens.reader.check_question(words)
        except ValueError as error:
            raise bad(str(error), "messages") from None
        wanted = await self.images.read(request.images())
        load = partial(self.images.decode, *wanted[0]) if wanted else None
        exchange = Exchange(request, name, served, options, [], [], deadline)
        question = LensQuestion([], [], [], options, deadline, exchange.teller(0), asker=asker, words=words, load=load)
        exchange.questions.append(question)
        self.worker.ask(question)
        return exchange

    def _check(self, request: ChatRequest) -> None:
        """What a lens cannot do. Raises Refusal."""
        if len(request.messages) > 1:
            raise bad("a lens is asked one question by itself; send one user message, no earlier turns and no system", "messages")
        if (count := len(request.images())) > 1:
            raise bad(f"a lens looks at one image, and {count} are sent; ask about each by itself", "messages")
        if request.temperature > 0:
            raise bad(f"a lens answers greedily, and temperature is {request.temperature:g}; leave it out", "temperature")
        if request.stop:
            raise bad("a lens does not end at a text of yours; leave 'stop' out", "stop")
        if request.dragonfly.why:
            raise bad("'why' leaves out sub-images, and a lens has views; leave it out", "dragonfly")

    async def look(self, request: ZoomRequest) -> Looked:
        """Where the lens looks for a question, which is asked for it. Raises Refusal."""
        if not (request.question or "").strip():
            raise bad("a lens looks where the question leads; give one", "question")
        _, served = self.model(request.model)
        image = {"type": "image_url", "image_url": {"url": request.image, "view": request.view}}
        messages = [{"role": "user", "content": [image, {"type": "text", "text": request.question}]}]
        # Where it looks is known before it answers, unless it answers first to know whether to look closer.
        length = None if METHODS[served.lens.method].needs.answers > 1 else 1
        exchange = await self.begin(ChatRequest.model_validate({"messages": messages, "max_tokens": length}))
        answer = (await self.answers(exchange))[0]
        assert isinstance(answer, LensAnswer)
        shown = await self.images.single(request.image, request.view or "")
        return Looked(shown, _seen(answer), _described(answer), answer.detail)

    def about(self, engine: Any) -> dict[str, Any]:
        reader = engine.lens.reader
        return {
            **super().about_limits(reader.model),
            "preset": None,
            "policy": engine.lens.method,
            "family": reader.model.config.model_type,
            "conversation": False,
            "max_image_tokens": engine.max_tokens,
            "max_calls": engine.max_calls,
        }

    def _usage(self, answers: list[Any]) -> dict[str, Any]:
        return {**super()._usage(answers), "prompt_tokens_details": {"image_tokens": answers[0].image_tokens}}

    def _prompt_tokens(self, answer: Any) -> int:
        """Of all calls: those that looked have read the image too."""
        return answer.all_prompt_tokens

    def _extension(self, exchange: Exchange, answers: list[Any]) -> dict[str, Any]:
        answer = answers[0]
        spent = {"method": answer.method, "calls": answer.calls, "image_tokens": answer.image_tokens}
        images = [_described(answer)] if answer.layouts else []
        return {**super()._extension(exchange, answers), "images": images, **spent}


def within(served: LensAsker, wanted: Extension) -> LensAsker:
    """The lens under a request's budget, which may lower the server's. Raises Refusal."""
    budget: dict[str, int] = {}
    for name, key, limit in (
        ("max_image_tokens", "max_tokens", served.max_tokens),
        ("max_calls", "max_calls", served.max_calls),
    ):
        value = getattr(wanted, name) or limit
        if value > limit:
            raise bad(f"dragonfly.{name} is {value}, over the limit of {limit}", "dragonfly")
        budget[key] = value
    return LensAsker(served.lens, **budget)


def _seen(answer: LensAnswer) -> EncodedImage:
    return EncodedImage("", answer.layouts[0], selection=answer.selections[0], notes=answer.notes)


def _described(answer: LensAnswer) -> dict[str, Any]:
    """As `describe_image`; and the views that the answering call was handed."""
    said = answer.to_dict()
    return {
        **describe_image(_seen(answer)),
        "tokens": answer.image_tokens,
        "views": said["views"],
        "stated": said["stated"],
        "detail": said["detail"],
    }
