"""A judged task: every reply of a run goes to the judge once, and its verdict is put beside the reply.

Metrics of such a task read the verdict; predictions.jsonl keeps the reply as it was. Knows no metric.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .judge import FILE, Judge, judge_all, verdicts
from .scoring import Records, read_records
from .tasks import TaskSpec


def judge_replies(task: TaskSpec, variants: dict[str, Records], folder: Path, judge: Judge, tell: Callable[..., None]) -> None:
    """Let the judge read, in the task's `folder`, what no judge has read yet. `tell(label, done, total)` is told the progress."""
    assert task.rubric is not None
    prompts = [prompt for records in variants.values() for prompt in _prompts(task, records) if prompt is not None]
    judge_all(judge, task.rubric, prompts, folder / FILE, lambda done, total: tell(f"{task.name} judge", done, total))


def with_verdicts(task: TaskSpec, records: Records, folder: Path) -> Records:
    """The records, each with the judge's `verdict`; as they are where the task has no judge. ValueError where one is missing."""
    if task.rubric is None:
        return records
    _, known = verdicts(folder / FILE)
    prompts = _prompts(task, records)
    if missing := sum(prompt is not None and prompt not in known for prompt in prompts):
        raise ValueError(
            f"the judge has not read {missing} of the replies of {folder}; `dragonfly rescore RUN --judge URL --judge-model NAME`"
        )
    return [
        record if prompt is None else {**record, "verdict": known[prompt]}
        for record, prompt in zip(records, prompts, strict=True)
    ]


def judge_name(task: TaskSpec, folder: Path) -> dict[str, Any]:
    """What the scores say of the judge."""
    return {} if task.rubric is None else {"judge": verdicts(folder / FILE)[0]}


def _prompts(task: TaskSpec, records: Records) -> list[str | None]:
    """What the judge is asked of each record; None where there is no reply to judge."""
    assert task.rubric is not None
    pairs = zip(*read_records(records), strict=True)
    return [None if reply is None else task.rubric.prompt(question, reply) for question, reply in pairs]
