"""`dragonfly serve` under load: many clients against one at a time in the same run, then clients that leave in mid-stream.

Run: python benchmarks/serving.py [--seconds 60] [--clients 32] [--leavers 100] [--output benchmarks/results/serving.json]

The server is the command itself with the bundled model, a process of its own on the same machine as its clients. They ask the
questions of `examples/images/questions.json` in turn, all greedily, so each answer has to be the one that was given alone. `lost`
are requests without an answer, `wrong` answers that differ from it. Clients that leave read one event and hang up.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from dragonfly.files import result_header, write_json  # noqa: E402

CHAT = "/v1/chat/completions"
HELD = ("dragonfly_active_requests ", "dragonfly_waiting_questions ")


@contextmanager
def server() -> Iterator[tuple[str, int]]:
    """The address and process id of a server."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "dragonfly", "serve", "--port", "0", "--queue", "256"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert child.stderr is not None
    try:
        address = next(line.split()[-1].rstrip("/") for line in child.stderr if line.startswith("serving at"))
        # The log has to be read, or the server waits for its reader.
        reader = subprocess.Popen(["cat"], stdin=child.stderr, stdout=subprocess.DEVNULL)
        yield address, child.pid
    finally:
        child.terminate()
        child.wait(60)
    reader.wait(10)


def requests() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for entry in json.loads((ROOT / "examples/images/questions.json").read_text(encoding="utf-8")):
        data = base64.b64encode((ROOT / "examples/images" / entry["image"]).read_bytes()).decode()
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
        for row in entry["questions"]:
            parts = [image, {"type": "text", "text": row["question"]}]
            found.append({"messages": [{"role": "user", "content": parts}], "max_tokens": 32})
    return found


async def each_alone(address: str, asked: list[dict[str, Any]]) -> dict[int, str]:
    """The answer to every question, asked one after the other."""
    async with httpx2.AsyncClient(base_url=address, timeout=180) as client:
        replies = [await client.post(CHAT, json=one) for one in asked]
    return {number: reply.json()["choices"][0]["message"]["content"] for number, reply in enumerate(replies)}


async def load(address: str, clients: int, seconds: float, asked: list[dict[str, Any]], known: dict[int, str]) -> dict[str, Any]:
    """So many clients, each asking the next question as soon as it has its answer."""
    turn = itertools.count()
    times: list[float] = []
    lost = wrong = 0
    began = time.perf_counter()

    async def ask(client: httpx2.AsyncClient) -> None:
        nonlocal lost, wrong
        while time.perf_counter() - began < seconds:
            number = next(turn) % len(asked)
            start = time.perf_counter()
            try:
                reply = await client.post(CHAT, json=asked[number])
                text = reply.raise_for_status().json()["choices"][0]["message"]["content"]
            except (httpx2.HTTPError, KeyError, ValueError):
                lost += 1
                continue
            times.append(time.perf_counter() - start)
            wrong += known[number] != text

    limits = httpx2.Limits(max_connections=clients)
    async with httpx2.AsyncClient(base_url=address, timeout=180, limits=limits) as client:
        await asyncio.gather(*(ask(client) for _ in range(clients)))
    passed = time.perf_counter() - began
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return {
        "clients": clients,
        "answers": len(times),
        "seconds": round(passed, 1),
        "answers_per_second": round(len(times) / passed, 2),
        "latency_s": {f"p{cut}": round(cuts[cut - 1], 3) for cut in (50, 95, 99)},
        "lost": lost,
        "wrong": wrong,
    }


async def leave(address: str, leavers: int, asked: list[dict[str, Any]]) -> dict[str, Any]:
    """Clients that hang up after the first event of a stream; then what is still held, and whether the next is answered."""

    async def one(client: httpx2.AsyncClient, number: int) -> None:
        async with client.stream("POST", CHAT, json={**asked[number % len(asked)], "stream": True}) as reply:
            async for _ in reply.aiter_lines():
                return

    async with httpx2.AsyncClient(base_url=address, timeout=180, limits=httpx2.Limits(max_connections=None)) as client:
        await asyncio.gather(*(one(client, number) for number in range(leavers)))
        held = -1.0
        for _ in range(300):
            lines = (await client.get("/metrics")).text.splitlines()
            held = sum(
                float(line.split()[-1]) for line in lines if line.startswith(("dragonfly_active_r", "dragonfly_waiting_q"))
            )
            if held == 0:
                break
            await asyncio.sleep(0.1)
        after = await client.post(CHAT, json=asked[0])
    return {"leavers": leavers, "places_still_held": int(held), "next_request": after.status_code}


def resident(process: int) -> float:
    """MiB of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def sample(process: int, seconds: float, into: list[float]) -> None:
    """Ten times while so many seconds pass."""
    for _ in range(10):
        time.sleep(seconds / 10)
        into.append(resident(process))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--leavers", type=int, default=100)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "serving.json")
    parser.add_argument("--note", default="", help="what a reader should know of this run")
    options = parser.parse_args()
    before, asked = os.getloadavg(), requests()
    with server() as (address, process):
        known = asyncio.run(each_alone(address, asked))  # and every image is encoded then
        memory = [resident(process)]
        alone = asyncio.run(load(address, 1, options.seconds / 4, asked, known))
        memory.append(resident(process))
        meanwhile: list[float] = []
        watch = threading.Thread(target=sample, args=(process, options.seconds, meanwhile))
        watch.start()
        together = asyncio.run(load(address, options.clients, options.seconds, asked, known))
        watch.join()
        memory.append(resident(process))
        left = asyncio.run(leave(address, options.leavers, asked))
        memory.append(resident(process))
    write_json(
        options.output,
        {
            **result_header(),
            "note": options.note,
            "questions": len(asked),
            "one_at_a_time": alone,
            "together": together,
            "ratio": round(together["answers_per_second"] / alone["answers_per_second"], 2),
            "leaving": left,
            "resident_mib": dict(
                zip(("every question once", "one at a time", "together", "after the leavers"), memory, strict=True)
            ),
            "resident_mib_while_together": meanwhile,
            "load": {"before": [round(value, 2) for value in before], "after": [round(value, 2) for value in os.getloadavg()]},
        },
    )


if __name__ == "__main__":
    main()
