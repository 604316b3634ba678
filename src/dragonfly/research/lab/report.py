"""A study's result as a page: result.json in words and tables. Knows no run, no model and no study file."""

from __future__ import annotations

from typing import Any

from dragonfly.evaluation.report.tables import as_table

from .conclusions import p_text, percent, shown_times

LEGEND = (
    "Scores in percent (replies' lengths in words) with 95 % bootstrap intervals, images drawn in all seeds at once. p: paired "
    "permutation test over questions, images swapped whole, 10,000 draws. Costs per question by `planning`; ms as measured."
)


def report(result: dict[str, Any], plot: str | None = None, level: int = 1) -> str:
    """The page; `plot` is the Pareto image's name beside it, `level` the depth of its title."""
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
        f"Each variant is trained from it on the same data, with the same seeds and {shared}."
        if result["trained"]
        else ("No variant is trained: the checkpoint itself is asked.")
    )
    hardware, date = result["hardware"], result["date"].partition("T")[0]
    machine = hardware["gpu"] or f"{hardware['cores']} cores of {hardware['cpu']}"
    commit = f"commit {result['commit'][:12]}{'+' if result['dirty'] else ''}" if result["commit"] else "no commit known"
    return (
        f"Checkpoint `{result['checkpoint']['name']}` ({result['checkpoint']['sha256'][:12]}). {how} "
        f"{result['test']['images']} test images. {date}, {machine}, {commit}."
    )


def score_rows(result: dict[str, Any]) -> list[list[str]]:
    """A row per variant; a column per measure."""
    measures = list(next(iter(result["variants"].values()))["scores"])
    first = next(iter(result["variants"].values()))["scores"]
    table = [["variant", *(f"{name} (n {first[name]['n']})" for name in measures)]]
    for name, variant in result["variants"].items():
        marks = [
            text for text, said in (("exploratory", variant["exploratory"]), ("reference", name == result["reference"])) if said
        ]
        label = f"{name} ({', '.join(marks)})" if marks else name
        table.append([label, *(percent(variant["scores"][measure]) for measure in measures)])
    return table


def cost_rows(result: dict[str, Any]) -> list[list[str]]:
    table = [["variant", "steps", "sub-images encoded", "image tokens", "GFLOP", "ms"]]
    for name, variant in result["variants"].items():
        cost, timing = variant["cost"], result["timing"][name]
        numbers = [f"{cost['encoded']:g}", f"{cost['image_tokens']:g}", f"{cost['gflops']:.3g}", f"{timing['ms_per_question']:g}"]
        table.append([name, str(variant["steps"] or "-"), *numbers])
    return table


def seed_rows(result: dict[str, Any]) -> list[list[str]]:
    """A row per variant and measure: each seed's score, and their standard deviation."""
    table = [["variant", "measure", "by seed", "spread"]]
    for name, variant in result["variants"].items():
        for measure, score in variant["scores"].items():
            scale = shown_times(score)
            each = ", ".join(f"{seed}: {scale * value:.1f}" for seed, value in zip(variant["seeds"], score["seeds"], strict=True))
            table.append([name, measure, each, "-" if score["spread"] is None else f"{scale * score['spread']:.1f}"])
    return table


def difference_rows(result: dict[str, Any]) -> list[list[str]]:
    table = [["variant", "against", "measure", "difference", "p", "seeds", "sign"]]
    for test in result["tests"]:
        scale = shown_times(test)
        value = f"{scale * test['value']:+.1f}"
        if test["low"] is not None:
            value += f" [{scale * test['low']:+.1f}, {scale * test['high']:+.1f}]"
        sign = "one seed" if len(test["seeds"]) == 1 else "consistent" if test["consistent"] else "not consistent"
        row = [test["variant"], test["over"], test["measure"], value, p_text(test["p"]), str(len(test["seeds"])), sign]
        table.append(row)
    return table
