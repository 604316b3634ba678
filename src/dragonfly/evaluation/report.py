"""Scores as people read them: a Markdown page and a table for the terminal, from scores.json alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dragonfly.files import write_text

INTERVALS = (
    "Scores in percent with 95 % bootstrap intervals over pictures; p of a paired permutation test. An interval without width "
    "says that every picture agrees; with few pictures that is no certainty."
)
TITLES = {"majority": "majority", "no_picture": "no picture", "shuffled_picture": "other picture"}


def percent(score: dict[str, Any] | None) -> str:
    """`53.8 [47.1, 60.2]`: the score and its 95 % interval, in percent."""
    if score is None:
        return "-"
    value = f"{100 * score['value']:.1f}"
    return value if score["low"] is None else f"{value} [{100 * score['low']:.1f}, {100 * score['high']:.1f}]"


def headline_metric(task: dict[str, Any]) -> str:
    """Exact match where the task has it, else its first metric."""
    return "exact_match" if "exact_match" in task["scores"] else next(iter(task["scores"]))


def headline(name: str, task: dict[str, Any]) -> str:
    """One line: the overall score."""
    metric = headline_metric(task)
    score = task["scores"][metric]
    return f"{name}: {metric.replace('_', ' ')} {percent(score)} % (n = {score['n']}, {task['pictures']} pictures)"


def rows(task: dict[str, Any]) -> list[list[str]]:
    """The table of one task: a row per metric, the model first, then each baseline with its p value."""
    table = [["metric", "n", "model", *(TITLES[name] for name in task["baselines"])]]
    for metric, score in task["scores"].items():
        cells = [percent(score)]
        for baseline in task["baselines"].values():
            other = baseline["scores"].get(metric)
            cells.append(percent(other) + _p(other or {}))
        table.append([metric, str(score["n"]), *cells])
    return table


def short_rows(task: dict[str, Any]) -> list[list[str]]:
    """As `rows` for a terminal's width: of the baselines the bare score."""
    table = [["metric", "n", "model", *(TITLES[name] for name in task["baselines"])]]
    for metric, score in task["scores"].items():
        others = (baseline["scores"].get(metric) for baseline in task["baselines"].values())
        cells = ["-" if other is None else f"{100 * other['value']:.1f}" for other in others]
        table.append([metric, str(score["n"]), percent(score), *cells])
    return table


def breakdown_rows(task: dict[str, Any], key: str, metrics: Sequence[str] = ()) -> list[list[str]]:
    """The table of one breakdown: a row per value, a column per metric (all if none is named); n is that of the widest."""
    metrics = metrics or list(task["scores"])
    table = [[key, "n", *metrics]]
    for value, scores in task["breakdown"][key].items():
        n = max((scores[metric]["n"] for metric in metrics if metric in scores), default=0)
        table.append([value, str(n), *(percent(scores.get(metric)) for metric in metrics)])
    return table


def comparison_rows(comparison: dict[str, Any], task: str) -> list[list[str]]:
    """The table of one task over several runs: a row per metric, a column per run, p against the first run."""
    table = [["metric", "n", *(run["folder"] for run in comparison["runs"])]]
    for metric, scores in comparison["tasks"][task].items():
        table.append([metric, str(scores[0]["n"]), *(percent(score) + _p(score) for score in scores)])
    return table


def comparison_markdown(comparison: dict[str, Any]) -> str:
    """Runs side by side as a page."""
    parts = ["# Comparison", "\n".join(f"- {run['folder']}: {run['model']}" for run in comparison["runs"])]
    parts.append(
        "Scores in percent with 95 % bootstrap intervals over pictures; p of a paired permutation test against the first."
    )
    for task in comparison["tasks"]:
        parts += [f"## {task}", _markdown(comparison_rows(comparison, task))]
    if comparison["left_out"]:
        parts.append(f"Not in every run, so left out: {', '.join(comparison['left_out'])}.")
    return "\n\n".join(parts) + "\n"


def _p(score: dict[str, Any]) -> str:
    return "" if score.get("p") is None else f" (p {score['p']:.3f})"


def write_markdown(scores: dict[str, Any], path: Path) -> None:
    """report.md: for every task its scores, baselines, broken rows and breakdowns."""
    parts = ["# Evaluation", INTERVALS]
    for name, task in scores["tasks"].items():
        parts += [f"## {name}", headline(name, task) + f"; split: {task['split']}.", _markdown(rows(task))]
        if "majority" in task["baselines"]:
            majority = task["baselines"]["majority"]
            parts.append(f"Majority answer: `{majority['answer']}`, counted in the {majority['origin']}.")
        if task["broken"]:
            parts.append(f"{len(task['broken'])} questions could not be asked and count as wrong:")
            parts.append("\n".join(f"- {row['id']}: {row['error']}" for row in task["broken"]))
        for key in task["breakdown"]:
            parts += [f"### By {key}", _markdown(breakdown_rows(task, key))]
    write_text(path, "\n\n".join(parts) + "\n")


def _markdown(table: list[list[str]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in table]
    return "\n".join([lines[0], "|" + " --- |" * len(table[0]), *lines[1:]])
