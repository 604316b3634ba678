"""Draw `examples/`: eight pages of the split `test`, which no training sees, and what a newcomer would ask about them.

    python scripts/example_images.py [FOLDER]

Promises the same files every time. The answers are the drawing's own, not a model's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dragonfly.files import write_json, write_text
from dragonfly.research.synthetic import SPECS, make_image

SPEC, SPLIT, SEED = "nano", "test", 2406_00977
FAMILIES = ("receipt", "label", "form", "table", "chart", "panel", "shapes", "specks")
READ, THEN = ("read", "next to", "count"), ("absent", "compare", "count", "next to")
"""Each image is asked something to read, a yes or no, and one of the others in turn."""
FACTS = 6


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


if __name__ == "__main__":
    draw_examples(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1] / "examples")
