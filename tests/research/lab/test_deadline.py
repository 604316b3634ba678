from __future__ import annotations

import signal
import time

import pytest

from dragonfly.research.lab.deadline import Deadline, OutOfTime


def test_a_deadline_is_reached_or_is_none():
    Deadline().check()
    Deadline(5).check()
    with pytest.raises(OutOfTime):
        Deadline(0).check()


def test_the_limit_reaches_training_as_sigterm_and_nobody_else():
    heard: list[int] = []
    before = signal.getsignal(signal.SIGTERM)
    with Deadline(0).terminating():
        signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
        end = time.monotonic() + 10
        while not heard and time.monotonic() < end:
            time.sleep(0.01)
    assert set(heard) == {signal.SIGTERM}
    assert signal.getsignal(signal.SIGTERM) is before
    with Deadline().terminating():
        assert signal.getsignal(signal.SIGTERM) is before
