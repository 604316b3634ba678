"""Draw `examples/`: eight pages of the split `test`, which no training sees, and what a newcomer would ask about them; and three
pages that look scanned.

    python scripts/example_pictures.py [FOLDER]

Promises the same files every time, those of `scans` where the same typefaces are installed. The answers are the drawing's own,
not a model's. Those three were chosen by their looks, and what is asked about them (`scans/questions.json`) was written down
before any model was asked.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dragonfly.files import write_json, write_text
from dragonfly.research.synthetic import SPECS, make_image
from dragonfly.research.synthetic.dataset import make_views

SPEC, SPLIT, SEED = "nano", "test", 2406_00977
FAMILIES = ("receipt", "label", "form", "table", "chart", "panel", "shapes", "specks")
READ, THEN = ("read", "next to", "count"), ("absent", "compare", "count", "next to")
"""Each image is asked something to read, a yes or no, and one of the others in turn."""
FACTS = 6
SCANS = {"receipt": 8, "chart": 1, "form": 11}  # of spec `documents`


def draw_examples(folder: Path) -> None:
    """Write `images/NAME.png`, `images/questions.json` and `questions.jsonl` under `folder`."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    examples, rows = [], []
    for number, family in enumerate(FAMILIES):
        page = next(
            drawn
            for index in range(10_000)
            if (drawn := make_image(SPECS[SPEC], SPLIT, SEED, index)).family == family and len(drawn.facts) >= FACTS
        )
        page.image.save(folder / "images" / f"{family}.png", optimize=True)
        first = {question.kind: question for question in reversed(page.questions)}
        kinds = [next(kind for kind in READ if kind in first), "yes/no"]
        others = (*THEN[number % len(THEN) :], *THEN)
        kinds.append(next(kind for kind in others if kind in first and kind not in kinds))
        chosen = [first[kind] for kind in kinds]
        examples.append({"image": f"{family}.png", "questions": [{"question": one.text, "answer": one.answer} for one in chosen]})
        for place, one in enumerate(chosen, start=1):
            rows.append({"id": f"{family}-{place}", "image": f"images/{family}.png", "question": one.text})
    write_json(folder / "images" / "questions.json", examples)
    write_text(folder / "questions.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def draw_scans(folder: Path) -> None:
    """Write `scans/NAME.jpg` under `folder`."""
    (folder / "scans").mkdir(parents=True, exist_ok=True)
    for name, index in SCANS.items():
        (page,) = make_views(SPECS["documents"], SPLIT, SEED, index)
        page.images[0].save(folder / "scans" / f"{name}.jpg", quality=page.quality)


if __name__ == "__main__":
    examples = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1] / "examples"
    draw_examples(examples)
    draw_scans(examples)
