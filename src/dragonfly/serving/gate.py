"""What every request passes before it is read: who may, how much, how long, how many; and what every response carries.

A plain ASGI middleware. Each request ends in one log line and in the counters, neither of which holds what was asked.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import secrets
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from dragonfly.serving.chat import fault
from dragonfly.serving.errors import Refusal, busy
from dragonfly.serving.metrics import Metrics
from dragonfly.serving.settings import Settings

logger = logging.getLogger("dragonfly.serving")

_PAGE = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'"
_NOTHING = "default-src 'none'"
_CLOSED = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_ROUTES = ("/", "/health", "/ready", "/metrics", "/openapi.json", "/v1/chat/completions", "/v1/models", "/v1/zoom")


class Gate:
    """Wraps an application. `alive` says whether it takes requests."""

    def __init__(self, app: Any, settings: Settings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics
        self._keys = [sha256(key.encode()).digest() for key in settings.keys]
        self._active = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # a websocket, which nothing here speaks
            return
        visit = _Visit(scope, send)
        try:
            await self._admitted(scope, receive, visit)
        except Refusal as refusal:
            if not visit.status:
                await refusal.response()(scope, receive, visit.send)
        except Exception as error:
            refusal = fault(error) if visit.status != 500 else None  # 500: the application has said so itself
            if refusal is not None and not visit.status:
                await refusal.response()(scope, receive, visit.send)
        finally:
            self._note(scope, visit)

    async def _admitted(self, scope: Any, receive: Any, visit: _Visit) -> None:
        path, headers = scope["path"], {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._check_host(headers.get("host", ""))
        if self._keys and (path.startswith("/v1/") or path == "/metrics"):
            self._check_key(headers.get("authorization", ""))
        if scope["method"] != "POST":
            await self.app(scope, receive, visit.send)
            return
        if self._active >= self.settings.requests:
            raise busy(retry_after=1 + self._active // (4 * self.settings.batch))
        self._active += 1
        self.metrics.active.set(self._active)
        try:
            body = await self._body(receive, headers)
            await self.app(scope, _replayed(body, receive), visit.send)
        finally:
            self._active -= 1
            self.metrics.active.set(self._active)

    def _check_host(self, host: str) -> None:
        """A page of another site that names itself as this machine's address (DNS rebinding) is not let in."""
        if self.settings.hosts is not None:
            try:
                name = urlsplit(f"//{host}").hostname or ""
            except ValueError:
                name = ""
            if name not in self.settings.hosts:
                raise Refusal(403, f"this server is not called '{name:.100}'; start it with --allow-host to name it so", "host")

    def _check_key(self, authorization: str) -> None:
        scheme, _, key = authorization.partition(" ")
        shown = sha256(key.strip().encode()).digest()
        known = [hmac.compare_digest(shown, one) for one in self._keys]  # all are compared, whichever it is
        if scheme.lower() != "bearer" or not any(known):
            raise Refusal(401, "show an API key of this server: Authorization: Bearer KEY", "invalid_api_key")

    async def _body(self, receive: Any, headers: dict[str, str]) -> bytes:
        limit = self.settings.max_body
        too_large = Refusal(413, f"the body is over the limit of {limit:,} bytes; send smaller or fewer images", "too_large")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 18 or int(length) > limit:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self.settings.body_seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refusal(499, "the client left", "disconnect")
                    body += message.get("body", b"")
                    if len(body) > limit:
                        raise too_large
                    more = message.get("more_body", False)
        except TimeoutError:
            raise Refusal(408, f"the body did not arrive within {self.settings.body_seconds:g} seconds", "slow_body") from None
        return bytes(body)

    def _note(self, scope: Any, visit: _Visit) -> None:
        seconds, path = time.perf_counter() - visit.began, scope["path"]
        route = path if path in _ROUTES else "other"
        self.metrics.requests.labels(route, str(visit.status or 499)).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        line = {"event": "request", "id": visit.id, "method": scope["method"], "route": route, "status": visit.status or 499}
        logger.info(json.dumps({**line, "seconds": round(seconds, 4), **visit.facts}))


class _Visit:
    """One request on its way: its number, what was answered, and facts for the log that handlers add (`scope["state"]`)."""

    def __init__(self, scope: Any, send: Any) -> None:
        self.id, self.began, self.status = secrets.token_hex(8), time.perf_counter(), 0
        self.facts: dict[str, Any] = {}
        self._send, self._page = send, not scope["path"].startswith("/v1/")
        scope["state"] = {**scope.get("state", {}), "facts": self.facts}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            policy = f"{_PAGE if self._page else _NOTHING}; {_CLOSED}"
            own = {**HEADERS, "content-security-policy": policy, "x-request-id": self.id, "cache-control": "no-store"}
            extra = [(name.encode(), value.encode()) for name, value in own.items()]
            names = {name for name, _ in extra}
            message["headers"] = [pair for pair in message.get("headers", []) if pair[0].lower() not in names] + extra
        await self._send(message)


def _replayed(body: bytes, receive: Any) -> Callable[[], Any]:
    """A `receive` that gives the body once, and then what the server still has to say: that the client left."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Any:
        return waiting.pop() if waiting else await receive()

    return again
