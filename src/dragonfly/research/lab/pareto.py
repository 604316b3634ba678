"""Accuracy against cost, three times: image tokens, FLOPs, milliseconds.

One image, with the variants that nothing beats joined.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dragonfly.files import atomic_write

from .conclusions import shown_times

AXES = (("image tokens per question", "image_tokens"), ("GFLOP per question", "gflops"), ("ms per question", "ms_per_question"))

Point = tuple[float, float]  # (cost, score)


def front(points: Sequence[Point]) -> list[int]:
    """Indices, by cost, of the points that no other beats: none is as cheap and better, or cheaper and as good."""
    order = sorted(range(len(points)), key=lambda index: (points[index][0], -points[index][1]))
    kept: list[int] = []
    for index in order:
        if not kept or points[index][1] > points[kept[-1]][1]:
            kept.append(index)
    return kept


def draw(result: dict[str, Any], measure: str, target: Path) -> None:
    """Write the plot of one measure over a result's variants."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(result["variants"])
    scores = [result["variants"][name]["scores"][measure] for name in names]
    scale = shown_times(scores[0])
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    for place, (label, key) in enumerate(AXES, start=1):
        axes = figure.add_subplot(1, 3, place, xlabel=label, ylabel=f"{measure} ({'words' if scale == 1 else '%'})")
        axes.margins(x=0.18)  # room for names on the right
        costs = [{**result["variants"][name]["cost"], **result["timing"][name]}[key] for name in names]
        points = [(cost, scale * score["value"]) for cost, score in zip(costs, scores, strict=True)]
        for name, (x, y), score in zip(names, points, scores, strict=True):
            low, high = (y, y) if score["low"] is None else (scale * score["low"], scale * score["high"])
            axes.errorbar([x], [y], yerr=[[max(0.0, y - low)], [max(0.0, high - y)]], fmt="o", capsize=2)
            axes.annotate(name, (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7)
        best = front(points)
        axes.plot([points[index][0] for index in best], [points[index][1] for index in best], color="grey", linewidth=1, zorder=0)
    figure.suptitle(result["name"])
    with atomic_write(target, "wb") as file:
        FigureCanvasAgg(figure).print_png(file)
