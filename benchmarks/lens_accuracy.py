"""Every method of a lens asked the same questions under the same budgets, of a small model that reads close-ups.

Run: python benchmarks/lens_accuracy.py ask build/lens_accuracy [--parts 1/2]
     python benchmarks/lens_accuracy.py score build/lens_accuracy

`ask` writes every answer into the folder and goes on where it stopped; `score` writes benchmarks/results/lens_accuracy.json and
the table of docs/lens.md. The model is checkpoints/lens-reader. The questions are about pages of the split `test` of the
synthetic documents `nano` (research/close_reader/pages.py), whose values, page styles and wordings occur in no training: a
field's value, or the field of a value, with the box that holds the answer. A gate's threshold is found on pages of `dev`.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dragonfly.evaluation.lens import CONTROLS, methods_of
from dragonfly.evaluation.metrics.base import mean
from dragonfly.evaluation.metrics.short import exact_match
from dragonfly.evaluation.statistics import holm, interval, paired_p
from dragonfly.files import result_header, write_json
from dragonfly.lens import Lens, calibrate
from dragonfly.lens.loading import load_pair
from dragonfly.research.close_reader import pages
from dragonfly.research.close_reader.prompts import share

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "checkpoints" / "lens-reader"
SEED, PAGES, EACH = 4711, 125, 3  # pages of the test split, and questions of a page at most
DEV_PAGES, DEV_EACH = 60, 2
BUDGETS, CALLS = (128, 216), 4  # visual tokens over all calls of a question, and calls
NEW_TOKENS = 12
SHOWN = 0.95  # of the evidence's box, what a close-up must hold to show it
METHODS = methods_of("all")
MARK, END = "<!-- table: benchmarks/lens_accuracy.py -->", "<!-- end of table -->"
GATE = "whole", "closer"  # what a gate's threshold is found from


def questions(split: str, count: int, each: int) -> Iterator[tuple[int, Any, list[pages.Asked]]]:
    """The number of a page, its image, and questions that have to be read, drawn evenly; the same on every machine."""
    for number, page in enumerate(pages.pages(split, SEED, count, pages.READ)):
        fit = [one for one in page.questions if one.box]
        yield number, page.image, random.Random(number).sample(fit, min(each, len(fit)))


@dataclass(frozen=True)
class Run:
    """Who is asked what: a method under a budget, or nothing but the question (`blind`), or one side of a gate on `dev`."""

    name: str
    method: str
    budget: int
    split: str = "test"
    threshold: float | None = None

    def ask(self, model: Any, processor: Any, folder: Path) -> None:
        """Answer what the folder does not hold yet, a line a question."""
        path = folder / f"{self.name}.jsonl"
        done = sum(1 for _ in path.open()) if path.is_file() else 0
        options: Any = {} if self.threshold is None else {"threshold": self.threshold}
        lens = Lens((model, processor), method=self.method, **options)
        size = (PAGES, EACH) if self.split == "test" else (DEV_PAGES, DEV_EACH)
        rows = ((page, image, one) for page, image, asked in questions(self.split, *size) for one in asked)
        began = time.time()
        for number, (page, image, one) in enumerate(rows):
            if number >= done:
                found = {"page": page, **self._answer(lens, None if self.name == "blind" else image, one)}
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(found) + "\n")
        print(f"{self.name}: {time.time() - began:.0f} s", flush=True)

    def _answer(self, lens: Lens, image: Any, one: pages.Asked) -> dict[str, Any]:
        assert one.box is not None
        given: Any = {"evidence": [one.box]} if self.method == "oracle" else {}
        budget: Any = {"max_tokens": self.budget, "max_calls": CALLS, "max_new_tokens": NEW_TOKENS}
        answer = lens.ask(image, one.text, **budget, **given)
        close_ups = [view.box for view in answer.views[1:]]
        return {
            "kind": one.kind,
            "text": answer.text,
            "right": exact_match(answer.text, (one.answer,), str.casefold),
            "confidence": round(answer.confidence, 6),
            "shown": any(share(one.box, box) >= SHOWN for box in close_ups),
            "close_ups": len(close_ups),
            "tokens": answer.image_tokens,
            "calls": answer.calls,
        }


def of_gate(budget: int) -> list[Run]:
    return [Run(f"{side}-{budget}", "gate", budget, "dev", 1.0 * (side == "closer")) for side in GATE]


def threshold(folder: Path, budget: int) -> float:
    """What the answers on dev pages say of when the whole image is enough."""
    whole, closer = (read(folder, run.name) for run in of_gate(budget))
    return calibrate([row["confidence"] for row in whole], [row["right"] for row in whole], [row["right"] for row in closer])


def read(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def ask(folder: Path, part: int, parts: int) -> None:
    """Part `part` of `parts` of all runs; the gate's sides come before the gate, in the same part."""
    folder.mkdir(parents=True, exist_ok=True)
    model, processor, _ = load_pair(MODEL, "cpu", "float32")
    jobs = [(method, budget) for budget in BUDGETS for method in METHODS]
    for method, budget in [*jobs, ("blind", 0)][part - 1 :: parts]:
        if method == "blind":
            Run("blind", "downsample", BUDGETS[0]).ask(model, processor, folder)
            continue
        if refused := refusal(Lens((model, processor), method=method), budget):
            write_json(folder / f"{method}-{budget}.refused.json", {"refused": refused})
            continue
        found = None
        if method == "gate":
            for side in of_gate(budget):
                side.ask(model, processor, folder)
            found = threshold(folder, budget)
        Run(f"{method}-{budget}", method, budget, threshold=found).ask(model, processor, folder)


def refusal(lens: Lens, budget: int) -> str | None:
    """Why a method cannot be asked under a budget."""
    try:
        lens.plan((256, 384), max_tokens=budget, max_calls=CALLS)
    except ValueError as error:
        return str(error)
    return None


def points(rows: Sequence[dict[str, Any]]) -> np.ndarray:
    """(questions, 2): right, and a weight of 1."""
    return np.array([(row["right"], 1.0) for row in rows])


def scored(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How often a run is right, with its 95 % interval over pages, and what it showed and took."""
    low, high = interval(points(rows), [str(row["page"]) for row in rows], mean) or (0.0, 0.0)
    seen = [row["right"] for row in rows if row["shown"]]
    close_ups = any(row["close_ups"] for row in rows)
    return {
        "accuracy": average(rows, "right"),
        "interval": [round(low, 4), round(high, 4)],
        "evidence_shown": average(rows, "shown") if close_ups else None,
        "accuracy_where_shown": round(sum(seen) / len(seen), 4) if seen else None,
        "close_ups": average(rows, "close_ups"),
        "tokens": average(rows, "tokens"),
        "most_tokens": max(row["tokens"] for row in rows),
        "calls": average(rows, "calls"),
    }


def average(rows: Sequence[dict[str, Any]], name: str) -> float:
    return round(sum(row[name] for row in rows) / len(rows), 4)


def result(folder: Path) -> dict[str, Any]:
    """Everything but the header."""
    blind = read(folder, "blind")
    found: dict[str, Any] = {"questions": len(blind), "pages": len({row["page"] for row in blind}), "max_calls": CALLS}
    found |= {"spec": "nano", "split": "test", "seed": SEED, "blind": scored(blind), "budgets": {}}
    for budget in BUDGETS:
        asked = [method for method in METHODS if not (folder / f"{method}-{budget}.refused.json").is_file()]
        runs = {method: read(folder, f"{method}-{budget}") for method in asked}
        rows = {method: scored(run) for method, run in runs.items()}
        rows["gate"]["threshold"] = threshold(folder, budget)
        for control in CONTROLS:
            for method, difference in compared(runs, control).items():
                rows[method][f"less_{control}"] = difference
        found["budgets"][str(budget)] = rows
    return found


def compared(runs: dict[str, list[dict[str, Any]]], control: str) -> dict[str, dict[str, float | None]]:
    """Of every method its difference to a control, with the p of a paired permutation test over pages, after Holm."""
    others = [method for method in runs if method not in (*CONTROLS, "oracle")]
    groups, base = [str(row["page"]) for row in runs[control]], points(runs[control])
    tested = holm([paired_p(points(runs[method]), base, groups, mean) for method in others])
    differences = [average(runs[method], "right") - average(runs[control], "right") for method in others]
    return {one: {"difference": round(less, 4), "p": p} for one, less, p in zip(others, differences, tested, strict=True)}


def table(found: dict[str, Any]) -> str:
    """The table of docs/lens.md, and a line before it."""
    blind = found["blind"]
    low, high = blind["interval"]
    lines = [
        f"{found['questions']} questions about {found['pages']} pages; without an image, {blind['accuracy']:.1%} "
        f"({low:.0%} to {high:.0%}) of the answers are right.",
        "",
        "| budget | method | right | evidence shown | right where shown | tokens | calls "
        "| points beside `downsample` | beside `random` |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for budget, rows in found["budgets"].items():
        for method, row in sorted(rows.items(), key=lambda one: (-one[1]["accuracy"], one[0])):
            low, high = row["interval"]
            cells = [f"{row['accuracy']:.1%} ({low:.0%} to {high:.0%})", _share(row["evidence_shown"])]
            cells += [_share(row["accuracy_where_shown"]), f"{row['tokens']:.0f}", f"{row['calls']:.1f}"]
            cells += [_difference(row.get(f"less_{control}")) for control in ("downsample", "random")]
            lines.append(f"| {budget} | `{method}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _difference(found: dict[str, float] | None) -> str:
    if found is None:
        return "-"
    return f"{100 * found['difference']:+.1f} (p {'< 0.001' if found['p'] < 0.001 else '= ' + format(found['p'], '.3f')})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("ask", "score"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--part", default="1/1", help="I/N: a part of the runs, for several processes")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/lens_accuracy.json")
    args = parser.parse_args()
    if args.what == "ask":
        ask(args.folder, *map(int, args.part.split("/")))
        return
    found = result(args.folder)
    write_json(args.output, {"kind": "lens_accuracy", **result_header(), **found})
    page = ROOT / "docs" / "lens.md"
    before, _, after = page.read_text(encoding="utf-8").partition(MARK)
    rest = after[after.index(END) :]
    page.write_text(f"{before}{MARK}\n{table(found)}\n\n{rest}", encoding="utf-8")


if __name__ == "__main__":
    main()
