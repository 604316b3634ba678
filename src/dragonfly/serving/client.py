"""Asks a server that speaks OpenAI's chat completions, ours or another. Needs no model here."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

_MAX_ANSWER = 64 * 2**20
_LARGE = 16 * 2**20  # bytes of a file that may be a slide, above which it is read here
_KINDS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp", b"II*\0": "tiff", b"MM\0*": "tiff"}


class _NoRedirects(HTTPRedirectHandler):
    """An image and a key go to the server that was named, and to no other."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Server:
    """A server at an address such as `http://127.0.0.1:8000`.

    Args:
        url: with or without `/v1` at its end.
        key: API key, if it wants one.
        timeout: seconds without a word from it.

    Raises:
        ValueError: for an address that cannot be meant; by all methods, one line, where the server refuses or cannot be reached.
    """

    def __init__(self, url: str, key: str | None = None, timeout: float = 600.0) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise ValueError(f"'{url}' is not a server's address; give one such as http://127.0.0.1:8000")
        self.url, self.key, self.timeout = url.rstrip("/").removesuffix("/v1"), key, timeout

    def ask(self, images: Sequence[str], question: str, system: str | None = None, **options: Any) -> dict[str, Any]:
        """The response to one question; options as in the request (`max_tokens`, `temperature`, ...)."""
        parts: list[dict[str, Any]] = [{"type": "image_url", "image_url": image_url(image)} for image in images]
        messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": [*parts, {"type": "text", "text": question}]})
        response = json.loads(self._post("/v1/chat/completions", {"messages": messages, **options}))
        if not isinstance(response, dict) or not response.get("choices"):
            raise ValueError(f"{self.url} does not answer as a chat server; check the address")
        return response

    def zoom(self, image: str, question: str) -> bytes:
        """The zoom image as PNG; Dragonfly's servers alone draw it."""
        shown = image_url(image)
        asked = {"image": shown["url"], "view": shown.get("view"), "question": question, "format": "png"}
        return self._post("/v1/zoom", asked)

    def _post(self, path: str, body: dict[str, Any]) -> bytes:
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self.key}"} if self.key else {})}
        request = Request(self.url + path, json.dumps(body).encode(), headers, method="POST")
        try:
            with build_opener(_NoRedirects).open(request, timeout=self.timeout) as response:
                answer = response.read(_MAX_ANSWER + 1)
        except HTTPError as error:
            raise ValueError(f"{self.url} refuses: {_reason(error)}") from None
        except (URLError, OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise ValueError(f"{self.url} cannot be reached ({reason}); is `dragonfly serve` running there?") from None
        if len(answer) > _MAX_ANSWER:
            raise ValueError(f"{self.url} answers more than {_MAX_ANSWER:,} bytes; check the address")
        return answer


def _reason(error: HTTPError) -> str:
    try:
        return " ".join(str(json.loads(error.read(2**16))["error"]["message"]).split())
    except (ValueError, KeyError, TypeError, OSError):
        return f"HTTP status {error.code}"


def image_url(image: str) -> dict[str, str]:
    """The `url` of an image, and its `view` where the name has one, as `scan.pdf#2`. Other servers know no views.

    Of a folder of DICOM the file of the slice goes, with its window; what no single file of moderate size holds (a slide, a
    montage of a folder) is read here and goes as PNG.
    """
    from dragonfly.imaging import View, split_view
    from dragonfly.imaging.series import frame_of, is_series
    from dragonfly.imaging.slide import may_be_slide

    if _is_address(image):
        return {"url": image}
    try:
        place, view = split_view(image)
    except ValueError as error:
        raise ValueError(f"{image} {error}") from None
    if is_series(place):
        if view.montage:
            return {"url": _read_here(image)}
        place, view = Path(frame_of(image)[0]), View(window=view.window)
    file = Path(place)
    large = file.is_file() and file.stat().st_size > _LARGE and may_be_slide(file)
    if large or view.region or view.magnification or file.suffix.lower() == ".mrxs":
        return {"url": _read_here(image)}
    return {"url": data_url(str(place)), **({"view": view.text} if view.text else {})}


def _read_here(image: str) -> str:
    from dragonfly.imaging import load_image

    out = BytesIO()
    load_image(image).image.save(out, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def data_url(image: str) -> str:
    """A file as a data URL; an http(s) or data URL as it is, which the server may refuse."""
    if _is_address(image):
        return image
    path = Path(image)
    if not path.is_file():
        raise ValueError(f"{image} does not exist, or is no file; check the path")
    data = path.read_bytes()
    kind = next((kind for start, kind in _KINDS.items() if data.startswith(start)), "png")
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _is_address(image: str) -> bool:
    return image.split(":", 1)[0].lower() in ("http", "https", "data")
