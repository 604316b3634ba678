"""An engine that answers by a rule, and small data to ask it about."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from dragonfly.data import BadRow
from dragonfly.evaluation import Question
from dragonfly.imaging import load_image
from dragonfly.inference import Answer, Row
from tests.tiny import image


class RuleEngine:
    """Answers `rule(row)`; decodes images as the real one does, so a broken one is a ValueError. Counts what it is asked."""

    def __init__(self, rule: Callable[[Row], str] = lambda _: "yes", stop_after: int | None = None) -> None:
        self.rule, self.stop_after, self.asked = rule, stop_after, 0

    def ask_batch(self, rows: Sequence[Row], *, batch_size: int, **options: Any) -> list[Answer]:
        if self.stop_after is not None and self.asked >= self.stop_after:
            raise KeyboardInterrupt
        for row in rows:
            for source in row.images:
                load_image(source)
        self.asked += len(rows)
        return [Answer(self.rule(row), (1, 2), 0.5, 10, (), (), {"total": 0.25}) for row in rows]


class RuleJudge:
    """Judges by a rule, without an endpoint; counts what it is asked."""

    model = "rule-judge"

    def __init__(self, rule: Callable[[str], str]) -> None:
        self.rule, self.asked = rule, 0

    def ask(self, prompt: str, temperature: float, max_tokens: int) -> str:
        self.asked += 1
        return self.rule(prompt)


def sound(rows: Iterable[Question | BadRow]) -> list[Question]:
    """The rows, each of which must be a question."""
    questions: list[Question] = []
    for row in rows:
        assert isinstance(row, Question), row
        questions.append(row)
    return questions


def write_qa(folder: Path, rows: Sequence[dict[str, Any]], name: str = "qa.jsonl") -> Path:
    """A qa.jsonl with the images that its rows name, each different."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    for number, file in enumerate(sorted({row["image"] for row in rows if "image" in row})):
        (path.parent / file).parent.mkdir(parents=True, exist_ok=True)
        image(16, 16, seed=number).save(path.parent / file)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def yes_no_rows(count: int = 70, per_image: int = 2) -> list[dict[str, Any]]:
    """Two of five answers are yes; `organ` alternates by image."""
    return [
        {
            "id": f"q{n}",
            "image": f"images/{n // per_image}.png",
            "question": f"Is it {n}?",
            "answer": "Yes" if n % 5 < 2 else "No",
            "answer_type": "CLOSED",
            "organ": ("CHEST", "HEAD")[n // per_image % 2],
        }
        for n in range(count)
    ]
