"""Images of a request: checked before they are decoded, decoded apart, encoded by the worker, and remembered.

A data URL of any form that `imaging` reads, whatever it calls itself, or an address of an allowed domain; never a path. What the
engine's cache holds, as in a conversation whose every turn brings its images again, is not decoded again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

from dragonfly.imaging import LoadedImage, View, load_image
from dragonfly.imaging.load import content_digest, from_data_url
from dragonfly.imaging.policy import ImageError
from dragonfly.inference import EncodedImage, Engine
from dragonfly.inference.clock import Clock
from dragonfly.serving.errors import Refusal, bad
from dragonfly.serving.metrics import Metrics
from dragonfly.serving.schema import Asked
from dragonfly.serving.settings import Settings
from dragonfly.serving.worker import Worker

_SMALL = 2**19  # characters of a URL; a millisecond's work
_TOGETHER = 8  # images; all their sub-images are in memory at once


class Images:
    """Loads and encodes, for one server."""

    def __init__(self, worker: Worker, settings: Settings, metrics: Metrics) -> None:
        self.worker, self.settings, self.metrics = worker, settings, metrics
        self.policy = settings.image_policy(worker.image_policy)
        self._decoding = asyncio.Semaphore(settings.decoders)
        self._pixels = asyncio.Semaphore(settings.batch)  # requests whose decoded images wait for the tower: they take memory

    async def encoded(self, asked: Sequence[Asked], engine: Engine) -> list[EncodedImage]:
        """The images of a conversation, encoded by an engine of the worker's. Raises Refusal."""
        wanted = await self.read(asked)
        known = {each: image for each in dict.fromkeys(wanted) if (image := self._recalled(*each, engine))}
        self.metrics.images.labels("cache").inc(len([each for each in wanted if each in known]))
        if all(each in known for each in wanted):
            return [known[each] for each in wanted]
        async with self._pixels:
            given = [known[each] if each in known else await self._loaded(*each, n) for n, each in enumerate(wanted, start=1)]
            self._check_pixels(given)
            self.metrics.images.labels("decoded").inc(sum(isinstance(one, LoadedImage) for one in given))
            return await asyncio.wrap_future(self.worker.submit_with_others(_Encoding(engine), given))

    async def read(self, asked: Sequence[Asked]) -> list[tuple[str | bytes, View]]:
        """The images of a request before they are decoded: bytes or an allowed address, and the view. Raises Refusal."""
        views = self._check(asked)
        data = [await self._read(url, number) for number, (url, _) in enumerate(asked, start=1)]
        return list(zip(data, views, strict=True))

    def decode(self, source: str | bytes, view: View, number: int = 1) -> LoadedImage:
        """One image, decoded in a process of its own; called in a thread. Raises Refusal."""
        try:
            return load_image(source, self.policy, None, view)
        except ValueError as error:
            raise _unreadable(number, str(error).removeprefix("bytes ")) from None

    async def _loaded(self, source: str | bytes, view: View, number: int = 1) -> LoadedImage:
        async with self._decoding:
            return await asyncio.to_thread(self.decode, source, view, number)

    async def single(self, url: str, view: str) -> LoadedImage:
        """The image of a request that is drawn on."""
        (shown,) = self._check([(url, view)])
        return await self._loaded(await self._read(url, 1), shown)

    def _check(self, asked: Sequence[Asked]) -> list[View]:
        """The views of images whose addresses may be read. Raises Refusal."""
        if len(asked) > self.settings.max_images:
            raise bad(f"{len(asked)} images, over the limit of {self.settings.max_images} in one request", "messages")
        views: list[View] = []
        for number, (url, view) in enumerate(asked, start=1):
            scheme = url[:8].partition(":")[0].lower()
            if scheme != "data" and not (scheme in ("http", "https") and self.settings.domains):
                also = f", or an address of {', '.join(self.settings.domains)}" if self.settings.domains else ""
                raise bad(f"image {number} is not a data URL (data:image/png;base64,...){also}; this server reads nothing else")
            try:
                views.append(View.parse(view))
            except ImageError as error:
                raise _unreadable(number, str(error)) from None
        return views

    async def _read(self, url: str, number: int) -> str | bytes:
        """Large ones in a thread, so that others need not wait; small ones are read sooner than a thread is woken."""
        return self._bytes(url, number) if len(url) < _SMALL else await asyncio.to_thread(self._bytes, url, number)

    def _bytes(self, url: str, number: int) -> str | bytes:
        """What a data URL holds; an address stays as it is."""
        if url[:5].lower() != "data:":
            return url
        header, comma, payload = url.partition(",")
        if header.lower().endswith(";base64"):  # the bytes say what they are: a browser has no type for many medical files
            header = "data:image/any;base64"
        try:
            return from_data_url(f"{header}{comma}{payload}", self.policy)
        except ImageError as error:
            raise _unreadable(number, str(error)) from None

    def _recalled(self, data: str | bytes, view: View, engine: Engine) -> EncodedImage | None:
        if isinstance(data, str):  # what lies at an address may change
            return None
        found = engine.cache.get(engine.key(content_digest(data, view), self.policy))
        return None if found is None else replace(found, notes=tuple(f"bytes: {note}" for note in found.notes))

    def _check_pixels(self, images: Sequence[LoadedImage | EncodedImage]) -> None:
        sizes = [image.size if isinstance(image, LoadedImage) else image.layout.size for image in images]
        total = sum(height * width for height, width in sizes)
        if total > self.settings.max_pixels:
            raise bad(f"the images have {total:,} pixels together, over the limit of {self.settings.max_pixels:,}", "messages")


@dataclass(frozen=True)
class _Encoding:
    """The images of several conversations, `_TOGETHER` at a time in one pass of the tower."""

    engine: Engine

    def __call__(self, rows: Sequence[list[Any]]) -> list[list[EncodedImage]]:
        clock = Clock()
        try:
            loaded = [self.engine.load(row, clock) for row in rows]
            flat = [image for row in loaded for image in row]
            parts = [flat[start : start + _TOGETHER] for start in range(0, len(flat), _TOGETHER)]
            encoded = chain.from_iterable([self.engine.encode(part, clock) for part in parts])
        except ValueError as error:
            raise bad(str(error), "messages", "context_length_exceeded") from None
        return [list(islice(encoded, len(row))) for row in rows]


def _unreadable(number: int, reason: str) -> Refusal:
    return bad(f"image {number} {reason}", "messages", "invalid_image")
