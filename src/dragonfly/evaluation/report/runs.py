"""Run folders as a report reads them, alone or compared with each other."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..run import predictions_of, read_run
from ..scoring import against, applicable, read_records, scores_of
from ..statistics import holm
from ..tasks import find_task
from .audited import audit_line, read_audit
from .verdict import verdict


@dataclass(frozen=True)
class Run:
    """`scores` and `costs` by task; `settings` are run.json's, the model among them, `header` what else stands there.

    `audit` is audit.json's content, where there is one.
    """

    folder: Path
    settings: dict[str, Any]
    scores: dict[str, Any]
    costs: dict[str, Any]
    header: dict[str, Any] = field(default_factory=dict)
    audit: dict[str, Any] | None = None

    @property
    def date(self) -> str:
        """The day on which the run began, or nothing where run.json does not say."""
        return str(self.header.get("date", ""))[:10]

    @property
    def command(self) -> str:
        """The `dragonfly eval` command that these settings come from."""
        settings = self.settings
        words = ["dragonfly", "eval", "--model", settings["model"].get("name", "MODEL"), "--tasks", ",".join(settings["tasks"])]
        named = {"--data": "data", "--limit": "limit", "--prompt": "prompt", "--max-new-tokens": "max_new_tokens"}
        lens = {"--lens": "lens", "--max-tokens": "max_tokens", "--max-calls": "max_calls"}
        for option, key in {**named, "--image-root": "image_root", **lens}.items():
            words += [option, str(settings[key])] if settings.get(key) is not None else []
        if settings.get("columns"):
            words += ["--columns", ",".join(f"{part}={column}" for part, column in settings["columns"].items())]
        words += [word for key in settings.get("by", ()) for word in ("--by", key)]
        return shlex.join([*words, *([] if settings.get("with_baselines", True) else ["--no-baselines"])])

    def verdict(self, name: str) -> str:
        """What the scores of a task say, and what an audit adds."""
        return f"{verdict(self.scores[name])} {self.audit_line(name)}".strip()

    def audit_line(self, name: str) -> str:
        """What an audit found on a task, or that a medical task has none; else nothing."""
        return audit_line(self.settings, self.scores, self.audit, self.folder, name)

    @property
    def label(self) -> str:
        return str(self.folder)

    @property
    def model(self) -> str:
        """`nano (float32 on cpu, 0123456789abcdef)`, as far as the run knows."""
        model = self.settings["model"]
        facts = (
            [f"{str(model['dtype']).removeprefix('torch.')} on {model['device']}"] if {"dtype", "device"} <= set(model) else []
        )
        facts += [model["fingerprint"]] if "fingerprint" in model else []
        name = model.get("name", "model")
        return f"{name} ({', '.join(facts)})" if facts else name


def open_run(folder: Path) -> Run:
    """ValueError where the folder holds no finished run."""
    document = read_run(folder)
    settings = document["settings"]
    scores, costs = _read(folder / "scores.json"), _read(folder / "cost.json")
    if scores is None or set(scores.get("tasks", {})) != set(settings["tasks"]):
        raise ValueError(f"{folder} has no scores of all its tasks; finish it with `dragonfly eval`, or `dragonfly rescore` it")
    return Run(folder, settings, scores["tasks"], costs or {}, document, read_audit(folder))


def open_runs(folders: Sequence[Path]) -> list[Run]:
    """ValueError where a folder holds no finished run, or is named twice."""
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise ValueError("a run is named twice; name each folder once")
    return [open_run(folder) for folder in folders]


def _read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def compare(folders: Sequence[Path]) -> dict[str, Any]:
    """{"runs": [{folder, model}], "tasks": {task: {metric: [score of each run]}}, "left_out": [task]}.

    From the second run on a score holds `p`, that of a paired test against the first run on the same questions; of three runs
    and more also `p_holm`, corrected for as many tests. "left_out" names
    the tasks that only some of the runs have. ValueError for fewer than two runs, for runs without a common task, or where runs
    answer different questions under one task's name.
    """
    if len(folders) < 2:
        raise ValueError("a comparison needs two runs or more: dragonfly report RUN RUN")
    runs = [read_run(folder) for folder in folders]
    named = [run["settings"]["tasks"] for run in runs]
    shared = [name for name in named[0] if all(name in names for names in named)]
    if not shared:
        raise ValueError(f"the runs have no task in common: {'; '.join(', '.join(names) for names in named)}")
    models = [
        {"folder": str(folder), "model": run["settings"]["model"].get("name", "")}
        for folder, run in zip(folders, runs, strict=True)
    ]
    left_out = sorted({name for names in named for name in names} - set(shared))
    return {"runs": models, "tasks": {name: _compare_task(name, folders) for name in shared}, "left_out": left_out}


def _compare_task(name: str, folders: Sequence[Path]) -> dict[str, list[dict[str, Any]]]:
    records = [predictions_of(folder, name) for folder in folders]
    asked = [[(record["id"], record["question"], record["answers"]) for record in one] for one in records]
    for folder, other in zip(folders[1:], asked[1:], strict=True):
        if other != asked[0]:
            raise ValueError(f"{folders[0]} and {folder} answer different questions of {name!r}; compare runs on the same ones")
    task, (questions, first) = find_task(name), read_records(records[0])
    scored = applicable(task.metrics, questions)
    columns = [scores_of(scored, questions, first)]
    columns += [against(scored, questions, first, read_records(one)[1])["scores"] for one in records[1:]]
    return {metric.name: _corrected([column[metric.name] for column in columns]) for metric in scored}


def _corrected(scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The scores of each run; where more than one is tested against the first, also with Holm's p."""
    if len(scores) < 3:
        return scores
    return [scores[0], *({**one, "p_holm": p} for one, p in zip(scores[1:], holm([one["p"] for one in scores[1:]]), strict=True))]
