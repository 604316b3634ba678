"""A vLLM of our own: started on this machine, for this server alone, and ended with it."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from dragonfly.installation import install_advice

PATIENCE = 30.0  # seconds for vLLM to end by itself


@dataclass(frozen=True)
class Place:
    """Where a vLLM listens, and the key that it wants."""

    url: str
    key: str | None


def command(model: Path, port: int, dtype: str, max_images: int, arguments: Sequence[str]) -> list[str]:
    """What starts vLLM; the user's own arguments come last, so that they decide."""
    return [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(model), "--host", "127.0.0.1", "--port", str(port)),
        *("--dtype", dtype, "--limit-mm-per-prompt", json.dumps({"image": max_images}), "--disable-uvicorn-access-log"),
        *arguments,
    ]


@contextmanager
def launched(model: Path, dtype: str, max_images: int, arguments: Sequence[str] = ()) -> Generator[Place]:
    """Start vLLM on a free port of this machine, with a key of its own; the block runs when it answers. In a main thread.

    SIGTERM then ends the program by SystemExit(0), which uvicorn hands on when its requests are done.

    Raises:
        ValueError: if vLLM is not installed, or ends before it answers.
    """
    if importlib.util.find_spec("vllm") is None:
        raise ValueError(
            f"--engine vllm needs vLLM, which is not installed: {install_advice('vllm')} (in an environment of its own: it pins "
            "torch and transformers), or name one that runs: --vllm-url http://HOST:PORT"
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    key = secrets.token_urlsafe(32)
    environment = {**os.environ, "VLLM_API_KEY": key}  # not an argument: those are everybody's to read
    before = signal.signal(signal.SIGTERM, _leave)
    child = subprocess.Popen(
        command(model, port, dtype, max_images, arguments), env=environment, stdout=sys.stderr.fileno(), start_new_session=True
    )
    try:
        place = Place(f"http://127.0.0.1:{port}", key)
        while not answers(place.url):
            if child.poll() is not None:
                raise ValueError(f"vLLM ended with status {child.returncode} before it answered; the lines above say why")
            time.sleep(0.5)
        yield place
    finally:
        _end(child)
        signal.signal(signal.SIGTERM, before)


def answers(url: str) -> bool:
    """Whether a vLLM at this address is ready."""
    try:
        with build_opener(ProxyHandler({})).open(f"{url}/health", timeout=5) as response:
            return response.status == 200
    except (URLError, OSError):
        return False


def _leave(*_: Any) -> None:
    """At SIGTERM: end as a program does that is done, so that what was started is ended too."""
    raise SystemExit(0)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Its workers are processes too: they go with it."""
    for number, patience in ((signal.SIGTERM, PATIENCE), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with suppress(subprocess.TimeoutExpired):
            child.wait(patience)
