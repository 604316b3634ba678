"""Measure the bundled model on questions as people ask them: in sentences of a grammar, by other names, and in others.

    python scripts/measure_language.py --result benchmarks/results/nano_language.json [--model build/nano/natural]

The pages are those of `measure_pages.py`, the sentences those of split `test` of `dragonfly.research.synthetic.language`: no
template of theirs is one of training. "Other names" asks in the same sentences and calls things otherwise (language `varied`):
the names are those of training. Those of `benchmarks/questions` were written freely, about other drawn pages: the first before
any model had answered them, the second before one that was trained on other names had. Every question is asked alone: greedy,
exact match.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dragonfly.files import result_header, write_json
from dragonfly.research.synthetic import SPECS, Question, make_image
from dragonfly.research.synthetic.document_questions import ABSENT

from measure_pages import SEED, Asked, answers_of, calibration, conditions, held_out, score, table, usual_answers  # isort: skip

QUESTIONS = Path(__file__).parents[1] / "benchmarks" / "questions"
WRITTEN = {"own words": "nano_in_own_words.json", "own words, second set": "nano_in_own_words_2.json"}
CONDITIONS = ("image", "blind", "another page")


def written(name: str) -> list[Asked]:
    """Questions that were written freely about drawn pages, before any model had answered them."""
    found = json.loads((QUESTIONS / name).read_text(encoding="utf-8"))
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


def in_sentences(model: Path | None, rows: Sequence[Asked], workers: int) -> dict[str, Any]:
    """Scores by kind with the image, with none and with another page, and a guesser's; and how far confidence is off."""
    result: dict[str, Any] = {"questions": len(rows), "accuracy": {}}
    asked = conditions(rows)
    runs = [(model, asked[name]) for name in CONDITIONS]
    for name, (answers, _) in zip(CONDITIONS, answers_of(runs, workers), strict=True):
        right = np.array([text == row.question.answer for (text, _), row in zip(answers, rows, strict=True)], dtype=float)
        result["accuracy"][name] = {"all": score(right, rows), "by_kind": table(right, rows, lambda row: row.question.kind)}
        if name == "image":
            result["by_form"] = table(right, rows, lambda row: row.question.form)
            result["calibration"] = calibration(right, np.array([sure for _, sure in answers]))
            result["absent"] = absences([text for text, _ in answers], rows)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=None, help="model folder; the bundled model if absent")
    parser.add_argument("--result", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--workers", type=int, default=1, help="processes, each for some of the columns")
    options = parser.parse_args()
    found = {
        **result_header(),
        "pages": options.pages,
        "seed": SEED,
        "natural": in_sentences(options.model, held_out(options.pages, language="natural"), options.workers),
        "other names": in_sentences(options.model, held_out(options.pages, language="varied"), options.workers),
        **{name: in_sentences(options.model, written(file), options.workers) for name, file in WRITTEN.items()},
    }
    write_json(options.result, found)


if __name__ == "__main__":
    main()
