"""A study's result as a page: result.json in words and tables. Knows no run, no model and no study file."""

from __future__ import annotations

from typing import Any

from dragonfly.evaluation.report.blocks import as_table

from .claims import p_text, percent, shown_times

LEGEND = (
    "Scores in percent (replies' lengths in words) with 95 % bootstrap intervals, pictures drawn in all seeds at once. p: paired "
    "permutation test over questions, pictures swapped whole, 10,000 draws. Costs per question by `planning`; ms as measured."
)


def report(result: dict[str, Any], plot: str | None = None, level: int = 1) -> str:
    """The page; `plot` is the Pareto picture's name beside it, `level` the depth of its title."""
    sharp = "#" * level
    title = f"{sharp} {result['name']}" + (f" ({result['paper']})" if result["paper"] else "")
    parts = [title, result["question"], _about(result)]
    parts += [f"**{claim['text']}**" if claim["text"] else f"{claim['refused']}." for claim in result["headlines"]]
    if result["arms"]:
        parts += [as_table(score_rows(result)), LEGEND, f"{sharp}# Cost", as_table(cost_rows(result))]
        parts += [f"![accuracy against tokens, FLOPs and time]({plot})"] if plot else []
        if any(len(arm["seeds"]) > 1 for arm in result["arms"].values()):
            parts += [f"{sharp}# Seeds", as_table(seed_rows(result))]
        parts += [f"{sharp}# Tests", as_table(difference_rows(result))]
    parts += [f"{sharp}# What may and may not be concluded", " ".join(result["conclusions"])]
    return "\n\n".join(parts) + "\n"


def _about(result: dict[str, Any]) -> str:
    shared = "steps" if result["same"] == "steps" else "training FLOPs"
    how = (
        f"Each arm is trained from it on the same data, with the same seeds and {shared}."
        if result["trained"]
        else ("No arm is trained: the checkpoint itself is asked.")
    )
    hardware, date = result["hardware"], result["date"].partition("T")[0]
    machine = hardware["gpu"] or f"{hardware['cores']} cores of {hardware['cpu']}"
    commit = f"commit {result['commit'][:12]}{'+' if result['dirty'] else ''}" if result["commit"] else "no commit known"
    return (
        f"Checkpoint `{result['checkpoint']['name']}` ({result['checkpoint']['sha256'][:12]}). {how} "
        f"{result['test']['pictures']} test pictures. {date}, {machine}, {commit}."
    )


def score_rows(result: dict[str, Any]) -> list[list[str]]:
    """A row per arm; a column per measure."""
    measures = list(next(iter(result["arms"].values()))["scores"])
    first = next(iter(result["arms"].values()))["scores"]
    table = [["arm", *(f"{name} (n {first[name]['n']})" for name in measures)]]
    for name, arm in result["arms"].items():
        marks = [text for text, said in (("exploratory", arm["exploratory"]), ("reference", name == result["reference"])) if said]
        label = f"{name} ({', '.join(marks)})" if marks else name
        table.append([label, *(percent(arm["scores"][measure]) for measure in measures)])
    return table


def cost_rows(result: dict[str, Any]) -> list[list[str]]:
    table = [["arm", "steps", "sub-images encoded", "image tokens", "GFLOP", "ms"]]
    for name, arm in result["arms"].items():
        cost, timing = arm["cost"], result["timing"][name]
        numbers = [f"{cost['encoded']:g}", f"{cost['image_tokens']:g}", f"{cost['gflops']:.3g}", f"{timing['ms_per_question']:g}"]
        table.append([name, str(arm["steps"] or "-"), *numbers])
    return table


def seed_rows(result: dict[str, Any]) -> list[list[str]]:
    """A row per arm and measure: each seed's score, and their standard deviation."""
    table = [["arm", "measure", "by seed", "spread"]]
    for name, arm in result["arms"].items():
        for measure, score in arm["scores"].items():
            scale = shown_times(score)
            each = ", ".join(f"{seed}: {scale * value:.1f}" for seed, value in zip(arm["seeds"], score["seeds"], strict=True))
            table.append([name, measure, each, "-" if score["spread"] is None else f"{scale * score['spread']:.1f}"])
    return table


def difference_rows(result: dict[str, Any]) -> list[list[str]]:
    table = [["arm", "against", "measure", "difference", "p", "seeds", "sign"]]
    for test in result["tests"]:
        scale = shown_times(test)
        value = f"{scale * test['value']:+.1f}"
        if test["low"] is not None:
            value += f" [{scale * test['low']:+.1f}, {scale * test['high']:+.1f}]"
        sign = "one seed" if len(test["seeds"]) == 1 else "consistent" if test["consistent"] else "not consistent"
        row = [test["arm"], test["over"], test["measure"], value, p_text(test["p"]), str(len(test["seeds"])), sign]
        table.append(row)
    return table
