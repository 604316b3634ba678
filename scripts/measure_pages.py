"""Measure what `make nano` trained on pages of the test split, with and without the image, and write its card.

    python scripts/measure_pages.py --model build/nano/full --result benchmarks/results/nano.json [--low-only build/nano/low]

Every question is asked alone, as `dragonfly ask` would: greedy, exact match. Values, page styles and wordings of the split
`test` occur in no training. The same pages are asked about in the generator's own wordings, in those of `synthetic.language`, and
some in the sentences of a person (`benchmarks/questions`). Promises the same questions on every machine. Does not know how the
model was made.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

import dragonfly
from dragonfly.evaluation.statistics import interval
from dragonfly.files import result_header, write_json, write_text
from dragonfly.inference import Engine, Row
from dragonfly.inference.loading import bundled_model
from dragonfly.research.synthetic import SPECS, Question, make_image
from dragonfly.research.synthetic.document_questions import ABSENT

SPEC, SPLIT, SEED = "nano", "test", 987_001
CARD = Path(__file__).with_name("nano_card.md")
WRITTEN = Path(__file__).parents[1] / "benchmarks" / "questions" / "nano_in_own_words.json"
REAL = Path(__file__).parents[1] / "benchmarks" / "results" / "realdata.json"
FINE = ("read", "next to")  # what can only be answered by reading glyphs that are too small at the low level
BINS = 10


@dataclass(frozen=True)
class Asked:
    """A question, its image, and what the image is of."""

    image: Image.Image
    page: int
    family: str
    question: Question


def held_out(pages: int, first: int = 0, seed: int = SEED, language: Literal["plain", "natural"] = "plain") -> list[Asked]:
    """One question of each kind that the page allows, and every question that must be read, for `pages` pages."""
    asked = []
    for index in range(first, first + pages):
        drawn = make_image(replace(SPECS[SPEC], language=language), SPLIT, seed, index)
        seen: set[str] = set()
        for question in drawn.questions:
            if question.kind in FINE or question.kind not in seen:
                seen.add(question.kind)
                asked.append(Asked(drawn.image, index, drawn.family, question))
    return asked


def written() -> list[Asked]:
    """The questions that a person wrote about drawn pages, before any model had answered them."""
    found = json.loads(WRITTEN.read_text(encoding="utf-8"))
    pages = {
        one["page"]: make_image(SPECS[found["spec"]], found["split"], found["seed"], one["page"]) for one in found["questions"]
    }
    return [
        Asked(
            pages[one["page"]].image,
            one["page"],
            pages[one["page"]].family,
            Question(one["kind"], one["kind"], one["question"], one["answer"]),
        )
        for one in found["questions"]
    ]


def conditions(rows: Sequence[Asked]) -> dict[str, list[Row]]:
    """The same questions with their image, with none, with an empty page, and with the page before theirs."""
    pages = list({row.page: row.image for row in rows}.items())
    other = {page: pages[index - 1][1] for index, (page, _) in enumerate(pages)}
    blank = {page: Image.new("RGB", image.size, (220, 220, 220)) for page, image in pages}
    return {
        "image": [Row(row.image, row.question.text) for row in rows],
        "blind": [Row(None, row.question.text) for row in rows],
        "empty page": [Row(blank[row.page], row.question.text) for row in rows],
        "another page": [Row(other[row.page], row.question.text) for row in rows],
    }


def usual_answers(rows: Sequence[Asked]) -> np.ndarray:
    """Whether the commonest answer of each kind, among these very rows, is right: the best a guesser who knows kinds can do."""
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        seen[row.question.kind][row.question.answer] += 1
    return np.array([seen[row.question.kind].most_common(1)[0][0] == row.question.answer for row in rows], dtype=float)


def score(right: np.ndarray, rows: Sequence[Asked]) -> dict[str, Any]:
    """Exact match with its 95 % interval, pages redrawn whole."""
    columns = np.stack([right, np.ones_like(right)], axis=1)
    found = interval(columns, [str(row.page) for row in rows], lambda sums: sums[..., 0] / sums[..., 1])
    return {"exact": round(float(right.mean()), 4), "interval": [round(x, 4) for x in found or ()], "asked": len(rows)}


def table(right: np.ndarray, rows: Sequence[Asked], key: Callable[[Asked], str | None]) -> dict[str, Any]:
    """A score for each value of `key`; rows without one are left out."""
    names = [key(row) for row in rows]
    found = {}
    for name in sorted({name for name in names if name is not None}):
        chosen = [number for number, own in enumerate(names) if own == name]
        found[name] = score(right[chosen], [rows[number] for number in chosen])
    return found


def size_of(row: Asked) -> str | None:
    """The height of what must be read, in pixels of the high level, where something must."""
    if row.question.kind not in FINE:
        return None
    low = int(row.question.detail_px // 2 * 2)
    return f"{low:02d}-{low + 2:02d} px"


def calibration(right: np.ndarray, confidence: np.ndarray) -> dict[str, Any]:
    """Ten bins of confidence: how many answers, how sure, how often right; and the mean gap between the last two."""
    bins, gap = [], 0.0
    for low in range(BINS):
        inside = (confidence >= low / BINS) & ((confidence < (low + 1) / BINS) | (low == BINS - 1))
        if inside.any():
            sure, true = float(confidence[inside].mean()), float(right[inside].mean())
            bins.append({"answers": int(inside.sum()), "confidence": round(sure, 4), "exact": round(true, 4)})
            gap += inside.mean() * abs(sure - true)
    return {"bins": bins, "expected_error": round(float(gap), 4)}


def in_other_words(engine: Engine, rows: Sequence[Asked]) -> dict[str, Any]:
    """Scores by kind with the image, with none and with another page, and a guesser's; and how far confidence is off."""
    result: dict[str, Any] = {"questions": len(rows), "accuracy": {}}
    asked = conditions(rows)
    for name in ("image", "blind", "another page"):
        answers = engine.ask_batch(asked[name], batch_size=16, max_new_tokens=16)
        right = np.array([answer.text == row.question.answer for answer, row in zip(answers, rows, strict=True)], dtype=float)
        result["accuracy"][name] = {"all": score(right, rows), "by_kind": table(right, rows, lambda row: row.question.kind)}
        if name == "image":
            result["by_form"] = table(right, rows, lambda row: row.question.form)
            result["calibration"] = calibration(right, np.array([answer.confidence for answer in answers]))
            result["absent"] = absences([answer.text for answer in answers], rows)
    usual = usual_answers(rows)
    by_kind = table(usual, rows, lambda row: row.question.kind)
    result["accuracy"]["usual answer of the kind"] = {"all": score(usual, rows), "by_kind": by_kind}
    return result


def absences(answers: Sequence[str], rows: Sequence[Asked]) -> dict[str, float]:
    """How often "not in the picture" is right where it is said, and said where it is right."""
    said = np.array([answer == ABSENT for answer in answers])
    true = np.array([row.question.answer == ABSENT for row in rows])
    both = float((said & true).sum())
    return {"precision": round(both / max(1, int(said.sum())), 4), "recall": round(both / max(1, int(true.sum())), 4)}


def measure(engine: Engine, pages: int, low_only: Engine | None) -> dict[str, Any]:
    """All numbers of the result file."""
    rows = held_out(pages)
    fine = np.array([row.question.kind in FINE for row in rows])
    result: dict[str, Any] = {"pages": pages, "questions": len(rows), "seed": SEED, "split": SPLIT, "accuracy": {}}
    runs = [(name, engine, asked) for name, asked in conditions(rows).items()]
    if low_only is not None:
        runs.append(("low level only, retrained", low_only, conditions(rows)["image"]))
    for name, model, asked in runs:
        answers = model.ask_batch(asked, batch_size=16, max_new_tokens=16)
        right = np.array([answer.text == row.question.answer for answer, row in zip(answers, rows, strict=True)], dtype=float)
        result["accuracy"][name] = {
            "all": score(right, rows),
            "fine detail": score(right[fine], [row for row, own in zip(rows, fine, strict=True) if own]),
            "by_kind": table(right, rows, lambda row: row.question.kind),
        }
        if name == "image":
            result["by_family"] = table(right, rows, lambda row: row.family)
            result["by_size"] = table(right, rows, size_of)
            result["calibration"] = calibration(right, np.array([answer.confidence for answer in answers]))
            wrong = [number for number, own in enumerate(right) if not own][:: max(1, int((1 - right).sum() // 12))][:12]
            result["failures"] = [
                {
                    "page": rows[n].page,
                    "question": rows[n].question.text,
                    "answer": answers[n].text,
                    "gold": rows[n].question.answer,
                }
                for n in wrong
            ]
    result["natural"] = in_other_words(engine, held_out(pages, language="natural"))
    result["own words"] = in_other_words(engine, written())
    usual = usual_answers(rows)
    result["accuracy"]["usual answer of the kind"] = {
        "all": score(usual, rows),
        "fine detail": score(usual[fine], [row for row, own in zip(rows, fine, strict=True) if own]),
        "by_kind": table(usual, rows, lambda row: row.question.kind),
    }
    return result


def card(result: dict[str, Any], about: dict[str, Any], real: dict[str, Any]) -> str:
    """The model card: `nano_card.md` with the numbers of the result files, of synthetic documents and of real images."""
    accuracy = result["accuracy"]
    kinds = list(accuracy["image"]["by_kind"])
    rows = [
        ("all", [run["all"] for run in accuracy.values()]),
        ("fine detail", [run["fine detail"] for run in accuracy.values()]),
    ]
    rows += [(kind, [run["by_kind"][kind] for run in accuracy.values()]) for kind in kinds]
    scores = ["| question | asked | " + " | ".join(accuracy) + " |", "| --- |" + " --- |" * (len(accuracy) + 1)]
    for name, cells in rows:
        first = cells[0]
        sure = f" ({first['interval'][0]:.0%} to {first['interval'][1]:.0%})" if first["interval"] else ""
        scores.append(
            f"| {name} | {first['asked']} | {first['exact']:.1%}{sure} | "
            + " | ".join(f"{c['exact']:.1%}" for c in cells[1:])
            + " |"
        )
    return CARD.read_text(encoding="utf-8").format(
        pages=result["pages"],
        questions=result["questions"],
        date=result["date"][:10],
        scores="\n".join(scores),
        sizes=_lines("glyph height", result["by_size"]),
        families=_lines("page", result["by_family"]),
        real=_real(real),
        calibration=f"{result['calibration']['expected_error']:.1%}",
        failures="\n".join(f"- {f['question']} It said “{f['answer']}”; right is “{f['gold']}”." for f in result["failures"]),
        stages="\n".join(map(_stage, about.get("stages", []))),
        cpu=result["hardware"]["cpu"],
    )


def _lines(title: str, scores: dict[str, Any]) -> str:
    lines = [f"| {title} | asked | exact | 95 % interval |", "| --- | --- | --- | --- |"]
    for name, own in scores.items():
        sure = f"{own['interval'][0]:.1%} to {own['interval'][1]:.1%}" if own["interval"] else "-"
        lines.append(f"| {name} | {own['asked']} | {own['exact']:.1%} | {sure} |")
    return "\n".join(lines)


def _stage(stage: dict[str, Any]) -> str:
    if "steps" in stage:
        return f"| {stage['recipe']} | {stage['steps']} | {stage['seconds'] / 60:.0f} | {_held_out(stage['held_out'])} |"
    found = f"evidence found {stage['recall']:.1%}" if "recall" in stage else "-"
    return f"| {stage['recipe']} | - | - | {found} |"


def _real(document: dict[str, Any]) -> str:
    """Every sample's first score: the model as it is, others of the file, and the commonest answer."""
    models = document["models"]
    lines = ["| sample | asked | " + " | ".join(models) + " | commonest answer |", "| --- | --- |" + " --- |" * (len(models) + 1)]
    for task in next(iter(models.values()))["tasks"]:
        runs = [model["tasks"][task] for model in models.values()]
        metric = next(iter(runs[0]["scores"]))
        scores = [run["scores"][metric] for run in runs]
        cells = [f"{own['value']:.1%} ({own['low']:.0%} to {own['high']:.0%})" for own in scores]
        usual = runs[0]["baselines"]["majority"]["scores"][metric]["value"]
        lines.append(f"| {task} ({metric.replace('_', ' ')}) | {scores[0]['n']} | " + " | ".join(cells) + f" | {usual:.1%} |")
    return "\n".join(lines)


def _held_out(numbers: dict[str, Any]) -> str:
    shown = {"eval_characters": "characters", "eval_words": "words", "eval_turns": "answers"}
    return ", ".join(f"{name} {numbers[key]:.1%}" for key, name in shown.items() if key in numbers) or "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=None, help="model folder; the bundled model if absent")
    parser.add_argument("--low-only", type=Path, default=None, help="the same model trained with the low level alone")
    parser.add_argument("--result", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--pages", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.process_time()
    low_only = dragonfly.load(options.low_only, device="cpu") if options.low_only else None
    result = measure(dragonfly.load(options.model, device="cpu"), options.pages, low_only)
    result = {**result_header(), **result, "processor_seconds": round(time.process_time() - start)}
    write_json(options.result, result)
    folder = options.model or bundled_model()
    about, real = (json.loads(path.read_text(encoding="utf-8")) for path in (folder / "dragonfly.json", REAL))
    write_text(folder / "MODEL_CARD.md", card(result, about, real))


if __name__ == "__main__":
    main()
