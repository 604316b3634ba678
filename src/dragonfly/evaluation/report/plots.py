"""Scores as drawings: SVG by matplotlib, which is imported when the first one is drawn.

The same scores and the same matplotlib give the same bytes. No text is read as mathematics or markup.
"""

import io
import warnings
from collections.abc import Sequence
from typing import Any

from dragonfly.installation import install_advice

from .document import Drawing
from .tables import TITLES, headline_metric

COLOURS = ("#0b6e99", "#c8553d", "#5b8e3e", "#7b4fa3", "#b8860b", "#444444")
MARKS = {"majority": "x", "blind": "o", "shuffled_image": "s"}
WIDTH = 8.0  # inches
MOST = 30  # values of a breakdown that are drawn; the table beside holds all

Series = tuple[str, list[dict[str, Any] | None], list[dict[str, float]]]
"""A run's label, its score of each row, and each row's baselines in 0..1."""


def require() -> None:
    """ValueError in one line unless matplotlib can be imported."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise ValueError(
            f"the plots of an HTML report need matplotlib, which is not installed; install it: {install_advice('eval')}"
        ) from None


def scores_plot(name: str, tasks: Sequence[tuple[str, dict[str, Any]]]) -> Drawing:
    """One task: every metric of every run with its interval and its baselines. `tasks` are (run, its scores of the task)."""
    metrics = list(tasks[0][1]["scores"])
    series: list[Series] = []
    for label, task in tasks:
        others = [
            {one: base["scores"][metric]["value"] for one, base in task["baselines"].items() if metric in base["scores"]}
            for metric in metrics
        ]
        series.append((label, [task["scores"].get(metric) for metric in metrics], others))
    return _dots(f"{name}: scores with 95 % intervals", metrics, series)


def breakdown_plot(name: str, key: str, label: str, task: dict[str, Any]) -> Drawing:
    """One breakdown: a bar of the first metric per value, with intervals and baselines."""
    metric = headline_metric(task)
    known = {value: scores[metric] for value, scores in task["breakdown"][key].items() if metric in scores}
    values = list(known)[:MOST]
    scores: list[dict[str, Any] | None] = [known[value] for value in values]
    others = [known[value].get("baselines", {}) for value in values]
    named = [f"{value} (n = {known[value]['n']})" for value in values]
    return _dots(f"{name}: {metric} by {key}", named, [(label, scores, others)], bars=True)


def calibration_plot(name: str, task: dict[str, Any]) -> Drawing:
    """Confidence of the replies in a bin against the score of the same replies; on the diagonal the model is as sure as right."""
    curve = task["calibration"]
    figure, axes = _figure(4.5, 4.2)
    axes.plot([0, 100], [0, 100], color="#999999", linewidth=1, linestyle="--")
    across, up = ([100 * one[key] for one in curve["bins"]] for key in ("confidence", "score"))
    axes.plot(across, up, color=COLOURS[0], marker="o")
    axes.set(xlim=(0, 100), ylim=(-3, 103))
    axes.set_xlabel("mean confidence, %")
    axes.set_ylabel(_text(f"mean {curve['metric']}, %"))
    return _drawn(figure, f"{name}: calibration")


def _dots(title: str, names: Sequence[str], series: Sequence[Series], *, bars: bool = False) -> Drawing:
    """Rows of scores from top to bottom; the runs of a row are drawn below each other."""
    figure, axes = _figure(WIDTH, 1.1 + 0.3 * len(names) * max(1, 0.8 * len(series)))
    step = 0.8 / len(series)
    seen: set[str] = set()
    for index, (label, scores, others) in enumerate(series):
        colour = COLOURS[index % len(COLOURS)]
        for row, (score, known) in enumerate(zip(scores, others, strict=True)):
            y = row + step * (index - (len(series) - 1) / 2)
            if score is not None:
                _score(axes, score, y, colour, step, bars=bars, label=_once(label, seen))
            for one, value in known.items():
                look: dict[str, Any] = {"marker": MARKS[one], "color": "#222222", "linestyle": "none", "markersize": 6}
                axes.plot([100 * value], [y], **look, markerfacecolor="none", label=_once(TITLES[one], seen))
    axes.set_yticks(range(len(names)), [_text(name) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(left=min(0, axes.get_xlim()[0]))
    axes.set_xlabel("%")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    if seen:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=8)
    return _drawn(figure, title)


def _score(axes: Any, score: dict[str, Any], y: float, colour: str, step: float, *, bars: bool, label: str | None) -> None:
    value = 100 * score["value"]
    if bars:
        axes.barh([y], [value], height=0.8 * step, color=colour, alpha=0.5, label=label)
    if score["low"] is not None:
        axes.plot([100 * score["low"], 100 * score["high"]], [y, y], color=colour, linewidth=2)
    axes.plot([value], [y], marker="D", color=colour, linestyle="none", markersize=5, label=None if bars else label)


def _once(label: str, seen: set[str]) -> str | None:
    """The label for the legend, the first time only. A leading underscore would hide it."""
    if label in seen:
        return None
    seen.add(label)
    return f" {_text(label)}"


def _text(text: str) -> str:
    """One line of at most 60 printable characters, in which a dollar sign is a dollar sign."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return (line if len(line) <= 60 else f"{line[:28]} ... {line[-27:]}").replace("$", r"\$")


def _figure(width: float, height: float) -> tuple[Any, Any]:
    require()
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(width, height))
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _drawn(figure: Any, title: str) -> Drawing:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    file = io.BytesIO()
    settings: Any = {"svg.hashsalt": "dragonfly", "svg.fonttype": "none", "font.family": "DejaVu Sans"}
    facts: Any = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with rc_context(settings), warnings.catch_warnings():
        # The reader's font shows the letters that matplotlib's own lacks; it measures them only.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        FigureCanvasSVG(figure).print_figure(file, format="svg", bbox_inches="tight", metadata=facts)
    return Drawing(file.getvalue(), "image/svg+xml", title)
