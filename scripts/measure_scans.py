"""What a model for scanned pages answers: synthetic documents of held-out templates and wordings, and real receipts.

Run: python scripts/measure_scans.py MODEL [--pages MANIFEST] [--receipts FOLDER] [--half H] [--limit N] [--output FILE] [--card]

Of documents, exact match by kind of question. Of receipts (the folder is that of `measure_reading.py`, and nothing of it is ever
trained on) total, date and company as they are asked there, letters folded to capitals and blanks left out, as for the rules of
`receipt_rules`, which such a model has to beat. Beside each the same questions with another image, and the commonest answer. Of
receipts also how often the sub-images that it chose, and the four of the greatest score, show the line with the answer, where one
line alone has it. Of all answers, whether they are as often right as the model is sure. `--card` writes the card of the model in
the package from its result files: of documents and half `dev` of the receipts, of half `kept`, and of ChartQA
(`benchmarks/realdata.py`).
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src")]

import numpy as np  # noqa: E402
from measure_pages import calibration, error_and_chance  # noqa: E402
from measure_reading import Page, receipts  # noqa: E402

from dragonfly.data import Manifest  # noqa: E402
from dragonfly.files import result_header, write_json, write_text  # noqa: E402
from dragonfly.inference import Answer, load  # noqa: E402
from dragonfly.research.curriculum.reading import folded  # noqa: E402
from dragonfly.vision.layout import Box  # noqa: E402
from dragonfly.vision.scoring import evidence_areas  # noqa: E402

ASKED = ("total", "date", "company")
SHOWN = 0.9  # share of a line that must be in what was kept
FEW = 4
SURE = 0.8
CARD = Path(__file__).with_name("nano_scans_card.md")
RESULTS = [ROOT / "benchmarks" / "results" / f"{name}.json" for name in ("nano_scans", "nano_scans_kept", "nano_scans_chartqa")]


@dataclass(frozen=True)
class Row:
    image: Any
    question: str
    answer: str
    kind: str
    evidence: Box | None = None


def documents(manifest: str, limit: int) -> list[Row]:
    """Questions drawn from all of a data set."""
    rows = Manifest.open(manifest)
    drawn = sorted(random.Random(0).sample(range(len(rows)), min(limit, len(rows))))
    return [
        Row(row.images[0].source, row.messages[0].text, row.messages[1].text, row.meta["kind"])
        for row in (rows[at] for at in drawn)
    ]


def receipt_rows(pages: Iterator[Page]) -> list[Row]:
    return [
        Row(page.image, page.questions[name], answer, name, _evidence(page, answer))
        for page in pages
        for name, answer in page.answers.items()
        if name in ASKED
    ]


def _evidence(page: Page, answer: str) -> Box | None:
    lines = [box for box, text in page.lines if folded(answer) in folded(text)]
    return lines[0] if len(lines) == 1 else None


def shown(answer: Answer, evidence: Box, most: int | None = None) -> bool:
    """Whether the sub-images that were kept, or those `most` of the greatest score, show a line."""
    kept = sorted((one for one in answer.selections[0] if one.kept), key=lambda one: -(one.score or 0.0))
    areas = evidence_areas([one.box for one in kept[:most]], [evidence])
    return sum(areas) >= SHOWN * (evidence[2] - evidence[0]) * (evidence[3] - evidence[1])


def measure(engine: Any, rows: Sequence[Row]) -> dict[str, Any]:
    """Exact match in percent by kind and in all, with what it is beside."""
    asked, right, other = Counter[str](), Counter[str](), Counter[str]()
    placed, found, first = Counter[str](), Counter[str](), Counter[str]()
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    sure: list[tuple[bool, float]] = []
    for at, row in enumerate(rows):
        said = engine.ask(row.image, row.question, max_new_tokens=32)
        elsewhere = engine.ask(rows[(at + len(rows) // 2) % len(rows)].image, row.question, max_new_tokens=32)
        is_right = folded(said.text) == folded(row.answer)
        sure.append((is_right, said.confidence))
        for kind in (row.kind, "all"):
            asked[kind] += 1
            right[kind] += is_right
            other[kind] += folded(elsewhere.text) == folded(row.answer)
            if row.evidence is not None:
                placed[kind] += 1
                found[kind] += shown(said, row.evidence)
                first[kind] += shown(said, row.evidence, FEW)
        answers[row.kind][folded(row.answer)] += 1
    common = {kind: count.most_common(1)[0][1] for kind, count in answers.items()}
    common["all"] = sum(common.values())
    percent = {"image": right, "another_image": other, "commonest_answer": common}
    measured: dict[str, Any] = {
        kind: {
            "asked": number,
            **{name: round(100 * counts[kind] / number, 1) for name, counts in percent.items()},
            **(_places(found[kind], first[kind], placed[kind]) if placed[kind] else {}),
        }
        for kind, number in asked.items()
    }
    hits, confidence = (np.array(column, dtype=float) for column in zip(*sure, strict=True))
    measured["all"]["calibration"] = calibration(hits, confidence)
    return measured


def _places(found: int, first: int, placed: int) -> dict[str, Any]:
    return {"line_kept": round(100 * found / placed, 1), "line_in_four": round(100 * first / placed, 1), "of": placed}


def card(dev: dict[str, Any], kept: dict[str, Any], charts: dict[str, Any]) -> str:
    """The model card, from its result files alone."""
    asked = {"documents": dev["documents"], "receipts": kept["receipts_kept"], "receipts_dev": dev["receipts_dev"]}
    chartqa = charts["models"]["nano-scans"]["tasks"]["chartqa"]
    relaxed = [one["scores"]["relaxed_accuracy"]["value"] for one in (chartqa, chartqa["baselines"]["majority"])]
    return CARD.read_text(encoding="utf-8").format(
        date=kept["date"][:10],
        charts=chartqa["questions"],
        relaxed=f"{relaxed[0]:.1%}",
        usual=f"{relaxed[1]:.1%}",
        number=dev["documents"]["all"]["asked"],
        pages=kept["receipts_kept"]["date"]["asked"],
        pages_dev=dev["receipts_dev"]["date"]["asked"],
        **{name: _table(found) for name, found in asked.items()},
        sure_receipts=how_sure(kept["receipts_kept"]["all"]["calibration"]),
        sure_documents=how_sure(dev["documents"]["all"]["calibration"]),
    )


def _table(found: dict[str, Any]) -> str:
    lines = ["| question | asked | image | another image | commonest answer |", "| --- | --- | --- | --- | --- |"]
    for kind, one in sorted(found.items()):
        scores = " | ".join(f"{one[name]:.1f} %" for name in ("image", "another_image", "commonest_answer"))
        lines.append(f"| {kind} | {one['asked']} | {scores} |")
    return "\n".join(lines)


def how_sure(found: dict[str, Any]) -> str:
    """How far confidence is off, and how often the answers that the model is sure of are right."""
    bins = [one for one in found["bins"] if one["confidence"] >= SURE]
    number = sum(one["answers"] for one in bins)
    right = sum(one["answers"] * one["exact"] for one in bins) / max(number, 1)
    return f"off by {error_and_chance(found)}; of the {number} answers of confidence {SURE} or more, {right:.0%} are right"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--pages")
    parser.add_argument("--receipts", type=Path)
    parser.add_argument("--half", choices=("dev", "kept", "both"), default="dev")
    parser.add_argument("--limit", type=int, default=300, help="questions about documents, and receipts, at most")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--card", action="store_true", help="write MODEL_CARD.md into the model's folder")
    chosen = parser.parse_args()
    engine, measured = load(chosen.model), dict[str, Any]()
    if chosen.pages:
        measured["documents"] = measure(engine, documents(chosen.pages, chosen.limit))
    if chosen.receipts:
        pages = islice(receipts(chosen.receipts, chosen.half), chosen.limit)
        measured[f"receipts_{chosen.half}"] = measure(engine, receipt_rows(pages))
    print(measured)
    if chosen.output:
        write_json(chosen.output, {**result_header(), "model": Path(chosen.model).name, **measured})
    if chosen.card:
        write_text(
            Path(chosen.model) / "MODEL_CARD.md", card(*(json.loads(file.read_text(encoding="utf-8")) for file in RESULTS))
        )


if __name__ == "__main__":
    main()
