"""The tables of one run, from scores.json and cost.json alone: a head and rows of cells, for a page or a terminal.

Promises that every score stands beside its baselines, or beside the mark that it has none.
"""

from collections.abc import Callable, Sequence
from typing import Any

from .cells import NO_BASELINE, NO_INTERVAL, TITLES, bare, best_baseline, interval, p_value, percent

Table = list[list[str]]


def headline_metric(task: dict[str, Any]) -> str:
    """The task's first metric."""
    return next(iter(task["scores"]))


def headline(name: str, task: dict[str, Any]) -> str:
    """One line: the overall score with its interval; without an interval it says so and gives no number."""
    metric = headline_metric(task)
    score = task["scores"][metric]
    size = f"(n = {score['n']}, {task['images']} images)"
    mark = "" if task["baselines"] else f", {NO_BASELINE}"
    if score["low"] is None:
        return f"{name}: {NO_INTERVAL} for {metric.replace('_', ' ')}, so no headline {size}{mark}"
    return f"{name}: {metric.replace('_', ' ')} {bare(score)} {interval(score)} % {size}{mark}"


def _baseline_titles(task: dict[str, Any]) -> list[str]:
    return [TITLES[name] for name in task["baselines"]] or ["baselines"]


def rows(task: dict[str, Any]) -> Table:
    """The table of one task: a row per metric, the model first, then each baseline with its p value."""
    return _score_rows(task, lambda other: percent(other) + p_value(other))


def short_rows(task: dict[str, Any]) -> Table:
    """As `rows` for a terminal's width: of the baselines the bare score."""
    return _score_rows(task, bare)


def _score_rows(task: dict[str, Any], written: Callable[[dict[str, Any] | None], str]) -> Table:
    table = [["metric", "n", "model", *_baseline_titles(task)]]
    for metric, score in task["scores"].items():
        others = [baseline["scores"].get(metric) for baseline in task["baselines"].values()]
        table.append([metric, str(score["n"]), percent(score), *([written(other) for other in others] or [NO_BASELINE])])
    return table


def breakdown_keys(task: dict[str, Any]) -> list[str]:
    """The breakdowns that tell anything apart. One modality for all is said in the table of modalities."""
    return [key for key, values in task["breakdown"].items() if key != "modality" or len(values) > 1]


def breakdown_rows(task: dict[str, Any], key: str, metrics: Sequence[str] = ()) -> Table:
    """The table of one breakdown: a row per value, a column per metric (all if none is named); n is that of the widest.

    After the task's first metric stand all baselines on the same questions, in the cells of the others the best of them.
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
    """What every task says of one modality, modalities together; the head alone where no task knows them."""
    table = [["modality", "task", "metric", "n", "model", *TITLES.values()]]
    found = {value for task in tasks.values() for value in task["breakdown"].get("modality", {})}
    for value in sorted(found, key=lambda name: (name == "not stated", name)):
        for name, task in tasks.items():
            metric = headline_metric(task)
            score = task["breakdown"].get("modality", {}).get(value, {}).get(metric)
            if score:
                known = score.get("baselines", {})
                cells = [bare({"value": known[one]}) if one in known else NO_BASELINE for one in TITLES]
                table.append([value, name, metric, str(score["n"]), percent(score), *cells])
    return table


def hallucination_rows(task: dict[str, Any]) -> Table:
    """How often yes is right and how often it is said: over all yes/no questions, by the model without its image or with
    another, and per category."""
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
    "sub_images_per_question": "sub-images encoded",
    "visual_tokens_per_question": "visual tokens",
    "prompt_tokens_per_question": "prompt tokens",
    "new_tokens_per_question": "new tokens",
    "ms_per_question": "ms",
    "peak_memory_mib": "peak memory, MiB",
}


def cost_rows(costs: dict[str, Any]) -> Table:
    """What the model and each baseline took: means per question, and the greatest memory of the process seen."""
    table = [["asked", *COSTS.values()]]
    for variant, cost in sorted(costs.items(), key=lambda item: item[0] != "model"):
        table.append([TITLES.get(variant, variant), *(f"{cost[key]:g}" for key in COSTS)])
    return table
