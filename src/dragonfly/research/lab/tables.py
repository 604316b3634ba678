"""Result files as tables of text: one list of cells per row, the head first. Knows no model and no terminal."""

from __future__ import annotations

from typing import Any

from dragonfly.evaluation.report.tables import percent


def recall_rows(found: dict[str, Any], measure: str = "recall") -> list[list[str]]:
    """A row per policy, best at the largest number kept first; a column per number kept."""
    table: dict[str, Any] = found["recall"]
    keeps = sorted(table, key=int)
    order = sorted(table[keeps[-1]], key=lambda policy: (-table[keeps[-1]][policy][measure]["value"], policy))
    head = ["policy", *(f"keep {keep}" for keep in keeps)]
    return [head, *([policy, *(percent(table[keep][policy][measure]) for keep in keeps)] for policy in order)]


def tower_rows(found: dict[str, Any]) -> list[list[str]]:
    """A row per policy at the largest number kept; a column per seed."""
    seeds: list[dict[str, Any]] = found["seeds"]
    keep = max(seeds[0]["recall"], key=int)
    head = ["policy", *(f"seed {one['seed']}" for one in seeds)]
    cells = {policy: [percent(one["recall"][keep][policy]["recall"]) for one in seeds] for policy in seeds[0]["recall"][keep]}
    return [head, *([policy, *row] for policy, row in cells.items())]


def curve_rows(found: dict[str, Any]) -> list[list[str]]:
    """Deletion, insertion and pointing, each beside chance."""
    table = [["measure", "n", "leaving one out", "random order", "difference"]]
    for name, better in (("deletion", "lower"), ("insertion", "higher"), ("pointing", "higher")):
        one = found[name]
        if one is None:
            continue
        interval = "" if one["low"] is None else f" [{100 * one['low']:+.1f}, {100 * one['high']:+.1f}]"
        values = [f"{100 * one['ours']:.1f}", f"{100 * one['random']:.1f}", f"{100 * one['difference']:+.1f}{interval}"]
        table.append([f"{name} ({better} is better)", str(one["n"]), *values])
    return table
