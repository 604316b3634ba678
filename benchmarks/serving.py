"""`dragonfly serve` under load: many clients against one at a time in the same run, then clients that leave in mid-stream.

Run: python benchmarks/serving.py [--seconds 180] [--clients 32] [--leavers 100] [--steady 600] [--output FILE]
     python benchmarks/serving.py --beside-transformers [--seconds 180] [--clients 32]

The server is the command itself with the bundled model, a process of its own on the same machine as its clients. They ask about
the images of the examples, which the server has seen before; every second question is one of the examples', the others are asked
once and never again. `lost` are requests without an answer; `wrong` are answers that differ from `Engine.ask`, alone and in
float32, among the `checked`: all that the examples' questions got, and some of the others. Clients that leave read one event and
hang up. Then the load goes on for `--steady` seconds, while as many clients leave one after the other: what the server's memory
does meanwhile is sampled twenty times.

`--beside-transformers` measures `transformers serve` on the same model, with the same questions and in the same run, one server
after the other, without clients that leave: `benchmarks/results/serving_transformers.json`. It needs `transformers[serving]`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from dragonfly.files import result_header, write_json  # noqa: E402

CHAT = "/v1/chat/completions"
WORDS = ("qty", "total", "wage", "bus", "badge", "train", "unit", "code", "salt", "sum", "item", "cash", "gross", "rice")
TOKENS = 32
CHECKED_ONCE = 50  # of the questions that are asked once, in each phase


@contextmanager
def server(*more: str) -> Iterator[tuple[str, int]]:
    """The address and process id of a server; `more` are options of the command."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "dragonfly", "serve", "--port", "0", "--queue", "256", *more]
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


@contextmanager
def transformers_server(model: Path) -> Iterator[tuple[str, int]]:
    """The address and process id of `transformers serve`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # The bundled model has no shim that would load the package.
    program = "import dragonfly.models; from transformers.cli.transformers import main; main()"
    options = ["--dtype", "float32", "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", program, "serve", str(model), *options]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            with suppress(httpx2.HTTPError):
                if httpx2.get(f"{address}/health", timeout=5).is_success:
                    break
            if child.poll() is not None:
                raise SystemExit("transformers serve does not start; pip install 'transformers[serving]'")
            time.sleep(0.1)
        yield address, child.pid
    finally:
        child.terminate()
        child.wait(60)


Asked = tuple[Path, str]


@cache
def example_questions() -> list[Asked]:
    entries = json.loads((ROOT / "examples/images/questions.json").read_text(encoding="utf-8"))
    return [(ROOT / "examples/images" / entry["image"], row["question"]) for entry in entries for row in entry["questions"]]


def question(number: int) -> Asked:
    """Every second is one of the examples', in turn; the others are about the same images, and no two are the same."""
    known = example_questions()
    image, text = known[number // 2 % len(known)]
    return (image, text) if number % 2 == 0 else (image, f"Is it true that {WORDS[number // 2 % len(WORDS)]} is {number}?")


@cache
def url_of(image: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(image.read_bytes()).decode()}"


def body(asked: Asked, model: str | None = None) -> dict[str, Any]:
    image, text = asked
    parts = [{"type": "image_url", "image_url": {"url": url_of(image)}}, {"type": "text", "text": text}]
    return {"messages": [{"role": "user", "content": parts}], "max_tokens": TOKENS, "model": model}


async def load(
    address: str,
    clients: int,
    seconds: float,
    turn: Iterator[int],
    told: list[tuple[Asked, str]],
    model: str | None = None,
) -> dict[str, Any]:
    """So many clients, each asking the next question as soon as it has its answer; `told` takes what they hear."""
    times: list[float] = []
    lost = 0
    began = time.perf_counter()

    async def ask(client: httpx2.AsyncClient) -> None:
        nonlocal lost
        while time.perf_counter() - began < seconds:
            asked = question(next(turn))
            start = time.perf_counter()
            try:
                reply = await client.post(CHAT, json=body(asked, model))
                told.append((asked, reply.raise_for_status().json()["choices"][0]["message"]["content"]))
            except (httpx2.HTTPError, KeyError, ValueError):
                lost += 1
                continue
            times.append(time.perf_counter() - start)

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
    }


async def each_once(address: str, model: str | None = None) -> None:
    """Every question of the examples, so that every image is encoded."""
    async with httpx2.AsyncClient(base_url=address, timeout=180) as client:
        for asked in example_questions():
            (await client.post(CHAT, json=body(asked, model))).raise_for_status()


def check(told: list[tuple[Asked, str]]) -> dict[str, int]:
    """Against the engine, which is asked one by one and knows no beginnings of prompts."""
    from dragonfly.inference import load as load_model

    engine, known = load_model(), {*example_questions()}
    texts = {asked: engine.ask(*asked, max_new_tokens=TOKENS).text for asked in known}
    once = [pair for pair in told if pair[0] not in known]
    step = max(1, len(once) // CHECKED_ONCE)
    checked = [pair for pair in told if pair[0] in known] + once[::step]
    texts |= {asked: engine.ask(*asked, max_new_tokens=TOKENS).text for asked, _ in once[::step]}
    return {"checked": len(checked), "wrong": sum(texts[asked] != text for asked, text in checked)}


async def leave(address: str, leavers: int, wait: bool = True) -> dict[str, Any]:
    """Clients that hang up after the first event of a stream; then what is still held, and whether the next is answered."""

    async def one(client: httpx2.AsyncClient, number: int) -> None:
        async with client.stream("POST", CHAT, json={**body(question(number)), "stream": True}) as reply:
            async for _ in reply.aiter_lines():
                return

    async with httpx2.AsyncClient(base_url=address, timeout=180, limits=httpx2.Limits(max_connections=None)) as client:
        await asyncio.gather(*(one(client, number) for number in range(leavers)))
        if not wait:
            return {}
        held = -1.0
        for _ in range(300):
            lines = (await client.get("/metrics")).text.splitlines()
            held = sum(
                float(line.split()[-1]) for line in lines if line.startswith(("dragonfly_active_r", "dragonfly_waiting_q"))
            )
            if held == 0:
                break
            await asyncio.sleep(0.1)
        after = await client.post(CHAT, json=body(question(0)))
    return {"leavers": leavers, "places_still_held": int(held), "next_request": after.status_code}


def measured(
    address: str, process: int, clients: int, seconds: float, turn: Iterator[int], told: list[Any], model: str | None = None
) -> dict[str, Any]:
    """A load, and the processor time that the server took for each answer, which says more than a busy machine's clock."""
    before = processor_seconds(process)
    found = asyncio.run(load(address, clients, seconds, turn, told, model))
    spent = processor_seconds(process) - before
    return {**found, "server_cpu_ms_per_answer": round(1000 * spent / found["answers"], 1)}


def processor_seconds(process: int) -> float:
    """Of all threads of a process; its children, such as those that decode, not counted."""
    times = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def resident(process: int) -> float:
    """MiB of a process."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def sample(process: int, seconds: float, into: list[float], times: int = 10) -> None:
    """So many times while so many seconds pass."""
    for _ in range(times):
        time.sleep(seconds / times)
        into.append(resident(process))


async def load_with_leavers(
    address: str, clients: int, seconds: float, leavers: int, turn: Iterator[int]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A load during which clients leave in mid-stream, spread over it."""

    async def leaving() -> dict[str, Any]:
        for _ in range(leavers - 1):
            await leave(address, 1, wait=False)
            await asyncio.sleep(0.9 * seconds / leavers)
        return {}

    loaded, _ = await asyncio.gather(load(address, clients, seconds, turn, []), leaving())
    return loaded, await leave(address, 1)


def steady(address: str, process: int, clients: int, seconds: float, leavers: int, turn: Iterator[int]) -> dict[str, Any]:
    """Memory under a load that goes on, from its first sample on."""
    memory: list[float] = []
    watch = threading.Thread(target=sample, args=(process, seconds, memory, 20))
    watch.start()
    loaded, left = asyncio.run(load_with_leavers(address, clients, seconds, leavers, turn))
    watch.join()
    return {
        **loaded,
        "leavers": leavers,
        "places_still_held": left["places_still_held"],
        "resident_mib": memory,
        "growth": round(max(memory) / memory[0] - 1, 4),
    }


def beside_transformers(clients: int, seconds: float) -> dict[str, Any]:
    """Both servers in turn, alone and together; of each what its clients waited, and whether it answered as the engine."""
    model = ROOT / "src/dragonfly/assets/nano"
    report: dict[str, Any] = {}
    for name, start, said in (
        ("dragonfly_serve", server(), None),
        ("transformers_serve", transformers_server(model), str(model)),
    ):
        turn = itertools.count()
        told: tuple[list[tuple[Asked, str]], list[tuple[Asked, str]]] = [], []
        with start as (address, process):
            asyncio.run(each_once(address, said))
            alone = measured(address, process, 1, seconds / 2, turn, told[0], said)
            together = measured(address, process, clients, seconds, turn, told[1], said)
            memory = resident(process)
        report[name] = {
            "one_at_a_time": {**alone, **check(told[0])},
            "together": {**together, **check(told[1])},
            "resident_mib": memory,
        }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--leavers", type=int, default=100)
    parser.add_argument("--steady", type=float, default=600, help="seconds in which memory is watched; 0 for none")
    parser.add_argument("--beside-transformers", action="store_true")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--note", default="", help="what a reader should know of this run")
    options = parser.parse_args()
    name = "serving_transformers" if options.beside_transformers else "serving"
    output = options.output or ROOT / "benchmarks" / "results" / f"{name}.json"
    if options.beside_transformers:
        write_json(output, {**result_header(), "note": options.note, **beside_transformers(options.clients, options.seconds)})
        return
    before, turn = os.getloadavg(), itertools.count()
    told: tuple[list[tuple[Asked, str]], list[tuple[Asked, str]]] = [], []
    with server() as (address, process):
        asyncio.run(each_once(address))
        memory = [resident(process)]
        alone = measured(address, process, 1, options.seconds / 4, turn, told[0])
        memory.append(resident(process))
        meanwhile: list[float] = []
        watch = threading.Thread(target=sample, args=(process, options.seconds, meanwhile))
        watch.start()
        together = measured(address, process, options.clients, options.seconds, turn, told[1])
        watch.join()
        memory.append(resident(process))
        left = asyncio.run(leave(address, options.leavers))
        memory.append(resident(process))
        watched = steady(address, process, options.clients, options.steady, options.leavers, turn) if options.steady else None
    write_json(
        output,
        {
            **result_header(),
            "note": options.note,
            "one_at_a_time": {**alone, **check(told[0])},
            "together": {**together, **check(told[1])},
            "ratio": round(together["answers_per_second"] / alone["answers_per_second"], 2),
            "ratio_of_server_cpu": round(alone["server_cpu_ms_per_answer"] / together["server_cpu_ms_per_answer"], 2),
            "leaving": left,
            "resident_mib": dict(zip(("at first", "one at a time", "together", "after the leavers"), memory, strict=True)),
            "resident_mib_while_together": meanwhile,
            "steady": watched,
            "load": {"before": [round(value, 2) for value in before], "after": [round(value, 2) for value in os.getloadavg()]},
        },
    )


if __name__ == "__main__":
    main()
