"""Several runs beside each other: a row per metric, a column per run, each tested against the first."""

from collections.abc import Sequence
from typing import Any

from .cells import best_baseline, p_value, percent
from .tables import COSTS, Table


def comparison_rows(comparison: dict[str, Any], task: str, scores: Sequence[dict[str, Any]] = ()) -> Table:
    """The table of one task. `scores` are the runs' scores.json, in the same order: each cell names that run's best baseline, or
    says that it has none."""
    table = [["metric", "n", *(run["folder"] for run in comparison["runs"])]]
    for metric, columns in comparison["tasks"][task].items():
        known = [run["tasks"][task] for run in scores] or [{"baselines": {}}] * len(columns)
        cells = [f"{percent(score)}{p_value(score)}; {_best(run, metric)}" for score, run in zip(columns, known, strict=True)]
        table.append([metric, str(columns[0]["n"]), *cells])
    return table


def _best(task: dict[str, Any], metric: str) -> str:
    scored = {name: one["scores"] for name, one in task["baselines"].items()}
    return best_baseline({name: scores[metric]["value"] for name, scores in scored.items() if metric in scores})


def comparison_cost_rows(folders: Sequence[str], costs: Sequence[dict[str, Any]]) -> Table:
    """What the model of each run took for one task; a run without costs has none."""
    table = [["run", *COSTS.values()]]
    for folder, cost in zip(folders, costs, strict=True):
        model = cost.get("model")
        table.append([folder, *(f"{model[key]:g}" if model else "-" for key in COSTS)])
    return table
