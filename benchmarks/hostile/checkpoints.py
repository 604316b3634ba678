"""Bad checkpoints: a small sound model with one file of it changed, and what loading and asking it comes to.

Every trial runs in a process of its own (forked, so that it starts at once) with limits on processor time and memory.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VALUES: list[Any] = [None, "x", "../x", -1, 0, 1.5, True, [], {}, [1, 2], 10**6, "NaN"]
JSON = ("config.json", "processor_config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json")
CPU_SECONDS, MEMORY = 30, 6 * 2**30


def make(folder: Path) -> None:
    from tests import tiny

    tiny.model().save_pretrained(folder)
    tiny.processor(tiny.model().config).save_pretrained(folder)


def changed(whole: Path, folder: Path, dice: random.Random) -> str:
    """Copy `whole` to `folder` with one thing changed; returns what."""
    shutil.copytree(whole, folder)
    kind = dice.choice(("value", "value", "value", "value", "gone", "cut", "flip"))
    if kind == "value":
        file = folder / dice.choice(JSON[:4])
        document = json.loads(file.read_text(encoding="utf-8"))
        *path, last = dice.choice(list(_leaves(document)))
        inner = document
        for key in path:
            inner = inner[key]
        inner[last] = dice.choice(VALUES)
        file.write_text(json.dumps(document), encoding="utf-8")
        return f"{file.name}: {'.'.join(map(str, [*path, last]))} = {inner[last]!r}"
    file = dice.choice(sorted(folder.iterdir()))
    data = bytearray(file.read_bytes())
    if kind == "gone":
        file.unlink()
    elif kind == "cut":
        file.write_bytes(data[: dice.randrange(len(data))])
    else:
        data[dice.randrange(min(len(data), 4000))] ^= 1 << dice.randrange(8)
        file.write_bytes(data)
    return f"{file.name}: {kind}"


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values below, containers too."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from _leaves(item, (*path, key))


def outcome(folder: Path, expected: tuple[int, ...] | None) -> dict[str, Any]:
    """`refused` in one line, `equal` or `different` answers, `traceback`, or `killed` by a limit."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        os.write(writing, json.dumps(_tried(folder, expected)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return json.loads(said) if said else {"outcome": "killed"}


def _tried(folder: Path, expected: tuple[int, ...] | None) -> dict[str, Any]:
    from dragonfly.inference import load

    try:
        answer = load(folder, device="cpu").ask(None, "What is it?", max_new_tokens=4)
    except ValueError as error:
        message = str(error)
        one_line = message.isprintable() and len(message) < 2000
        return {"outcome": "refused" if one_line else "traceback", "message": message[:300]}
    except BaseException as error:
        return {"outcome": "traceback", "message": f"{type(error).__name__}: {error}"[:300]}
    return {"outcome": "equal" if expected in (None, answer.token_ids) else "different", "ids": list(answer.token_ids)}
