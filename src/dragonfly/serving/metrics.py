"""What a server counts, for Prometheus. Counts and seconds only: nothing of what was asked or answered."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The counters of one server, in a registry of its own."""

    CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        self.requests = Counter("dragonfly_requests", "Requests by route and status.", ["route", "status"], registry=own)
        self.seconds = Histogram(
            "dragonfly_request_seconds", "From a request's arrival to its last byte.", ["route"], buckets=_SECONDS, registry=own
        )
        self.active = Gauge("dragonfly_active_requests", "Requests that are being answered or wait.", registry=own)
        self.waiting = Gauge("dragonfly_waiting_questions", "Questions that wait for a batch.", registry=own)
        self.batch = Histogram(
            "dragonfly_batch_questions",
            "Questions answered together, at each token.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=own,
        )
        self.tokens = Counter("dragonfly_tokens", "Tokens by kind: prompt, completion.", ["kind"], registry=own)
        self.images = Counter("dragonfly_images", "Images by where they came from: cache, decoded.", ["source"], registry=own)
        self.cancelled = Counter("dragonfly_cancelled", "Questions given up: disconnect, deadline.", ["reason"], registry=own)

    def text(self) -> bytes:
        return generate_latest(self.registry)
