"""Commands that are killed, and commands that two processes run on one output at once: what is there afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from hostile import checkpoints
from hostile.bombs import encoded
from hostile.mutations import photo

VOLATILE = ("timings", "confidence", "selections")  # of an answer: times, and numbers that rounding moves among batch mates


def prepare(folder: Path) -> dict[str, tuple[list[str], Path]]:
    """Command and output by name, the output below a folder of its own."""
    model, rows = folder / "model", folder / "rows.jsonl"
    checkpoints.make(model)
    (folder / "good.png").write_bytes(encoded(photo(), "PNG"))
    rows.write_text("".join(json.dumps({"id": n, "image": "good.png", "question": f"{n}?"}) + "\n" for n in range(60)))
    answers = folder / "out" / "answers.jsonl"
    options = ["--batch-size", "4", "--max-new-tokens", "4", "--device", "cpu"]
    return {
        "ask": (["ask", "--batch", str(rows), "-o", str(answers), "-m", str(model), *options], answers),
        "convert": (["convert", str(model), str(folder / "out" / "converted")], folder / "out" / "converted"),
        "synth": (
            ["synth", "--spec", "nano", "--split", "test", "--n", "60", "--seed", "1", "-o", str(folder / "out" / "pages")],
            folder / "out" / "pages",
        ),
    }


def start(command: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "dragonfly", *command]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = process.communicate(timeout=600)
    return process.returncode, said


def killed(command: list[str], output: Path, seconds: float, dice: random.Random) -> tuple[int, str]:
    """Kill the command somewhere within `seconds`, then run it to its end: (exit code, what it said)."""
    process = start(command)
    time.sleep(dice.uniform(0.3, 1.0) * seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if output.is_dir():  # it was quicker
        return 0, ""
    return finish(start(command))


def digest(output: Path) -> str:
    """Of an output's bytes, but for what differs between any two runs."""
    found = hashlib.sha256()
    for file in sorted(output.rglob("*")) if output.is_dir() else [output]:
        if not file.is_file() or file.name in ("dragonfly.json", "run.json"):
            continue
        data: Any = file.read_bytes()
        if file.suffix == ".jsonl":
            records = [json.loads(line) for line in data.splitlines()]
            kept = [{key: value for key, value in one.items() if key not in VOLATILE} for one in records]
            data = json.dumps(sorted(kept, key=lambda one: str(one.get("id")))).encode()
        found.update(file.name.encode() + data)
    return found.hexdigest()


def leftovers(output: Path) -> list[str]:
    """Temporary names beside an output; lock files stay by design."""
    return sorted(file.name for file in output.parent.glob(".*.tmp"))
