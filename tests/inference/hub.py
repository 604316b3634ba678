"""A stand-in for the Hugging Face hub on this machine: repositories, small files in the commit, large ones by LFS."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_right"


@dataclass
class Hub:
    """What was sent: settings of repositories, and files by name."""

    address: str = ""
    repositories: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    blobs: dict[str, bytes] = field(default_factory=dict)


@contextmanager
def running() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            pass

        def body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def answer(self, value: Any, status: int = 200) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_PUT(self) -> None:
            hub.blobs[self.path.rpartition("/")[2]] = self.body()
            self.answer({})

        def do_GET(self) -> None:
            self.answer({"id": "me/mine", "sha": "0" * 40, "xetEnabled": False, "siblings": []})

        def do_POST(self) -> None:
            data = self.body()
            if self.headers.get("Authorization") not in (f"Bearer {TOKEN}", None) and "lfs" not in self.path:
                return self.answer({"error": "Invalid user token."}, 401)
            if self.path == "/api/repos/create":
                asked = json.loads(data)
                hub.repositories[asked["name"]] = asked
                return self.answer({"url": f"{hub.address}/me/{asked['name']}", "name": asked["name"]})
            if "/preupload/" in self.path:
                names = [one["path"] for one in json.loads(data)["files"]]
                modes = ["lfs" if name.endswith(".safetensors") else "regular" for name in names]
                listed = [
                    {"path": name, "uploadMode": mode, "shouldIgnore": False} for name, mode in zip(names, modes, strict=True)
                ]
                return self.answer({"files": listed})
            if self.path.endswith("/objects/batch"):
                wanted = json.loads(data)["objects"]
                actions = [
                    {**one, "actions": {"upload": {"href": f"{hub.address}/blob/{one['oid']}", "header": {}}}} for one in wanted
                ]
                return self.answer({"transfer": "basic", "objects": actions})
            if "/commit/" in self.path:
                return self.commit(data)
            return self.answer({"errors": [], "warnings": []})  # of the card's head

        def commit(self, data: bytes) -> None:
            for line in data.decode().splitlines():
                part = json.loads(line)
                value = part["value"]
                if part["key"] == "header":
                    hub.commits.append(value["summary"])
                elif part["key"] == "file":
                    hub.files[value["path"]] = base64.b64decode(value["content"])
                elif part["key"] == "lfsFile":
                    hub.files[value["path"]] = hub.blobs[value["oid"]]
            self.answer({"success": True, "commitOid": "1" * 40, "commitUrl": f"{hub.address}/me/mine/commit/{'1' * 40}"})

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
