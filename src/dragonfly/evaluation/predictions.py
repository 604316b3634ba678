"""predictions.jsonl: one line per question, written a block at a time and never changed afterwards.

Promises that a block is there whole or is cut off when the run goes on, and that a line holds all that scoring needs.
"""

import json
import os
from pathlib import Path
from typing import Any

from dragonfly.inference import Answer

from .layout_json import view_of
from .questions import Question
from .tasks import render

BLOCK = 32
"""Questions per block. Blocks are fixed, so that a resumed run forms the same batches as an unbroken one."""


def record_of(question: Question, prompt: str, answer: Answer | str) -> dict[str, Any]:
    """One line: the question, what was asked, and the stripped reply with the model's confidence and what it was shown of each
    image, or the error where it could not be asked."""
    outcome = {"error": answer} if isinstance(answer, str) else _outcome(answer)
    return {
        "id": question.id,
        "group": question.group,
        "question": question.text,
        "prompt": prompt,
        "answers": list(question.answers),
        "options": list(question.options),
        "meta": question.meta,
        "images": [image if isinstance(image, str) else f"{len(image)} bytes" for image in question.images],
        **outcome,
    }


def _outcome(answer: Answer) -> dict[str, Any]:
    views = [view_of(*seen) for seen in zip(answer.layouts, answer.selections, strict=True)]
    return {"reply": answer.text.strip(), "confidence": round(answer.confidence, 6), "views": views}


def append(path: Path, records: list[dict[str, Any]]) -> None:
    """One write and one flush to the disk per block, so that a block is there whole or can be told to be cut."""
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write("".join(json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n" for record in records))
        file.flush()
        os.fsync(file.fileno())


def keep_whole_blocks(path: Path, questions: list[Question], template: str) -> int:
    """How many questions are answered already; what follows the last whole block is cut off the file."""
    if not path.is_file():
        return 0
    lines = path.read_bytes().splitlines(keepends=True)
    whole = len(lines) if lines and lines[-1].endswith(b"\n") else max(0, len(lines) - 1)
    if whole > len(questions):
        raise ValueError(
            f"{path} answers {whole} questions and there are {len(questions)}; the data changed: choose another --out"
        )
    kept = whole if whole == len(questions) else whole // BLOCK * BLOCK
    for line, question in zip(lines[:kept], questions, strict=False):
        record = json.loads(line)
        known = (record["id"], record["prompt"], record["answers"])
        if known != (question.id, render(template, question), list(question.answers)):
            raise ValueError(f"{path} answers other questions (id {record['id']!r}); the data changed: choose another --out")
    with path.open("r+b") as file:
        file.truncate(sum(map(len, lines[:kept])))
    return kept


def read_predictions(path: Path) -> list[dict[str, Any]]:
    """The lines of a predictions file; none where there is no such file yet."""
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    except ValueError as error:
        raise ValueError(f"{path} holds a line that is not JSON ({error}); finish the run with `dragonfly eval`") from None
