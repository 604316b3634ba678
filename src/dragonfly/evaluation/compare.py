"""Several runs side by side: their scores on the same questions, and whether each differs from the first by chance.

Reads predictions only. Promises that runs are compared on the very same questions or not at all.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .run import predictions_of, read_run
from .scoring import against, applicable, read_records, scores_of
from .tasks import find_task


def compare(folders: Sequence[Path]) -> dict[str, Any]:
    """{"runs": [{folder, model}], "tasks": {task: {metric: [score of each run]}}}; later runs' scores hold a `p`.

    Tasks that only some of the runs have are named under "left_out". ValueError where runs have no task in common, or
    answer other questions under one task's name.
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
    return {"runs": models, "tasks": {name: _task(name, folders) for name in shared}, "left_out": left_out}


def _task(name: str, folders: Sequence[Path]) -> dict[str, list[dict[str, Any]]]:
    records = [predictions_of(folder, name) for folder in folders]
    asked = [[(record["id"], record["question"], record["answers"]) for record in one] for one in records]
    for folder, other in zip(folders[1:], asked[1:], strict=True):
        if other != asked[0]:
            raise ValueError(f"{folders[0]} and {folder} answer different questions of {name!r}; compare runs on the same ones")
    task, (questions, first) = find_task(name), read_records(records[0])
    scored = applicable(task.metrics, questions, first)
    columns = [scores_of(scored, questions, first)]
    columns += [against(scored, questions, first, read_records(one)[1])["scores"] for one in records[1:]]
    return {metric.name: [column[metric.name] for column in columns] for metric in scored}
