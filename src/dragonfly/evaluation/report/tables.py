"""The tables of a report, from scores.json and cost.json alone: a head and rows of cells, for a page or a terminal.

Every score stands beside its baselines, or beside the mark that it has none.
"""

from collections.abc import Callable, Sequence
from typing import Any

Table = list[list[str]]

NO_BASELINE = "no baseline"
NO_INTERVAL = "no interval"
TITLES = {"majority": "majority", "random": "random option", "blind": "blind", "shuffled_image": "shuffled image"}


def percent(score: dict[str, Any] | None) -> str:
    """`53.8 [47.1, 60.2]`: score and 95 % interval in percent; `53.8 (no interval)` without one, `-` without a score."""
    if score is None:
        return "-"
    value = f"{100 * score['value']:.1f}"
    return f"{value} ({NO_INTERVAL})" if score["low"] is None else f"{value} {interval(score)}"


def interval(score: dict[str, Any]) -> str:
    return f"[{100 * score['low']:.1f}, {100 * score['high']:.1f}]"


def bare(score: dict[str, Any] | None) -> str:
    """The score alone, for a baseline in a narrow table."""
    return "-" if score is None else f"{100 * score['value']:.1f}"


def best_baseline(values: dict[str, float]) -> str:
    """`blind 41.2`: the baseline with the highest score, the first of equals; or the mark that there is none."""
    if not values:
        return NO_BASELINE
    name = max(values, key=lambda key: values[key])
    return f"{TITLES[name]} {100 * values[name]:.1f}"


def p_value(score: dict[str, Any] | None) -> str:
    """` (p 0.031)`, with `Holm 0.062` where several runs are tested; nothing where no test was made."""
    if score is None or score.get("p") is None:
        return ""
    return f" (p {score['p']:.3f}, Holm {score['p_holm']:.3f})" if "p_holm" in score else f" (p {score['p']:.3f})"


def as_table(rows: Sequence[Sequence[str]]) -> str:
    """A table as Markdown: the head, then its rows. Cells are Markdown; no tag begins in one."""
    lines = [
        "| " + " | ".join(" ".join(cell.split()).replace("<", "&lt;").replace("|", "\\|") for cell in row) + " |" for row in rows
    ]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def headline_metric(task: dict[str, Any]) -> str:
    """The task's first metric."""
    return next(iter(task["scores"]))


def headline(name: str, task: dict[str, Any]) -> str:
    """One line: the overall score with its interval; without an interval it says so and gives no number."""
    metric = headline_metric(task)
    score = task["scores"][metric]
    size = f"(n = {score['n']}, {image_count(task)})"
    mark = "" if task["baselines"] else f", {NO_BASELINE}"
    if score["low"] is None:
        return f"{name}: {NO_INTERVAL} for {metric.replace('_', ' ')}, so no headline {size}{mark}"
    return f"{name}: {metric.replace('_', ' ')} {bare(score)} {interval(score)} % {size}{mark}"


def image_count(task: dict[str, Any]) -> str:
    """`12 images`, and of how many groups (patients, documents) where the data name these: the units of every interval."""
    groups = task.get("groups", task["images"])
    return f"{task['images']} images" + (f" of {groups} groups" if groups < task["images"] else "")


def _baseline_titles(task: dict[str, Any]) -> list[str]:
    return [TITLES[name] for name in task["baselines"]] or ["baselines"]


def rows(task: dict[str, Any]) -> Table:
    """One task: a row per metric, the model first, then each baseline with its p value."""
    return _score_rows(task, lambda other: percent(other) + p_value(other))


def short_rows(task: dict[str, Any]) -> Table:
    """As `rows`, narrow enough for a terminal: the baselines' scores without interval and p."""
    return _score_rows(task, bare)


def _score_rows(task: dict[str, Any], written: Callable[[dict[str, Any] | None], str]) -> Table:
    table = [["metric", "n", "model", *_baseline_titles(task)]]
    for metric, score in task["scores"].items():
        others = [baseline["scores"].get(metric) for baseline in task["baselines"].values()]
        table.append([metric, str(score["n"]), percent(score), *([written(other) for other in others] or [NO_BASELINE])])
    return table


def breakdown_keys(task: dict[str, Any]) -> list[str]:
    """The breakdowns with something to compare; a single modality is in the table of modalities already."""
    return [key for key, values in task["breakdown"].items() if key != "modality" or len(values) > 1]


def breakdown_rows(task: dict[str, Any], key: str, metrics: Sequence[str] = ()) -> Table:
    """One breakdown: a row per value, a column per metric (all if none is named); n is the largest of these metrics'.

    The task's first metric is followed by all its baselines on the same questions; the cells of the others name the best one.
    """
    metrics = metrics or list(task["scores"])
    first = headline_metric(task)
    table = [[key, "n"]]
    for metric in metrics:
        table[0] += [metric, *(_baseline_titles(task) if metric == first else [])]
    for value, scores in task["breakdown"][key].items():
        n = max((scores[metric]["n"] for metric in metrics if metric in scores), default=0)
        row = [value, str(n)]
        for metric in metrics:
            score = scores.get(metric)
            known = (score or {}).get("baselines", {})
            if metric == first:
                cells = ["-" if name not in known else bare({"value": known[name]}) for name in task["baselines"]]
                row += [percent(score), *(cells or [NO_BASELINE])]
            else:
                row.append(percent(score) if score is None else f"{percent(score)}; {best_baseline(known)}")
        table.append(row)
    return table


def modality_rows(tasks: dict[str, Any]) -> Table:
    """Every task's first metric per modality, sorted by modality; the head alone where no task states any."""
    asked = [name for name in TITLES if name != "random" or any(name in task.get("baselines", ()) for task in tasks.values())]
    table = [["modality", "task", "metric", "n", "model", *(TITLES[name] for name in asked)]]
    found = {value for task in tasks.values() for value in task["breakdown"].get("modality", {})}
    for value in sorted(found, key=lambda name: (name == "not stated", name)):
        for name, task in tasks.items():
            metric = headline_metric(task)
            score = task["breakdown"].get("modality", {}).get(value, {}).get(metric)
            if score:
                known = score.get("baselines", {})
                cells = [bare({"value": known[one]}) if one in known else NO_BASELINE for one in asked]
                table.append([value, name, metric, str(score["n"]), percent(score), *cells])
    return table


def hallucination_rows(task: dict[str, Any]) -> Table:
    """How often yes is the answer and how often the model replies it: over all yes/no questions, for the blind and the
    shuffled-image baseline, and per category."""
    found = task["hallucination"]
    table = [["questions", "n", "answer is yes", "model says yes", "yes where no is right", "no where yes is right", "neither"]]
    others = {f"all, {TITLES[name]}": scores for name, scores in found["baselines"].items()}
    for name, scores in {"all": found["rows"]["all"], **others, **found["rows"]}.items():
        cells = [percent(scores.get(key)) for key in ("yes_said", "false_yes", "false_no", "neither")]
        table.append([name, str(scores["yes_true"]["n"]), bare(scores["yes_true"]), *cells])
    return table if others else [*table, ["all, baselines", *[NO_BASELINE] * 6]]


def set_rows(task: dict[str, Any]) -> Table:
    """HallusionBench's sets of two or more questions: how many are answered right as a whole."""
    table = [["sets with the same", "n", "all right", "some right", "none right"]]
    for name, counts in (task["hallucination"]["sets"] or {}).items():
        n = sum(counts.values())
        table.append([name, str(n), *(f"{count} ({100 * count / n:.1f} %)" if n else "-" for count in counts.values())])
    return table


def calibration_rows(task: dict[str, Any]) -> Table:
    table = [["replies", "mean confidence", f"mean {task['calibration']['metric']}"]]
    for one in task["calibration"]["bins"]:
        table.append([str(one["n"]), f"{100 * one['confidence']:.1f}", f"{100 * one['score']:.1f}"])
    return table


COSTS = {
    "questions": "questions",
    "calls_per_question": "calls",
    "sub_images_per_question": "sub-images encoded",
    "visual_tokens_per_question": "visual tokens",
    "prompt_tokens_per_question": "prompt tokens",
    "new_tokens_per_question": "new tokens",
    "ms_per_question": "ms",
    "peak_memory_mib": "peak memory, MiB",
}


def _cost(cost: dict[str, Any], key: str) -> str:
    return f"{cost[key]:g}" if key in cost else "-"


def cost_rows(costs: dict[str, Any]) -> Table:
    """The cost of the model and of each baseline: means per question, and the peak memory of the process."""
    table = [["asked", *COSTS.values()]]
    for variant, cost in sorted(costs.items(), key=lambda item: item[0] != "model"):
        table.append([TITLES.get(variant, variant), *(_cost(cost, key) for key in COSTS)])
    return table


def comparison_rows(comparison: dict[str, Any], task: str, scores: Sequence[dict[str, Any]] = ()) -> Table:
    """One task of several runs: a row per metric, a column per run, each tested against the first.

    `scores` are the runs' scores.json in the same order; each cell names that run's best baseline, or says that it has none.
    """
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
    """The cost of one task in each run, means per question; dashes for a run without costs."""
    table = [["run", *COSTS.values()]]
    for folder, cost in zip(folders, costs, strict=True):
        model = cost.get("model")
        table.append([folder, *(_cost(model or {}, key) for key in COSTS)])
    return table
