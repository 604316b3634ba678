"""A run folder as a report reads it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..run import read_run


@dataclass(frozen=True)
class Run:
    """`scores` and `costs` by task; `settings` are run.json's, the model among them."""

    folder: Path
    settings: dict[str, Any]
    scores: dict[str, Any]
    costs: dict[str, Any]

    @property
    def label(self) -> str:
        return str(self.folder)

    @property
    def model(self) -> str:
        """`nano (float32 on cpu, 0123456789abcdef)`, as far as the run knows."""
        model = self.settings["model"]
        facts = [f"{model['dtype']} on {model['device']}"] if {"dtype", "device"} <= set(model) else []
        facts += [model["fingerprint"]] if "fingerprint" in model else []
        name = model.get("name", "model")
        return f"{name} ({', '.join(facts)})" if facts else name


def open_run(folder: Path) -> Run:
    """ValueError where the folder holds no finished run."""
    settings = read_run(folder)["settings"]
    scores, costs = _read(folder / "scores.json"), _read(folder / "cost.json")
    if scores is None or set(scores.get("tasks", {})) != set(settings["tasks"]):
        raise ValueError(f"{folder} has no scores of all its tasks; finish it with `dragonfly eval`, or `dragonfly rescore` it")
    return Run(folder, settings, scores["tasks"], costs or {})


def open_runs(folders: Sequence[Path]) -> list[Run]:
    """ValueError where a folder holds no finished run, or is named twice."""
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise ValueError("a run is named twice; name each folder once")
    return [open_run(folder) for folder in folders]


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
