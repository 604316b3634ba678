"""Seconds per phase of an answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Clock:
    """Starts when it is made."""

    started: float = field(default_factory=time.perf_counter)
    phases: dict[str, float] = field(default_factory=dict[str, float])

    def timed(self, phase: str, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        start = time.perf_counter()
        result = work(*args, **options)
        self.phases[phase] = self.phases.get(phase, 0.0) + time.perf_counter() - start
        return result

    def report(self) -> dict[str, float]:
        return {**self.phases, "total": time.perf_counter() - self.started}
