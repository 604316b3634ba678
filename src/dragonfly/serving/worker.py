"""One thread owns the engine: images are encoded as they come, and questions join those being answered between two tokens.

A row's answer does not depend on its batch mates, and each draws by its own seed. A question that is given up (its client left,
its time is over) leaves at the next token. A batch that fails is asked again one by one, so that a bad row harms no other. Models
that `ContinuousBatch` does not fit are asked batch by batch: questions of equal options together, until the last of them ends.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from transformers import StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from dragonfly.imaging import ImagePolicy
from dragonfly.inference import Answer, EncodedImage, Engine, Options
from dragonfly.inference.clock import Clock
from dragonfly.inference.continuous import ContinuousBatch, Row
from dragonfly.inference.options import Hooks
from dragonfly.inference.stream import Pieces
from dragonfly.serving.errors import stopping
from dragonfly.serving.metrics import Metrics


@dataclass(eq=False)
class Question:
    """One answer that is wanted.

    Args:
        conversation: as `Engine.prompt` takes it.
        images: encoded, in the order in which the conversation has them.
        prompt: ids of both.
        options: how to generate.
        deadline: `time.monotonic()` at which nobody waits any longer.
        tell: called in the worker's thread with each piece of text, and at last with the Answer or the exception.
        pieces: makes text of ids as they come, where somebody wants to see it before its end.
    """

    conversation: list[dict[str, Any]]
    images: list[EncodedImage]
    prompt: list[int]
    options: Options
    deadline: float
    tell: Callable[[str | Answer | BaseException], None]
    pieces: Pieces | None = None
    gone: threading.Event = field(default_factory=threading.Event)

    @property
    def key(self) -> Options:
        """Questions of one key share a batch."""
        return replace(self.options, seed=0)

    def given_up(self) -> Literal["disconnect", "deadline"] | None:
        if self.gone.is_set():
            return "disconnect"
        return "deadline" if time.monotonic() > self.deadline else None


class Worker:
    """The thread. `start` before use; `stop` lets what is in a batch end and refuses the rest."""

    explains = True  # 'why' asks the model again
    unready = staticmethod(stopping)

    def __init__(self, engine: Engine, batch: int, metrics: Metrics) -> None:
        self.engine, self.batch, self.metrics = engine, batch, metrics
        self._tasks: deque[_Task] = deque()
        self._questions: deque[Question] = deque()
        self._together: ContinuousBatch | None = None
        self._running: dict[Row, Question] = {}
        self._news = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @property
    def image_policy(self) -> ImagePolicy:
        """How the model wants images loaded."""
        return self.engine.processor.image_processor.image_policy

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and not self._stopping

    def start(self) -> None:
        self._together = ContinuousBatch(self.engine) if ContinuousBatch.fits(self.engine) else None
        self._thread.start()

    def stop(self, patience: float | None = None) -> None:
        """Waits for what is being computed, at most so many seconds."""
        with self._news:
            self._stopping = True
            self._news.notify()
        self._thread.join(patience)

    def submit(self, work: Callable[[], Any]) -> Future[Any]:
        """Work for the engine's thread, done before the next batch."""
        return self.submit_with_others(lambda items: [item() for item in items], work)

    def submit_with_others(self, work: Callable[[Sequence[Any]], Sequence[Any]], item: Any) -> Future[Any]:
        """As `submit`, for work that is cheaper for several at once: it is given all items that wait for the same work.

        Where it fails for some, each is tried by itself.
        """
        task = _Task(work, item)
        with self._news:
            if not self.alive:
                task.future.set_exception(Stopping())
            else:
                self._tasks.append(task)
                self._news.notify()
        return task.future

    def ask(self, question: Question) -> None:
        """Put a question into the queue."""
        with self._news:
            if self.alive:
                self._questions.append(question)
                self.metrics.waiting.set(len(self._questions))
                self._news.notify()
                return
        question.tell(Stopping())

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._stopping or self._tasks or self._questions or self._running)
                tasks, self._tasks = self._tasks, deque()
                stopping = self._stopping
            for work in dict.fromkeys(task.work for task in tasks):
                _settle(work, [task for task in tasks if task.work == work])
            if stopping:
                while self._questions:
                    self._questions.popleft().tell(Stopping())
                if not self._running:
                    return
            with self._news:
                if self._tasks and not self._running:
                    continue  # what came meanwhile may be read together with what waits
                batch = self._next_batch(self.batch - len(self._running))
                self.metrics.waiting.set(len(self._questions))
            if self._together is not None and (batch or self._running):
                self._advance(self._together, batch)
            elif batch:
                self._answer(batch)

    def _next_batch(self, room: int) -> list[Question]:
        """So many that wait for longest; batch by batch, those of the first one's key."""
        batch: list[Question] = []
        rest: deque[Question] = deque()
        for question in self._questions:
            if question.given_up():
                self._give_up(question)
            elif len(batch) < room and (self._together or not batch or question.key == batch[0].key):
                batch.append(question)
            else:
                rest.append(question)
        self._questions = rest
        return batch

    def _give_up(self, question: Question) -> None:
        reason = question.given_up()
        self.metrics.cancelled.labels(reason).inc()
        question.tell(GivenUp(reason))

    def _advance(self, together: ContinuousBatch, joining: list[Question]) -> None:
        """One token more for all that run, and the first for those that join."""
        gone = [row for row, question in self._running.items() if question.given_up()]
        together.drop(gone)
        for row in gone:
            self._give_up(self._running.pop(row))
        new = {self._row(question): question for question in joining}
        self._running |= new
        try:
            done = together.join([*new]) if new else []
            if together.rows:
                self.metrics.batch.observe(len(together.rows))
                done += together.step()
            answers = [(row, together.answer(row)) for row in done]
        except Exception:  # whose fault it is, is not known
            alone, self._running = [*self._running.values()], {}
            self._together = ContinuousBatch(self.engine)
            for question in alone:
                self._answer([question])
            return
        for row, answer in answers:
            self._running.pop(row).tell(answer)

    def _row(self, question: Question) -> Row:
        def told(token: int) -> None:
            if question.pieces is not None and (piece := question.pieces.add(token)):
                question.tell(piece)

        return Row(question.prompt, question.images, question.options, told)

    def _answer(self, batch: list[Question]) -> None:
        self.metrics.batch.observe(len(batch))
        hooks = Hooks(_Rows(self.engine, batch), [question.options.seed for question in batch], [_Ends(batch)])
        conversations, images = [one.conversation for one in batch], [one.images for one in batch]
        try:
            answers = self.engine.answer_conversations(conversations, images, batch[0].key, Clock(), hooks)
        except Exception as error:
            if len(batch) == 1:
                batch[0].tell(error)
            for question in batch if len(batch) > 1 else ():
                self._answer([question])
            return
        for question, answer in zip(batch, answers, strict=True):
            if question.given_up():
                self._give_up(question)
            else:
                question.tell(answer)


class Stopping(Exception):
    """The server is stopping and takes nothing more."""


class GivenUp(Exception):
    """Nobody waits for the answer any longer; says why."""


@dataclass(eq=False)
class _Task:
    work: Callable[[Sequence[Any]], Sequence[Any]]
    item: Any
    future: Future[Any] = field(default_factory=Future)


def _settle(work: Callable[[Sequence[Any]], Sequence[Any]], tasks: Sequence[_Task]) -> None:
    wanted = [task for task in tasks if task.future.running() or task.future.set_running_or_notify_cancel()]
    if not wanted:
        return
    try:
        found = work([task.item for task in wanted])
    except BaseException as error:  # whatever it is, who waits must see it
        if len(wanted) == 1:
            wanted[0].future.set_exception(error)
        for task in wanted if len(wanted) > 1 else ():
            _settle(work, [task])
        return
    for task, result in zip(wanted, found, strict=True):
        task.future.set_result(result)


class _Rows(BaseStreamer):
    """Tells each question of a batch its own text as it comes. The first `put` is the prompt; after its end a row is padding."""

    def __init__(self, engine: Engine, batch: list[Question]) -> None:
        self.batch, self.prompt = batch, True
        self.ends = set(engine.end_ids)
        self.running = set(range(len(batch)))
        for question in batch:  # one that is asked again begins anew, and shows again nothing that it has shown
            if question.pieces is not None:
                question.pieces.ids.clear()

    def put(self, value: Any) -> None:
        if self.prompt:
            self.prompt = False
            return
        for row, token in enumerate(value.reshape(-1).tolist()):
            if row in self.running:
                question = self.batch[row]
                if token in self.ends or question.given_up():
                    self.running.discard(row)
                elif question.pieces is not None and (piece := question.pieces.add(token)):
                    question.tell(piece)

    def end(self) -> None:
        """The answers end the stream."""


class _Ends(StoppingCriteria):
    """Ends the rows of questions that were given up."""

    def __init__(self, batch: list[Question]) -> None:
        self.batch = batch

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return torch.tensor([bool(one.given_up()) for one in self.batch], dtype=torch.bool, device=input_ids.device)
