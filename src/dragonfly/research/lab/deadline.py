"""A time limit for a study: training stops with a checkpoint, evaluation between two blocks of questions."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager


class OutOfTime(Exception):
    """The time limit is reached; what has been done is on the disk."""


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
        """Send this process SIGTERM at the limit; training then saves a checkpoint and stops."""
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
    """Send SIGTERM every second from the limit on, because one that comes before training listens is ignored."""
    wait = max(0.0, end - time.monotonic())
    while not done.wait(wait):
        os.kill(os.getpid(), signal.SIGTERM)
        wait = 1.0


def _ignore(signum: int, frame: object) -> None:
    """Outside training, the limit is checked between the parts of a job."""
