"""What a server allows: limits, keys and names. Data only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dragonfly.imaging import ImagePolicy


@dataclass(frozen=True)
class Settings:
    """Limits of a server. What exceeds them is refused before it costs much.

    Args:
        max_body: bytes of a request's body.
        max_images: images of one conversation.
        max_pixels: width x height of all images of a request together.
        max_text: characters of all texts of a request together.
        max_tokens: longest answer that may be asked for, in tokens.
        max_choices: answers to one request (`n`).
        batch: questions answered together.
        queue: requests that may wait beside those being answered; the next is answered 429.
        deadline: seconds from a request's arrival to the end of its answer.
        body_seconds: seconds in which a body has to arrive.
        decoders: images that are decoded at a time.
        domains: hosts that images may be fetched from, their subdomains included; none by default.
        hosts: names under which the server may be called; None for any.
        keys: API keys, one of which a caller has to show; none lets everybody in.
    """

    max_body: int = 32 * 2**20
    max_images: int = 16
    max_pixels: int = 2**25
    max_text: int = 100_000
    max_tokens: int = 1024
    max_choices: int = 8
    batch: int = 16
    queue: int = 64
    deadline: float = 120.0
    body_seconds: float = 30.0
    decoders: int = 2
    domains: tuple[str, ...] = ()
    hosts: tuple[str, ...] | None = None
    keys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        counts = ("max_body", "max_images", "max_pixels", "max_text", "max_tokens", "max_choices", "batch", "decoders")
        _check(self, counts, lambda value: isinstance(value, int) and value >= 1, "an integer of at least 1")
        _check(self, ("queue",), lambda value: isinstance(value, int) and value >= 0, "an integer of at least 0")
        _check(self, ("deadline", "body_seconds"), lambda value: value > 0, "a number of seconds above 0")
        for domain in self.domains:
            if not domain or any(letter in domain for letter in "/:@*? "):
                raise ValueError(f"an allowed domain is a host's name such as images.example.org, got '{domain}'")
        if any(not key.strip() for key in self.keys):
            raise ValueError("an API key is empty; give each a text, or no keys at all")

    @property
    def requests(self) -> int:
        """How many may be here at a time, answered and waiting."""
        return self.batch + self.queue

    def image_policy(self, model: ImagePolicy) -> ImagePolicy:
        """How a stranger's image is loaded: converted as the model wants, decoded apart, with this server's limits."""
        return ImagePolicy(
            max_pixels=min(self.max_pixels, model.max_pixels),
            max_bytes=self.max_body,
            missing_data=model.missing_data,
            orient=model.orient,
            alpha=model.alpha,
            sixteen_bit=model.sixteen_bit,
            urls="public" if self.domains else "refuse",
            domains=self.domains,
            isolate=True,
        )


def _check(settings: Settings, names: tuple[str, ...], legal: Callable[[Any], bool], wanted: str) -> None:
    for name in names:
        if not legal(value := getattr(settings, name)):
            raise ValueError(f"{name} must be {wanted}, got {value!r}")
