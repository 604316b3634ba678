"""How one score is written in a table: percent, interval, p, and the marks of what is missing."""

from typing import Any

NO_BASELINE = "no baseline"
NO_INTERVAL = "no interval"
TITLES = {"majority": "majority", "blind": "no image", "shuffled_image": "other image"}


def percent(score: dict[str, Any] | None) -> str:
    """`53.8 [47.1, 60.2]`: the score and its 95 % interval, in percent; `53.8 (no interval)` where there is none."""
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
    """`no image 41.2`: the baseline with the highest score, the first of equals; or the mark that there is none."""
    if not values:
        return NO_BASELINE
    name = max(values, key=lambda key: values[key])
    return f"{TITLES[name]} {100 * values[name]:.1f}"


def p_value(score: dict[str, Any] | None) -> str:
    """` (p 0.031)`, or nothing where no test was made."""
    return "" if score is None or score.get("p") is None else f" (p {score['p']:.3f})"
