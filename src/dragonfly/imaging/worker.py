"""Decoding in a process of its own, with bounds on processor time and memory, for images from strangers.

One process for each image: whatever a hostile file does to a decoder ends with it, and no other image is touched. The bytes go
in (of what may be a slide, the path) and rows of RGB come out through pipes; nothing that the process says is run or believed
beyond its size. The start costs about as long as decoding a few megapixels.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

from PIL import Image

from dragonfly.imaging.fetch import one_line
from dragonfly.imaging.pixels import Pixels, from_bytes, from_file
from dragonfly.imaging.policy import ImageError, ImagePolicy
from dragonfly.imaging.view import View

_CHILD = "from dragonfly.imaging.worker import serve; serve()"
_ROWS = 256
_MAX_ANSWER = 2**16
_PATIENCE = 4  # wall clock over processor time: a busy machine is no fault of the image


def isolated(data: bytes | Path, policy: ImagePolicy, view: View | None = None) -> Pixels:
    """`pixels.from_bytes`, or `from_file` of a path, in a new process; a slide comes back as one image.

    Raises ImageError, also where the process exceeds its bounds or dies.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-P", "-c", _CHILD]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    assert child.stdin is not None and child.stdout is not None
    late = threading.Event()

    def end() -> None:
        late.set()
        child.kill()

    watchdog = threading.Timer(policy.cpu_seconds * _PATIENCE, end)
    watchdog.daemon = True
    watchdog.start()
    try:
        with suppress(BrokenPipeError):  # it has died; why is asked below
            asked = {"view": (view or View()).parts, "path": str(data.absolute()) if isinstance(data, Path) else None}
            child.stdin.write(json.dumps({**asdict(replace(policy, isolate=False)), **asked}).encode() + b"\n")
            child.stdin.write(data if isinstance(data, bytes) else b"")
            child.stdin.close()
        pixels = _received(child.stdout, policy)
    finally:
        watchdog.cancel()
        child.kill()
        status = child.wait()
        with suppress(BrokenPipeError):
            child.stdin.close()
        child.stdout.close()
    if pixels is not None:
        return pixels
    if late.is_set() or status == -getattr(signal, "SIGXCPU", 0):
        raise ImageError(f"takes more than {policy.cpu_seconds} seconds to decode; save it as PNG")
    raise ImageError("stops the process that decodes it (out of memory, or a fault of the decoder); save it as PNG")


def _received(stream: IO[bytes], policy: ImagePolicy) -> Pixels | None:
    """The answer, None where it is not whole."""
    try:
        answer: Any = json.loads(stream.readline(_MAX_ANSWER))
        if "error" in answer:
            raise ImageError(one_line(str(answer["error"])))
        width, height = int(answer["width"]), int(answer["height"])
        if not 0 < width * height <= policy.max_pixels:
            return None
        image = Image.new("RGB", (width, height))
        for top in range(0, height, _ROWS):
            rows = min(_ROWS, height - top)
            image.paste(Image.frombytes("RGB", (width, rows), stream.read(3 * width * rows)), (0, top))
        notes, spacing = [one_line(str(note)) for note in answer["notes"]], answer["spacing"]
        size = None if spacing is None else (float(spacing[0]), float(spacing[1]))
        return Pixels(image, one_line(str(answer["mode"])), notes, size, one_line(str(answer["label"])))
    except ImageError:
        raise
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def serve() -> None:
    """The process: a line of policy and an image on standard input, a line of JSON and rows of RGB on standard output."""
    out = sys.stdout.buffer
    try:
        settings: Any = json.loads(sys.stdin.buffer.readline())
        view, path = View.of(settings.pop("view")), settings.pop("path")
        policy = ImagePolicy(**settings)
        _bound(policy)
        if path is None:
            pixels = from_bytes(sys.stdin.buffer.read(), policy, view)
        else:
            pixels = from_file(path, policy, view, whole=True)
    except ImageError as error:
        out.write(json.dumps({"error": str(error)}).encode() + b"\n")
        return
    except MemoryError:
        out.write(json.dumps({"error": "needs more memory than it may use; make it smaller"}).encode() + b"\n")
        return
    width, height = pixels.image.size
    said = {"notes": pixels.notes, "spacing": pixels.spacing, "label": pixels.label}
    head = {"width": width, "height": height, "mode": pixels.mode, **said}
    out.write(json.dumps(head).encode() + b"\n")
    for top in range(0, height, _ROWS):
        out.write(pixels.image.crop((0, top, width, min(top + _ROWS, height))).tobytes())


def _bound(policy: ImagePolicy) -> None:
    """Bounds beyond what starting has used. Writes no file, leaves no core."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        raise ImageError("cannot be isolated, which needs Linux; load it without `isolate` if you trust it") from None
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + 1) + policy.cpu_seconds
    for kind, limit in (
        (resource.RLIMIT_AS, pages * resource.getpagesize() + policy.memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))  # the first ends it by a signal that says why
