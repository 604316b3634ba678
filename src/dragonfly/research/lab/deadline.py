"""A time limit for a long piece of work: training stops with a checkpoint, asking between two blocks."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager


class OutOfTime(Exception):
    """The limit is reached; what is done so far is on the disk."""


class Deadline:
    """`minutes` from now; None for none."""

    def __init__(self, minutes: float | None = None) -> None:
        self.end = None if minutes is None else time.monotonic() + 60 * minutes

    def check(self) -> None:
        """Raise `OutOfTime` when the limit is reached."""
        if self.end is not None and time.monotonic() >= self.end:
            raise OutOfTime

    @contextmanager
    def terminating(self) -> Generator[None]:
        """Send this process SIGTERM at the limit, which training takes as: save a checkpoint and stop."""
        if self.end is None:
            yield
            return
        done = threading.Event()
        main = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGTERM, _ignore) if main else None
        watch = threading.Thread(target=_remind, args=(self.end, done), daemon=True)
        watch.start()
        try:
            yield
        finally:
            done.set()
            watch.join()
            if before is not None:
                signal.signal(signal.SIGTERM, before)


def _remind(end: float, done: threading.Event) -> None:
    """From the limit on, every second: a signal that comes before training listens is not heard."""
    wait = max(0.0, end - time.monotonic())
    while not done.wait(wait):
        os.kill(os.getpid(), signal.SIGTERM)
        wait = 1.0


def _ignore(signum: int, frame: object) -> None:
    """Before training listens and after it, the limit is checked between the parts of a job."""
