"""The table of the paper with our rows in it, and what keeps the two from being comparable."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragonfly.evaluation.report.tables import as_table, percent
from dragonfly.files import result_header, write_json, write_text
from dragonfly.planning import ModelSize
from dragonfly.research.curriculum import HOOKS
from dragonfly.research.lab.chain import size_of
from dragonfly.training import Recipe
from dragonfly.training.run import RECIPE

from .steps import Request

TINY = "tiny parts: numbers mean nothing"
_IN_PLACE = {"init_from", "output", "data", "name"}  # differ without changing what is trained; parts are marked by their size


@dataclass(frozen=True)
class Beside:
    """`rows`: a row per system, ours below the paper's. `measures`: what each column is. `marks`: why ours is another thing."""

    title: str
    rows: list[list[str]]
    measures: list[list[str]]
    marks: list[str]


def beside(request: Request) -> Beside:
    """The finished table; ValueError where a result is missing. Figures of the paper have no interval, ours have 95 %."""
    ours, labels = _ours(request)
    names = list(request.measures)
    printed: dict[tuple[str, str], dict[str, float]] = {}
    for figure in request.figures:
        printed.setdefault((figure.system, figure.version), {})[figure.measure] = figure.value
    rows = [["system", *names]]
    for (system, version), values in printed.items():
        rows.append([f"{system} (paper {version})", *(f"{values[name]:g}" if name in values else "-" for name in names)])
        rows += [_row(request, label, ours[label]) for label in labels.pop(system, [])]
    rows += [_row(request, label, ours[label]) for rest in labels.values() for label in rest]
    return Beside(request.title, rows, _measure_rows(request, ours), _marks(request))


def write_beside(request: Request, found: Beside) -> Path:
    """Write table.md and table.json into the request's folder, and return the former's path."""
    document = {"kind": "reproduction", **result_header(), "table": request.title, "preset": request.version}
    page = [f"# {found.title} of the paper, and ours", *(f"**{mark}.**" for mark in found.marks), as_table(found.rows)]
    legend = "Percentages (CIDEr, METEOR and ROUGE-L times 100); ours with 95 % bootstrap intervals over images."
    write_json(request.folder / "table.json", {**document, "marks": found.marks, "rows": found.rows, "measures": found.measures})
    write_text(request.folder / "table.md", "\n\n".join([*page, legend, as_table(found.measures)]) + "\n")
    return request.folder / "table.md"


Scores = dict[tuple[str, str], dict[str, Any]]
"""{(task, metric): {value, low, high, n}}"""


def _ours(request: Request) -> tuple[dict[str, Scores], dict[str, list[str]]]:
    """Our scores by the label of a row, and the labels below each system of the paper; below "" those that it does not have."""
    study = request.study
    if study is None:
        tasks = _read(request.folder / "eval" / "scores.json")["tasks"]
        label = f"ours: {request.stage}"
        own = next(figure.system for figure in request.figures if figure.is_own)
        return {label: {(task, metric): score for task in tasks for metric, score in tasks[task]["scores"].items()}}, {
            own: [label]
        }
    variants = _read(request.folder / "result.json")["variants"]
    found: dict[str, Scores] = {}
    labels: dict[str, list[str]] = {}
    for name, variant in variants.items():
        label = f"ours: {name}"
        scores = variant["scores"]
        found[label] = {(str(one.where["task"]), one.metric): scores[key] for key, one in study.measures.items()}
        labels.setdefault(study.variants[name].paper or "", []).append(label)
    return found, labels


def _row(request: Request, label: str, scores: Scores) -> list[str]:
    return [label, *(percent(scores.get(pair)) for pair in request.measures.values())]


def _measure_rows(request: Request, ours: dict[str, Scores]) -> list[list[str]]:
    table = [["measure", "the paper's metric", "our task", "our metric", "n", "what differs"]]
    for name, (task, metric) in request.measures.items():
        figure = next(one for one in request.figures if one.measure == name)
        scored = [scores[task, metric] for scores in ours.values() if (task, metric) in scores]
        n = str(scored[0]["n"]) if scored else "not measured"
        table.append([name, figure.metric, task, metric, n, figure.beside[task][1]])
    return table


def _marks(request: Request) -> list[str]:
    """What of the model and the training is not the paper's chain, read from what was trained."""
    found: list[str] = []
    last = request.chain[-1].recipe.output
    full = size_of(request.chain)
    if sum(ModelSize.of_checkpoint(last).elements.values()) < 0.01 * sum(full.elements.values()):
        found.append(TINY)
    for stage in request.chain:
        if changed := _changed(Path(stage.recipe.output) / RECIPE, stage.recipe):
            found.append(f"{stage.name} was trained with other values of {', '.join(changed)}")
    if request.study is not None and request.changes:
        found.append(f"the variants were trained with {' '.join(request.changes)}")
    if request.limit is not None:
        found.append(f"only the first {request.limit} questions of each task")
    if request.max_new_tokens is not None:
        found.append(f"answers of at most {request.max_new_tokens} tokens")
    if request.without:
        found.append(f"without {', '.join(request.without)}")
    return found


def _changed(file: Path, shipped: Recipe) -> list[str]:
    """Keys in which a finished training differs from the shipped recipe."""
    if not file.is_file():
        return []
    done, ours = (one.model_dump(mode="json", exclude=_IN_PLACE) for one in (Recipe.load(file, hooks=HOOKS), shipped))
    return sorted(key for key in ours if done.get(key) != ours[key])


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"no {path}; run the steps before it: `dragonfly reproduce TABLE`")
    return json.loads(path.read_text(encoding="utf-8"))
