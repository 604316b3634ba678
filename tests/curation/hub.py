"""A stand-in for the hub's data sets on this machine: files by name, HEAD and GET with ranges, and a connection that breaks."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "a" * 40


@dataclass
class Hub:
    """`files`: repository -> name -> bytes. `breaks`: name -> bytes after which its next bodies break off, in turn."""

    address: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    breaks: dict[str, list[int]] = field(default_factory=dict)
    sent: list[tuple[str, str | None]] = field(default_factory=list)  # what was asked for, and the range


@contextmanager
def running() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            parts = self.path.partition("?")[0].strip("/").split("/")
            if parts[:2] == ["api", "datasets"]:
                return self.listing("/".join(parts[2:4]), parts[4:])
            repository, name = "/".join(parts[1:3]), "/".join(parts[5:])
            data = hub.files.get(repository, {}).get(name)
            if data is None:
                return self.send(404, b"")
            asked = self.headers.get("Range")
            start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
            if body:
                hub.sent.append((name, asked))
            etag = hashlib.sha256(data).hexdigest()
            headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            if asked:
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            breaks = hub.breaks.get(name) if body else None
            self.send(206 if asked else 200, data[start:], headers, body, breaks.pop(0) if breaks else None)

        def listing(self, repository: str, rest: list[str]) -> None:
            files = hub.files.get(repository)
            if files is None:
                return self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            if rest[:1] == ["tree"]:
                tree = [{"type": "file", "path": name, "size": len(data), "oid": "0" * 40} for name, data in files.items()]
                return self.send(200, json.dumps(tree).encode())
            siblings = [{"rfilename": name} for name in files]
            about = {"id": repository, "sha": COMMIT, "siblings": siblings, "private": False, "gated": False}
            self.send(200, json.dumps(about).encode())

        def send(
            self, status: int, data: bytes, headers: dict[str, str] | None = None, body: bool = True, most: int | None = None
        ) -> None:
            self.send_response(status)
            for key, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
                self.send_header(key, value)
            self.end_headers()
            if body:
                self.wfile.write(data if most is None else data[:most])
            if most is not None:
                self.wfile.flush()
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
