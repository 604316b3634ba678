"""What a lens plans for families of models at their released settings: tokens, close-ups and how much of an image they show.

Run: python benchmarks/lens_plans.py [--output benchmarks/results/lens_plans.json]

Writes the table of docs/lens.md too. No weights: processors alone are asked, at the released checkpoints' own settings. `least`
is the smallest max_tokens that a method takes; `data_lines` what a family needs beyond the one code path (lens/families.py).
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.lens.family_models import FAMILIES  # noqa: E402

from dragonfly.files import result_header, write_json  # noqa: E402
from dragonfly.lens import LensPlan, families  # noqa: E402
from dragonfly.lens.methods import METHODS  # noqa: E402
from dragonfly.lens.plan import make_plan  # noqa: E402
from dragonfly.lens.reader import Reader  # noqa: E402

SIZES = {"1K": (768, 1024), "4K": (2160, 3840), "8K": (4320, 7680)}  # (height, width)
BUDGETS = (1024, 4096)
CALLS = 4
MARK = "<!-- table: benchmarks/lens_plans.py -->"
MOST = 2**15  # tokens up to which the least budget is looked for
ONE_TILE = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]

RELEASED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "Qwen2.5-VL": ({"size": {"shortest_edge": 56 * 56, "longest_edge": 12_845_056}}, {}),
    "Qwen3-VL": ({"patch_size": 16, "size": {"shortest_edge": 65_536, "longest_edge": 16_777_216}}, {}),
    "LLaVA-NeXT": (
        {"image_grid_pinpoints": ONE_TILE, "size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}},
        {},
    ),
    "LLaVA-OneVision": (
        {
            "image_grid_pinpoints": [[384 * rows, 384 * cols] for rows in range(1, 7) for cols in range(1, 7)],
            "size": {"height": 384, "width": 384},
        },
        {"num_image_tokens": 729},
    ),
    "InternVL3": ({"crop_to_patches": True, "max_patches": 12, "size": {"height": 448, "width": 448}}, {"image_seq_length": 256}),
    "Idefics3": ({"size": {"longest_edge": 4 * 364}, "max_image_size": {"longest_edge": 364}}, {"image_seq_len": 169}),
    "Gemma 3": ({"size": {"height": 896, "width": 896}}, {"image_seq_length": 256}),
    "PaliGemma 448": ({"size": {"height": 448, "width": 448}}, {"image_seq_length": 1024}),
}
TYPES = dict(zip(RELEASED, FAMILIES, strict=False))  # families behind them have no settings here


def reader_of(name: str) -> Reader:
    """A reader of the family's processor at its released settings; nothing is asked of the model but its type."""
    images, own = RELEASED[name]
    _, processor = FAMILIES[TYPES[name]]()
    processor.image_processor = type(processor.image_processor)(**images)
    for key, value in own.items():
        setattr(processor, key, value)
    return Reader(SimpleNamespace(config=SimpleNamespace(model_type=TYPES[name])), processor, name)


def planned(reader: Reader, method: str, size: tuple[int, int], budget: int) -> LensPlan | None:
    try:
        return make_plan(reader, method, METHODS[method].needs, size, max_tokens=budget, max_calls=CALLS)
    except ValueError:
        return None


def least(reader: Reader, method: str, size: tuple[int, int]) -> int:
    low, high = 0, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if planned(reader, method, size, middle) else (middle, high)
    return high


def row(reader: Reader, method: str, size: tuple[int, int], budget: int) -> dict[str, Any] | None:
    plan = planned(reader, method, size, budget)
    if plan is None:
        return None
    side = reader.window(plan.close_up_tokens) if plan.grid else None
    shown = plan.close_ups * (side or 0) ** 2 / (size[0] * size[1])
    return {
        "tokens": plan.tokens,
        "calls": len(plan.calls),
        "whole_tokens": reader.tokens(plan.whole_size, plan.whole_options),
        "close_ups": plan.close_ups,
        "close_up_side": side,
        "share_close_up": round(min(1.0, shown), 4),
        "cells": None if plan.grid is None else list(plan.grid.cells),
    }


def data_lines() -> dict[str, int]:
    """Lines of each entry of `families.FAMILIES`, those of a named entry with it."""
    tree = ast.parse(Path(families.__file__).read_text())
    named = {
        node.targets[0].id: node.end_lineno - node.lineno + 1  # type: ignore[attr-defined, operator]
        for node in tree.body
        if isinstance(node, ast.Assign)
    }
    table = next(node.value for node in tree.body if isinstance(node, ast.AnnAssign))
    assert isinstance(table, ast.Dict)
    found: dict[str, int] = {}
    for key, value in zip(table.keys, table.values, strict=True):
        lines = value.end_lineno - value.lineno + 1  # type: ignore[operator]
        used = {one.id for one in ast.walk(value) if isinstance(one, ast.Name)} & set(named)
        found[key.value] = lines + sum(named[one] for one in used)  # type: ignore[union-attr]
    return found


def result() -> dict[str, Any]:
    """The rows, without a header."""
    lines, rows = data_lines(), list[dict[str, Any]]()
    for name in TYPES:
        reader = reader_of(name)
        for label, size in SIZES.items():
            for method in ("downsample", "residual", "attention", "search"):
                plans = {str(budget): row(reader, method, size, budget) for budget in BUDGETS}
                rows.append(
                    {"family": name, "image": label, "method": method, "least": least(reader, method, size), "plans": plans}
                )
    own = {name: lines.get(kind, 0) for name, kind in TYPES.items()}
    return {"sizes": {label: list(size) for label, size in SIZES.items()}, "max_calls": CALLS, "data_lines": own, "rows": rows}


def table(found: dict[str, Any]) -> str:
    """The table of docs/lens.md, of the largest image."""

    def cell(plan: dict[str, Any] | None) -> str:
        return f"{plan['close_ups']} x {plan['close_up_side']} px, {plan['tokens']:,}" if plan else "-"

    lines = [
        "| family | lines of data | method | least | close-ups and tokens at 1,024 | at 4,096 |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in found["rows"]:
        if one["image"] == "8K" and one["method"] != "downsample":
            cells = [cell(one["plans"][str(budget)]) for budget in BUDGETS]
            family = one["family"]
            lines.append(
                f"| {family} | {found['data_lines'][family]} | `{one['method']}` | {one['least']:,} | {' | '.join(cells)} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/lens_plans.json")
    output: Path = parser.parse_args().output
    found = result()
    write_json(output, {"kind": "lens_plans", **result_header(), **found})
    page = ROOT / "docs" / "lens.md"
    before, _, after = page.read_text(encoding="utf-8").partition(MARK)
    rest = after[after.index("\n\n## ") :]
    page.write_text(f"{before}{MARK}\n{table(found)}{rest}", encoding="utf-8")


if __name__ == "__main__":
    main()
