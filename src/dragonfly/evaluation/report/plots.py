"""Scores as drawings: SVG by matplotlib, which is imported when the first one is drawn. A title says what is found.

The same scores and the same matplotlib give the same bytes. No text is read as mathematics or markup.
"""

import io
import warnings
from collections.abc import Sequence
from typing import Any

from dragonfly.installation import install_advice
from dragonfly.visualization.plot_style import plot_style

from .document import Drawing
from .tables import TITLES, headline_metric

ACCENT, GREY = "#0b72b5", "#6b7280"
MARKS = {"majority": "x", "random": "^", "blind": "o", "shuffled_image": "s"}
KEY = "Bar: the model, line: its 95 % interval. Guesses: x majority, triangle: random option, o blind, square: shuffled image."
WIDTH = 5.2  # inches: read on a phone as on a screen
MOST = 30  # values of a breakdown that are drawn; the table beside holds all


def require() -> None:
    """ValueError in one line unless matplotlib can be imported."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise ValueError(
            f"the plots of an HTML report need matplotlib, which is not installed; install it: {install_advice('eval')}"
        ) from None


def scores_plot(name: str, tasks: Sequence[tuple[str, dict[str, Any]]]) -> Drawing:
    """One task's first metric: every run, and the baselines of the first. `tasks` are (run, its scores of the task)."""
    metric = headline_metric(tasks[0][1])
    told = metric.replace("_", " ")
    rows = [(label if len(tasks) > 1 else "the model", task["scores"].get(metric), ACCENT) for label, task in tasks]
    known = tasks[0][1]["baselines"]
    rows += [(TITLES[one], base["scores"][metric], GREY) for one, base in known.items() if metric in base["scores"]]
    shown = [(label, score, colour) for label, score, colour in rows if score is not None]
    with plot_style(**_SVG):
        figure, axes = _figure(WIDTH, 0.9 + 0.38 * len(shown))
        for y, (_, score, colour) in enumerate(shown):
            if score["low"] is not None:
                axes.plot([100 * score["low"], 100 * score["high"]], [y, y], color=colour, linewidth=2)
            axes.plot([100 * score["value"]], [y], marker="D", color=colour, linestyle="none", markersize=6)
            axes.annotate(
                f"{100 * score['value']:.1f}", (100 * score["value"], y), (0, 6), textcoords="offset points", ha="center"
            )
        _rows(axes, [label for label, _, _ in shown], [score for _, score, _ in shown])
        axes.set_xlabel(_text(f"{told}, % of {shown[0][1]['n']} questions, with 95 % intervals", 80))
        return _drawn(figure, axes, f"{name}: {told} {_leader(shown)}")


def breakdown_plot(name: str, key: str, task: dict[str, Any]) -> Drawing:
    """One breakdown: a bar of the first metric per value, with intervals and baselines."""
    metric = headline_metric(task)
    told = metric.replace("_", " ")
    known = {value: scores[metric] for value, scores in task["breakdown"][key].items() if metric in scores}
    values = list(known)[:MOST]
    with plot_style(**_SVG):
        figure, axes = _figure(WIDTH, 0.9 + 0.36 * max(1, len(values)))
        for y, value in enumerate(values):
            score = known[value]
            axes.barh([y], [100 * score["value"]], height=0.6, color=ACCENT, alpha=0.45)
            if score["low"] is not None:
                axes.plot([100 * score["low"], 100 * score["high"]], [y, y], color=ACCENT, linewidth=2)
            for one, guess in score.get("baselines", {}).items():
                look: dict[str, Any] = {"marker": MARKS[one], "color": "#1a1d21", "linestyle": "none", "markersize": 6}
                axes.plot([100 * guess], [y], **look, markerfacecolor="none", clip_on=False)
        _rows(axes, [f"{value} (n = {known[value]['n']})" for value in values], [known[value] for value in values])
        axes.set_xlabel(_text(f"{told}, %"))
        return _drawn(figure, axes, _range(key, {value: known[value]["value"] for value in values}, f"{name}: {told} by {key}"))


def calibration_plot(name: str, task: dict[str, Any]) -> Drawing:
    """Confidence of the replies in a bin against the score of the same replies; on the diagonal the model is as sure as right."""
    curve = task["calibration"]
    total = sum(one["n"] for one in curve["bins"])
    over = 100 * sum(one["n"] * (one["confidence"] - one["score"]) for one in curve["bins"]) / max(1, total)
    found = (
        "about as sure as right"
        if abs(over) < 5
        else f"{'too sure' if over > 0 else 'not sure enough'} by {abs(over):.0f} points"
    )
    with plot_style(**_SVG):
        figure, axes = _figure(4.2, 3.6)
        axes.plot([0, 100], [0, 100], color=GREY, linewidth=1, linestyle="--")
        axes.annotate("as sure as right", (62, 64), color=GREY, rotation=38, ha="center", fontsize=8)
        across, up = ([100 * one[key] for one in curve["bins"]] for key in ("confidence", "score"))
        axes.plot(across, up, color=ACCENT, marker="o")
        axes.set(xlim=(0, 103), ylim=(-3, 103))
        axes.set_xlabel("mean confidence, %")
        axes.set_ylabel(_text(f"{curve['metric'].replace('_', ' ')}, %"))
        return _drawn(figure, axes, f"{name}: calibration: {found}")


def _rows(axes: Any, names: Sequence[str], scores: Sequence[dict[str, Any]]) -> None:
    axes.set_yticks(range(len(names)), [_text(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.7)
    ends = [100 * (score["value"] if score["high"] is None else score["high"]) for score in scores]
    axes.set_xlim(0, max(10.0, min(104.0, 1.12 * max(ends, default=100.0))))
    axes.grid(axis="y", visible=False)


def _leader(shown: Sequence[tuple[str, dict[str, Any], str]]) -> str:
    """`30.0 %, best guess 32.5 %`, or the runs' scores from first to last."""
    runs = [score["value"] for _, score, colour in shown if colour == ACCENT]
    guesses = [score["value"] for _, score, colour in shown if colour == GREY]
    told = " and ".join(f"{100 * value:.1f} %" for value in runs[:3])
    return f"{told}, best guess {100 * max(guesses):.1f} %" if guesses else told


def _range(key: str, values: dict[str, float], told: str) -> str:
    if len(values) < 2 or max(values.values()) == min(values.values()):
        return f"{told}: no difference" if len(values) > 1 else told
    best, worst = max(values, key=lambda one: values[one]), min(values, key=lambda one: values[one])
    return f"{told}: {_text(best)} {100 * values[best]:.1f}, {_text(worst)} {100 * values[worst]:.1f}"


def _text(text: str, most: int = 40) -> str:
    """One line of at most `most` printable characters, in which a dollar sign is a dollar sign."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return (line if len(line) <= most else f"{line[: most - 14]} ... {line[-9:]}").replace("$", r"\$")


_SVG = {"svg.hashsalt": "dragonfly", "svg.fonttype": "none"}


def _figure(width: float, height: float) -> tuple[Any, Any]:
    require()
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(width, height))
    return figure, figure.add_subplot()


def _drawn(figure: Any, axes: Any, title: str) -> Drawing:
    """The figure with the part of its title behind the task's name on it; the whole title is said to those who do not see it."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    shown = title.partition(": ")[2] or title
    axes.set_title(_text(shown, 64), x=0, pad=10)
    file = io.BytesIO()
    facts: Any = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with warnings.catch_warnings():
        # The reader's font shows the letters that matplotlib's own lacks; it measures them only.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        FigureCanvasSVG(figure).print_figure(file, format="svg", bbox_inches="tight", metadata=facts)
    return Drawing(file.getvalue(), "image/svg+xml", title)
