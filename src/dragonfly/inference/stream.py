"""Text as it is generated: pieces that joined are exactly the answer's text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import Queue
from threading import Thread
from typing import Any

from transformers.generation.streamers import BaseStreamer

from dragonfly.inference.answer import Answer


class _Tokens(BaseStreamer):
    """Hands generated ids to a queue; the first `put` is the prompt."""

    def __init__(self, queue: Queue[Any]) -> None:
        self.queue, self.prompt = queue, True

    def put(self, value: Any) -> None:
        if self.prompt:
            self.prompt = False
            return
        for token in value.reshape(-1).tolist():  # several where they were guessed
            self.queue.put(token)

    def end(self) -> None:
        """The answer itself ends the stream."""


class Pieces:
    """Ids as they come -> pieces of text that joined are the whole.

    Args:
        decode: ids -> text with stop strings cut.
        hold: characters to hold back, because they may turn out to begin a stop string.
    """

    def __init__(self, decode: Callable[[list[int]], str], hold: int) -> None:
        self.ids: list[int] = []
        self._decode, self._hold, self._sent = decode, hold, 0

    def add(self, token: int) -> str:
        """What can be shown since the last piece; often nothing."""
        self.ids.append(token)
        text = self._decode(self.ids)
        # A trailing replacement character is a letter whose bytes are not all there yet.
        return self._up_to(text, len(text.rstrip("\ufffd")) - self._hold)

    def rest(self, text: str) -> str:
        """What of the answer's whole text was not shown yet."""
        return self._up_to(text, len(text))

    def _up_to(self, text: str, ready: int) -> str:
        if ready <= self._sent:
            return ""
        piece, self._sent = text[self._sent : ready], ready
        return piece


class Stream(Iterator[str]):
    """An iterator over pieces of text; when it is exhausted, `answer` holds the whole `Answer`.

    Args:
        generate: runs the generation with a streamer and returns the answer; called in a thread.
        pieces: makes text of ids.
    """

    def __init__(self, generate: Callable[[BaseStreamer], Answer], pieces: Pieces) -> None:
        self.answer: Answer | None = None
        self._queue: Queue[Any] = Queue()
        self._pieces = pieces
        self._done = False
        self._thread = Thread(target=self._run, args=(generate,), daemon=True)
        self._thread.start()

    def _run(self, generate: Callable[[BaseStreamer], Answer]) -> None:
        try:
            self._queue.put(generate(_Tokens(self._queue)))
        except BaseException as error:  # whatever it is, the reader must see it
            self._queue.put(error)

    def __next__(self) -> str:
        while not self._done:
            item = self._queue.get()
            if isinstance(item, BaseException):
                self._done = True
                raise item
            if isinstance(item, Answer):
                self.answer, self._done = item, True
                piece = self._pieces.rest(item.text)
            else:
                piece = self._pieces.add(item)
            if piece:
                return piece
        raise StopIteration
