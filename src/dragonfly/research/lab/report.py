"""Results as pages, tables and plots, from result files alone.

A table is a list of rows of text, the head first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dragonfly.evaluation.report.tables import as_table
from dragonfly.evaluation.report.tables import percent as cell
from dragonfly.files import atomic_write
from dragonfly.visualization.plot_style import plot_style

from .conclusions import display_scale, p_text, percent

LEGEND = (
    "Scores are percentages of the n questions of a column (lengths of answers in words), with 95 % bootstrap intervals over "
    "images. p is of a two-sided paired permutation test over images (10,000 permutations). Costs are per question: tokens and "
    "FLOPs by `dragonfly.planning`, milliseconds as measured."
)


def report(result: dict[str, Any], plot: str | None = None, level: int = 1) -> str:
    """A study's result as Markdown.

    Args:
        result: the content of result.json.
        plot: name of the Pareto plot beside the page; None for a page without it.
        level: depth of the title.
    """
    sharp = "#" * level
    title = f"{sharp} {result['name']}" + (f" ({result['paper']})" if result["paper"] else "")
    parts = [title, result["question"], _about(result)]
    parts += [
        f"**{conclusion['text']}**" if conclusion["text"] else f"{conclusion['refused']}." for conclusion in result["conclusions"]
    ]
    if result["variants"]:
        parts += [as_table(score_rows(result)), LEGEND, f"{sharp}# Cost", as_table(cost_rows(result))]
        parts += [f"![accuracy against tokens, FLOPs and time]({plot})"] if plot else []
        if any(len(variant["seeds"]) > 1 for variant in result["variants"].values()):
            parts += [f"{sharp}# Seeds", as_table(seed_rows(result))]
        parts += [f"{sharp}# Tests", as_table(difference_rows(result))]
    parts += [f"{sharp}# What may and may not be concluded", " ".join(result["validity"])]
    return "\n\n".join(parts) + "\n"


def _about(result: dict[str, Any]) -> str:
    shared = "steps" if result["same"] == "steps" else "training FLOPs"
    how = (
        f"Every variant is trained from it on the same data, with the same seeds and {shared}."
        if result["trained"]
        else "No variant is trained: the checkpoint itself is evaluated."
    )
    how = " ".join([how, *_exceptions(result["variants"])])
    hardware, date = result["hardware"], result["date"].partition("T")[0]
    machine = hardware["gpu"] or f"{hardware['cores']} cores of {hardware['cpu']}"
    commit = f"commit {result['commit'][:12]}{'+' if result['dirty'] else ''}" if result["commit"] else "no commit known"
    return (
        f"Checkpoint `{result['checkpoint']['name']}` ({result['checkpoint']['sha256'][:12]}). {how} "
        f"{result['test']['images']} test images. {date}, {machine}, {commit}."
    )


def _exceptions(variants: dict[str, Any]) -> list[str]:
    """A sentence for each variant that has data of its own, begins with another one's model or spends a part of the FLOPs."""
    sentences: list[str] = []
    for name, variant in variants.items():
        if variant.get("own_data"):
            sentences.append(f"{name} has data of its own.")
        share, after = variant.get("share", 1.0), variant.get("after")
        if share < 1 or after:
            spends = f"spends {100 * share:g} % of these FLOPs" if share < 1 else "is trained"
            sentences.append(f"{name} {spends}{f', beginning with the model of {after}' if after else ''}.")
    return sentences


def score_rows(result: dict[str, Any]) -> list[list[str]]:
    """A row per variant; a column per measure."""
    measures = list(next(iter(result["variants"].values()))["scores"])
    first = next(iter(result["variants"].values()))["scores"]
    table = [["variant", *(f"{name} (n {first[name]['n']})" for name in measures)]]
    for name, variant in result["variants"].items():
        marks = [
            text for text, holds in (("exploratory", variant["exploratory"]), ("reference", name == result["reference"])) if holds
        ]
        label = f"{name} ({', '.join(marks)})" if marks else name
        table.append([label, *(percent(variant["scores"][measure]) for measure in measures)])
    return table


def cost_rows(result: dict[str, Any]) -> list[list[str]]:
    """A row per variant: training steps, with `same: flops` the training FLOPs in all, and the cost of one question."""
    by_flops = result["same"] == "flops"
    trained = ["training TFLOP"] if by_flops else []
    table = [["variant", "steps", *trained, "sub-images encoded", "image tokens", "GFLOP", "ms"]]
    for name, variant in result["variants"].items():
        cost, timing, flops = variant["cost"], result["timing"][name], variant.get("training_flops")
        spent = ["-" if flops is None else f"{flops / 1e12:.3g}"] if by_flops else []
        numbers = [f"{cost['encoded']:g}", f"{cost['image_tokens']:g}", f"{cost['gflops']:.3g}", f"{timing['ms_per_question']:g}"]
        table.append([name, str(variant["steps"] or "-"), *spent, *numbers])
    return table


def seed_rows(result: dict[str, Any]) -> list[list[str]]:
    """A row per variant and measure: the score by seed, and the standard deviation over seeds."""
    table = [["variant", "measure", "by seed", "spread"]]
    for name, variant in result["variants"].items():
        for measure, score in variant["scores"].items():
            scale = display_scale(score)
            each = ", ".join(f"{seed}: {scale * value:.1f}" for seed, value in zip(variant["seeds"], score["seeds"], strict=True))
            table.append([name, measure, each, "-" if score["spread"] is None else f"{scale * score['spread']:.1f}"])
    return table


def difference_rows(result: dict[str, Any]) -> list[list[str]]:
    """A row per tested pair and measure, the difference in points (or words) with its 95 % interval."""
    table = [["variant", "against", "measure", "difference", "p", "seeds", "sign"]]
    for test in result["tests"]:
        scale = display_scale(test)
        value = f"{scale * test['value']:+.1f}"
        if test["low"] is not None:
            value += f" [{scale * test['low']:+.1f}, {scale * test['high']:+.1f}]"
        sign = "one seed" if len(test["seeds"]) == 1 else "consistent" if test["consistent"] else "not consistent"
        row = [test["variant"], test["over"], test["measure"], value, p_text(test["p"]), str(len(test["seeds"])), sign]
        table.append(row)
    return table


def recall_rows(result: dict[str, Any], measure: str = "recall") -> list[list[str]]:
    """A row per policy, ordered by recall at the largest number kept; a column per number kept."""
    table: dict[str, Any] = result["recall"]
    keeps = sorted(table, key=int)
    order = sorted(table[keeps[-1]], key=lambda policy: (-table[keeps[-1]][policy][measure]["value"], policy))
    head = ["policy", *(f"keep {keep}" for keep in keeps)]
    return [head, *([policy, *(cell(table[keep][policy][measure]) for keep in keeps)] for policy in order)]


def tower_rows(result: dict[str, Any]) -> list[list[str]]:
    """A row per policy, at the largest number kept; a column per seed."""
    seeds: list[dict[str, Any]] = result["seeds"]
    keep = max(seeds[0]["recall"], key=int)
    head = ["policy", *(f"seed {one['seed']}" for one in seeds)]
    cells = {policy: [cell(one["recall"][keep][policy]["recall"]) for one in seeds] for policy in seeds[0]["recall"][keep]}
    return [head, *([policy, *row] for policy, row in cells.items())]


def curve_rows(result: dict[str, Any]) -> list[list[str]]:
    """A row each for deletion, insertion and pointing, beside random orders."""
    table = [["measure", "n", "leaving one out", "random order", "difference"]]
    for name, better in (("deletion", "lower"), ("insertion", "higher"), ("pointing", "higher")):
        one = result[name]
        if one is None:
            continue
        interval = "" if one["low"] is None else f" [{100 * one['low']:+.1f}, {100 * one['high']:+.1f}]"
        values = [f"{100 * one['ours']:.1f}", f"{100 * one['random']:.1f}", f"{100 * one['difference']:+.1f}{interval}"]
        table.append([f"{name} ({better} is better)", str(one["n"]), *values])
    return table


AXES = (("image tokens per question", "image_tokens"), ("GFLOP per question", "gflops"), ("ms per question", "ms_per_question"))

LEGEND_COLUMNS = 5
MARKERS, COLOURS = "osD^vP<>", 6  # each marker in the six colours of the plots' style
MOST_NAMED = 4  # Pareto-optimal variants in a title

Point = tuple[float, float]  # (cost, score)


def front(points: Sequence[Point]) -> list[int]:
    """Indices, by cost, of the Pareto-optimal points: no other is as cheap and better, or cheaper and as good."""
    order = sorted(range(len(points)), key=lambda index: (points[index][0], -points[index][1]))
    kept: list[int] = []
    for index in order:
        if not kept or points[index][1] > points[kept[-1]][1]:
            kept.append(index)
    return kept


def draw(result: dict[str, Any], measure: str, target: Path) -> None:
    """Write a PNG of one measure against image tokens, FLOPs and milliseconds, with the Pareto-optimal variants joined.

    The title is the study's question and, as its finding, the variants that are Pareto-optimal in image tokens.
    """
    names = list(result["variants"])
    scores = [result["variants"][name]["scores"][measure] for name in names]
    with plot_style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(13, 4.6 + 0.22 * -(-len(names) // LEGEND_COLUMNS)), layout="constrained")
        fronts: list[list[int]] = []
        for place, (label, key) in enumerate(AXES, start=1):
            axes = figure.add_subplot(1, 3, place, xlabel=label, ylabel=_what(measure, scores[0]) if place == 1 else "")
            costs = [{**result["variants"][name]["cost"], **result["timing"][name]}[key] for name in names]
            fronts.append(_draw_points(axes, names, costs, scores))
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=LEGEND_COLUMNS)
        best = [names[index] for index in fronts[0]]
        found = f"Best for their image tokens: {', '.join(best[:MOST_NAMED])}{' and others' if len(best) > MOST_NAMED else ''}"
        figure.suptitle(f"{result['question']}\n{found} (95 % intervals)".replace("$", r"\$"), x=0.01, ha="left", fontsize=11)
        with atomic_write(target, "wb") as file:
            FigureCanvasAgg(figure).print_png(file)


def _what(measure: str, score: dict[str, Any]) -> str:
    told = measure.replace("_", " ")
    return f"{told}: words per answer" if display_scale(score) == 1 else f"{told}: % of {score['n']} questions"


def _draw_points(axes: Any, names: Sequence[str], costs: Sequence[float], scores: Sequence[dict[str, Any]]) -> list[int]:
    """Each variant with its interval over its cost, the Pareto-optimal ones joined; gives their indices."""
    scale = display_scale(scores[0])
    points = [(cost, scale * score["value"]) for cost, score in zip(costs, scores, strict=True)]
    for number, (name, (x, y), score) in enumerate(zip(names, points, scores, strict=True)):
        low, high = (y, y) if score["low"] is None else (scale * score["low"], scale * score["high"])
        look: dict[str, Any] = {"color": f"C{number % COLOURS}", "fmt": MARKERS[number // COLOURS % len(MARKERS)]}
        axes.errorbar([x], [y], yerr=[[max(0.0, y - low)], [max(0.0, high - y)]], capsize=2, label=name, **look)
    best = front(points)
    axes.plot([points[index][0] for index in best], [points[index][1] for index in best], color="#6b7280", linewidth=1, zorder=0)
    return best
