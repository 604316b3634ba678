"""Measure what `make nano` trained on pages of the test split, with and without the image, and write its card.

    python scripts/measure_pages.py --model build/nano/full --result benchmarks/results/nano.json [--low-only build/nano/low]

Every question is asked alone, as `dragonfly ask` would: greedy, exact match. Values, page styles and wordings of the split
`test` occur in no training. In other words than the generator's own, `measure_language.py` asks about the same pages; the card
takes its result in. Promises the same questions on every machine. Does not know how the model was made.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import dragonfly
from dragonfly.evaluation.statistics import interval
from dragonfly.files import result_header, write_json, write_text
from dragonfly.inference import Row
from dragonfly.installation import bundled_model
from dragonfly.research.synthetic import SPECS, Question, make_image
from dragonfly.research.synthetic.document_spec import Language

SPEC, SPLIT, SEED = "nano", "test", 987_001
CARD = Path(__file__).with_name("nano_card.md")
LANGUAGE = Path(__file__).parents[1] / "benchmarks" / "results" / "nano_language.json"
REAL = Path(__file__).parents[1] / "benchmarks" / "results" / "realdata.json"
FINE = ("read", "next to")  # what can only be answered by reading glyphs that are too small at the low level
BINS = 10
LOW_ONLY = "low level only, retrained"


@dataclass(frozen=True)
class Asked:
    """A question, its image, and what the image is of."""

    image: Image.Image
    page: int
    family: str
    question: Question


def held_out(pages: int, first: int = 0, seed: int = SEED, language: Language = "plain") -> list[Asked]:
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


def error_by_chance(bins: Sequence[dict[str, Any]], draws: int = 10_000) -> float:
    """The mean `expected_error` of as many answers, as sure, whose confidence is exact: what few answers show of chance alone."""
    answers = np.array([own["answers"] for own in bins])
    sure = np.array([own["confidence"] for own in bins])
    right = np.random.default_rng(0).binomial(answers, sure, size=(draws, len(bins)))
    return float(np.abs(right - answers * sure).sum(axis=1).mean() / answers.sum())


def answered(model: Path | None, rows: Sequence[Row]) -> tuple[list[tuple[str, float]], float]:
    """Text and confidence of a model's answers, and the processor seconds that they took."""
    torch.set_num_threads(1)
    start = time.process_time()
    answers = dragonfly.load(model, device="cpu").ask_batch(rows, batch_size=16, max_new_tokens=16)
    return [(answer.text, answer.confidence) for answer in answers], time.process_time() - start


def answers_of(
    runs: Sequence[tuple[Path | None, Sequence[Row]]], workers: int
) -> Iterator[tuple[list[tuple[str, float]], float]]:
    """`answered` of each run, in order, by as many processes."""
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(answered, *zip(*runs, strict=True))


def measure(model: Path | None, pages: int, low_only: Path | None, workers: int) -> dict[str, Any]:
    """All numbers of the result file."""
    rows = held_out(pages)
    fine = np.array([row.question.kind in FINE for row in rows])
    result: dict[str, Any] = {"pages": pages, "questions": len(rows), "seed": SEED, "split": SPLIT, "accuracy": {}}
    runs = [(name, model, asked) for name, asked in conditions(rows).items()]
    if low_only is not None:
        runs.append((LOW_ONLY, low_only, conditions(rows)["image"]))
    seconds = 0.0
    for (name, _, _), (answers, took) in zip(runs, answers_of([run[1:] for run in runs], workers), strict=True):
        seconds += took
        right = np.array([text == row.question.answer for (text, _), row in zip(answers, rows, strict=True)], dtype=float)
        result["accuracy"][name] = {
            "all": score(right, rows),
            "fine detail": score(right[fine], [row for row, own in zip(rows, fine, strict=True) if own]),
            "by_kind": table(right, rows, lambda row: row.question.kind),
        }
        if name == "image":
            result["by_family"] = table(right, rows, lambda row: row.family)
            result["by_size"] = table(right, rows, size_of)
            result["calibration"] = calibration(right, np.array([sure for _, sure in answers]))
            wrong = [number for number, own in enumerate(right) if not own][:: max(1, int((1 - right).sum() // 12))][:12]
            result["failures"] = [
                {
                    "page": rows[n].page,
                    "question": rows[n].question.text,
                    "answer": answers[n][0],
                    "gold": rows[n].question.answer,
                }
                for n in wrong
            ]
    result["processor_seconds"] = round(seconds)
    usual = usual_answers(rows)
    result["accuracy"]["usual answer of the kind"] = {
        "all": score(usual, rows),
        "fine detail": score(usual[fine], [row for row, own in zip(rows, fine, strict=True) if own]),
        "by_kind": table(usual, rows, lambda row: row.question.kind),
    }
    return result


def card(result: dict[str, Any], about: dict[str, Any], real: dict[str, Any], language: dict[str, Any]) -> str:
    """The model card: `nano_card.md` with the numbers of the result files."""
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
        calibration=error_and_chance(result["calibration"]),
        failures="\n".join(f"- {f['question']} It said “{f['answer']}”; right is “{f['gold']}”." for f in result["failures"]),
        stages="\n".join(map(_stage, about.get("stages", []))),
        cpu=result["hardware"]["cpu"],
        **_language(language),
    )


def _language(document: dict[str, Any]) -> dict[str, Any]:
    """What the card says of questions in other words."""
    natural, written = document["natural"], document["own words"]
    rows = (
        ("in sentences of the grammar", natural),
        ("and by other names", document["other names"]),
        ("written freely", written),
        ("written freely, second set", document["own words, second set"]),
    )
    lines = [
        "| questions | asked | image | blind | another page | usual answer of the kind |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, own in rows:
        first, *others = (run["all"] for run in own["accuracy"].values())
        sure = f"{first['exact']:.1%} ({first['interval'][0]:.0%} to {first['interval'][1]:.0%})"
        lines.append(f"| {name} | {first['asked']} | {sure} | " + " | ".join(f"{one['exact']:.1%}" for one in others) + " |")
    return {
        "natural_pages": document["pages"],
        "written": written["questions"],
        "language_date": document["date"][:10],
        "natural": "\n".join(lines),
        "forms": _lines("form of the grammar", natural["by_form"]) + "\n\n" + _lines("kind, written freely", written["by_form"]),
        "precision": f"{natural['absent']['precision']:.1%}",
        "recall": f"{natural['absent']['recall']:.1%}",
        "natural_calibration": error_and_chance(natural["calibration"]),
        "written_calibration": error_and_chance(written["calibration"]),
    }


def error_and_chance(found: dict[str, Any]) -> str:
    """How far confidence is off, and how far it would seem off by chance."""
    return f"{found['expected_error']:.1%} (by chance {error_by_chance(found['bins']):.1%})"


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
    parser.add_argument("--workers", type=int, default=1, help="processes, each for some of the columns")
    options = parser.parse_args()
    result = {**result_header(), **measure(options.model, options.pages, options.low_only, options.workers)}
    if options.low_only is None and options.result.is_file():  # another model's, and no other than before
        before = json.loads(options.result.read_text(encoding="utf-8"))["accuracy"].get(LOW_ONLY)
        result["accuracy"] |= {LOW_ONLY: before} if before else {}
    write_json(options.result, result)
    folder = options.model or bundled_model()
    others = [json.loads(path.read_text(encoding="utf-8")) for path in (folder / "dragonfly.json", REAL, LANGUAGE)]
    write_text(folder / "MODEL_CARD.md", card(result, *others))


if __name__ == "__main__":
    main()
