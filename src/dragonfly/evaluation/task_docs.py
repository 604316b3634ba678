"""docs/tasks.md, written from the entries of the tasks: prompt, parsing, metrics, data, and what the paper says.

The same entries give the same page; a test compares docs/tasks.md with it.
"""

from typing import Any

from .report.tables import as_table
from .tasks import TASKS, TaskSpec

INTRODUCTION = """# Tasks

Written by `dragonfly tasks --markdown` from the entries in `src/dragonfly/evaluation/tasks/`; change those, not this page.
[evaluation.md](evaluation.md) explains how to run a task.

The first metric of a task is its headline. Where the common harnesses differ, the name of the task or of the metric names the
harness. "The paper" is arXiv 2406.00977 with its Table 7 and its appendices B and C; an entry notes where its counts disagree
with each other or with the data. Licences are those that the sources state; "not verified" marks what we did not find in a
source. Check them before use.

Every task also reads our own manifest (`manifest.json` in the folder given with `--data`), with the task's prompt and metrics. A
sample's `meta` may hold `answers` (all accepted answers), `options` and `answer_type`."""


def facts_of(task: TaskSpec) -> dict[str, Any]:
    """A task's entry as plain values, in the order in which people read it."""
    return {
        "name": task.name,
        "metrics": [metric.name for metric in task.metrics],
        "split": task.split,
        "source": task.source,
        "Hugging Face": task.hub or "none; give a folder or the name of a data set in this layout",
        "folder": task.folder or task.name,
        "prompt": task.prompt,
        "new tokens": task.max_new_tokens,
        "parsing": task.parsing,
        "breakdown": list(task.breakdown) or "every meta key with 2 to 20 values",
        "judge": "needed" if task.rubric else "none",
        "citation": task.citation,
        "licence": task.licence,
        "paper": task.paper,
        "notes": task.notes or "none",
    }


def tasks_page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, _overview(), *(_section(task) for task in TASKS.values())]
    return "\n\n".join(parts) + "\n"


def _overview() -> str:
    rows = [["task", "headline", "split", "data set"]]
    for task in TASKS.values():
        data = f"`{task.hub}`" if task.hub else "a folder"
        rows.append([f"[`{task.name}`](#{task.name})", f"`{task.metrics[0].name}`", task.split, data])
    return as_table(rows)


def _section(task: TaskSpec) -> str:
    facts = facts_of(task)
    lines = [f"## {facts.pop('name')}", ""]
    for key, value in facts.items():
        lines.append(f"- **{key}**: {_value(key, value)}")
    return "\n".join(lines)


def _value(key: str, value: Any) -> str:
    if key == "prompt":
        return f"`{value}`".replace("\n", "\\n")
    if isinstance(value, list):
        return ", ".join(f"`{item}`" for item in value)
    return str(value)
