"""Commands that are killed, that two processes run on one output at once, and that find no room: what is there afterwards."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hostile import checkpoints
from hostile.bombs import encoded
from hostile.mutations import photo

VOLATILE = ("timings", "confidence", "selections")  # of an answer: times, and numbers that rounding moves among batch mates


@dataclass(frozen=True)
class Command:
    """`words` write `output`; `kept` are patterns of the files in it whose content is the same after every run.

    `done` is the file that only a finished run has, "" for the output itself; None where a finished run may be started again.
    """

    words: tuple[str, ...]
    output: Path
    kept: tuple[str, ...] = ("**/*",)
    done: str | None = ""

    @property
    def finished(self) -> bool:
        return self.done is not None and (self.output / self.done).exists()

    def into(self, folder: Path) -> Command:
        """The same command with its output in another folder."""
        target = folder / self.output.name
        words = tuple(word.replace(str(self.output), str(target)) for word in self.words)
        return replace(self, words=words, output=target)

    def clear(self) -> None:
        shutil.rmtree(self.output.parent, ignore_errors=True)
        self.output.parent.mkdir()


def prepare(folder: Path) -> dict[str, Command]:
    """Every command that writes more than one file or row, by name, on a tiny model and 60 rows; outputs go below `out`."""
    model, rows, out = folder / "model", folder / "rows.jsonl", folder / "out"
    checkpoints.make(model)
    (folder / "good.png").write_bytes(encoded(photo(), "PNG"))
    row = {"image": "good.png", "answer": "red"}
    rows.write_text("".join(json.dumps({"id": n, "question": f"{n}?", "group": n % 6, **row}) + "\n" for n in range(60)))
    stage, mix = folder / "recipe.json", folder / "mix.json"  # YAML reads JSON
    stage.write_text(json.dumps(recipe(model, rows, out / "trained")))
    steps = ({"step": "validate"}, {"step": "dedupe_exact"}, {"step": "split", "eval_share": 0.2, "by": "group"})
    mix.write_text(
        json.dumps({"name": "mine", "sources": [{"name": "mine", "path": str(rows), "format": "auto"}], "steps": steps})
    )
    asked = ("-m", str(model), "--batch-size", "4", "--max-new-tokens", "4", "--device", "cpu")
    answers, run, pages = str(out / "answers.jsonl"), str(out / "run"), str(out / "pages")
    return {
        "ask": Command(("ask", "--batch", str(rows), "-o", answers, *asked), out / "answers.jsonl", done=None),
        "eval": Command(
            ("eval", "--tasks", f"jsonl:{rows}", "--out", run, *asked), out / "run", ("scores.json", "*/pred*.jsonl"), done=None
        ),
        "train": Command(
            ("train", str(stage), f"output={out / 'trained'}"),
            out / "trained",
            ("model.safetensors", "loss.jsonl", "*.json"),
            done="dragonfly.json",
        ),
        "convert": Command(("convert", str(model), str(out / "converted")), out / "converted"),
        "synth": Command(("synth", "--spec", "nano", "--split", "test", "--n", "60", "--seed", "1", "-o", pages), out / "pages"),
        "curate": Command(
            ("curate", str(mix), "-o", str(out / "set")), out / "set", ("**/manifest.json", "**/*.parquet", "DATA_CARD.md")
        ),
    }


def recipe(model: Path, rows: Path, output: Path) -> dict[str, Any]:
    return {
        "name": "hostile",
        "init_from": {"checkpoint": str(model)},
        "trainable": ["vision_tower", "multi_modal_projector", "language_model", "lm_head"],
        "data": {"train": [{"name": "rows", "path": str(rows)}], "audit": 4},
        "optim": {"learning_rate": 1e-3, "warmup": 0.1, "weight_decay": 0.1},
        "batch": {"global_size": 4, "per_device": 2},
        "steps": 8,
        "save": {"every": 1, "keep": 2},
        "log": {"tensorboard": False},
        "output": str(output),
    }


def start(command: Command) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    words = [sys.executable, "-m", "dragonfly", *command.words]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = process.communicate(timeout=600)
    return process.returncode, said


def killed(command: Command, seconds: float, dice: random.Random) -> tuple[int, str, bool]:
    """Kill the command somewhere within `seconds`, then run it to its end: (exit code, what it said, whether it was cut off)."""
    process = start(command)
    time.sleep(dice.uniform(0.3, 1.0) * seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    if process.returncode == 0:  # it was quicker
        return 0, "", False
    if command.finished:  # all was written; run again it refuses, and sweeps what the killed one left
        code, said = finish(start(command))
        return (0 if code == 2 else code), said, True
    return *finish(start(command)), True


def digest(command: Command) -> str:
    """Of an output's bytes, but for what differs between any two runs."""
    found, output = hashlib.sha256(), command.output
    files = {file for pattern in command.kept for file in output.glob(pattern)} if output.is_dir() else {output}
    for file in sorted(files):
        if not file.is_file() or file.name in ("dragonfly.json", "run.json", "cost.json"):
            continue
        data: Any = file.read_bytes()
        if file.suffix == ".jsonl":
            records = [json.loads(line) for line in data.splitlines()]
            kept = [{key: value for key, value in one.items() if key not in VOLATILE} for one in records]
            data = json.dumps(sorted(kept, key=lambda one: str(one.get("id")))).encode()
        found.update(file.name.encode() + data)
    return found.hexdigest()


def leftovers(command: Command) -> list[str]:
    """Temporary names beside an output and below it. Lock files stay by design; the steps of a curation, until it is done."""
    beside = [path for path in command.output.parent.iterdir() if path != command.output]
    left = [path for path in beside if path.name.endswith(".tmp") or (path.name.endswith(".work") and command.finished)]
    return sorted(path.name for path in [*left, *command.output.parent.glob("*/**/.*.tmp")])
