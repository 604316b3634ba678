"""Refusals, in the shape that OpenAI's clients read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel


class Fault(BaseModel):
    """What is wrong, in one line, and which field is to blame."""

    message: str
    type: str
    param: str | None
    code: str | None


class Refused(BaseModel):
    """The body of every response that is no answer, as the API's description has it."""

    error: Fault


_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


class Refusal(Exception):
    """A request that is not answered: an HTTP status, one line, and which field is to blame."""

    def __init__(
        self, status: int, message: str, code: str | None = None, param: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param, self.retry_after = status, message, code, param, retry_after

    def body(self) -> dict[str, Any]:
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if self.status in (408, 413):  # what of the body is still to come is not read
            headers["Connection"] = "close"
        return JSONResponse(self.body(), self.status, headers)


def bad(message: str, param: str | None = None, code: str | None = None) -> Refusal:
    """400: the request cannot be meant so."""
    return Refusal(400, message, code, param)


def no_model(name: str, served: Iterable[str], status: int = 400) -> Refusal:
    return Refusal(status, f"there is no model '{name:.100}' here; served: {', '.join(served)}", "model_not_found", "model")


def busy(retry_after: int) -> Refusal:
    return Refusal(429, "the server has as many requests as it takes; try again later", "queue_full", None, retry_after)


def too_late(seconds: float) -> Refusal:
    return Refusal(504, f"no answer within {seconds:g} seconds; ask for fewer tokens, or try again later", "deadline")


def stopping() -> Refusal:
    return Refusal(503, "the server is stopping; try again later", "stopping", None, 10)


def own_fault() -> Refusal:
    """Says nothing of the fault, which may hold what somebody asked."""
    return Refusal(500, "the server failed at this request; its log says where", "internal_error")
