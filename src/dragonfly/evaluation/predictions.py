"""predictions.jsonl: one line per question, written a block at a time, by one worker or by several.

A block is in the file whole, or is cut off when the run resumes; a line holds everything that scoring needs. Worker i of n (a
`Shard`) takes every n-th block of a task's questions, from the i-th on, so that it forms the same batches as an undivided run and
the joined file has the same bytes. Each worker writes into a folder of its own, `shard-2of4` within the task's.
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dragonfly.files import json_line, write_text
from dragonfly.inference import Answer

from .layout_json import view_of
from .question import Question
from .tasks import render

BLOCK = 32
"""Questions per block. Blocks are fixed, so that a resumed run forms the same batches as an uninterrupted one."""

PREDICTIONS = "predictions.jsonl"
MAJORITY = "majority.json"


def record_of(question: Question, prompt: str, answer: Answer | str) -> dict[str, Any]:
    """One line: the question, the prompt, and either the stripped reply with its confidence and the layout of each image, or the
    error for which it could not be asked."""
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
    taken = {key: value for key in ("calls", "image_tokens") if (value := getattr(answer, key, None)) is not None}  # of a lens
    return {"reply": answer.text.strip(), "confidence": round(answer.confidence, 6), "views": views, **taken}


def append(path: Path, records: list[dict[str, Any]]) -> None:
    """Append one block with one write and one flush to the disk; an interruption leaves at most one partial block, at the end."""
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write("".join(json_line(record, sort_keys=True) for record in records))
        file.flush()
        os.fsync(file.fileno())


def keep_whole_blocks(path: Path, questions: list[Question], template: str) -> int:
    """How many questions are answered already; cuts what follows the last whole block off the file.

    ValueError where the file answers other questions than these.
    """
    if not path.is_file():
        return 0
    lines = path.read_bytes().splitlines(keepends=True)
    whole = len(lines) if lines and lines[-1].endswith(b"\n") else max(0, len(lines) - 1)
    # More lines than questions are answers given twice, by two processes at once: the first ones stay.
    kept = len(questions) if whole >= len(questions) else whole // BLOCK * BLOCK
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


@dataclass(frozen=True)
class Shard:
    """Worker `index` (from 1) of `count`."""

    index: int
    count: int

    @classmethod
    def of(cls, text: str) -> "Shard":
        """`2/4`. ValueError for anything else."""
        match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text.strip())
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise ValueError(f"shard {text!r} is not I/N with I from 1 to N, such as 2/4")
        return cls(int(match[1]), int(match[2]))

    @property
    def folder(self) -> str:
        return f"shard-{self.index}of{self.count}"

    def part(self, questions: Sequence[Question]) -> list[Question]:
        """The questions of this worker's blocks, in order."""
        return [question for place, question in enumerate(questions) if place // BLOCK % self.count == self.index - 1]

    def size(self, total: int) -> int:
        """How many of `total` questions are this worker's."""
        return sum(min(BLOCK, total - start) for start in range((self.index - 1) * BLOCK, total, self.count * BLOCK))


def join_shards(folder: Path, total: int, count: int, *, with_baselines: bool) -> None:
    """Write the workers' joined files into the task's `folder`. ValueError naming the first worker that is not finished.

    predictions.jsonl is written last: where it exists, everything is joined.
    """
    shards = [Shard(index, count) for index in range(1, count + 1)]
    names = sorted({path.name for shard in shards for path in (folder / shard.folder).glob("predictions*.jsonl")})
    files = {name: _joined([_lines(folder, name, shard, total) for shard in shards], total) for name in names}
    for shard in shards:
        if with_baselines and not (folder / shard.folder / MAJORITY).is_file():
            raise ValueError(f"worker {shard.index} of {count} has not asked all baselines; {_again(shard)}")
    if not names:
        raise ValueError(f"no worker has answered anything in {folder}; {_again(shards[0])}")
    if with_baselines:
        write_text(folder / MAJORITY, (folder / shards[0].folder / MAJORITY).read_text(encoding="utf-8"))
    for name in sorted(names, key=lambda name: (name == PREDICTIONS, name)):
        write_text(folder / name, files[name])


def _joined(parts: list[list[bytes]], total: int) -> str:
    """Block b of the run is the next block of worker b mod n."""
    count = len(parts)
    blocks = range(-(-total // BLOCK))
    lines = (parts[block % count][block // count * BLOCK :][:BLOCK] for block in blocks)
    return b"".join(line for block in lines for line in block).decode()


def _lines(folder: Path, name: str, shard: Shard, total: int) -> list[bytes]:
    path, expected = folder / shard.folder / name, shard.size(total)
    lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
    done = sum(line.endswith(b"\n") for line in lines)
    if done != expected:
        raise ValueError(f"{path} answers {done} of {expected} questions; {_again(shard)}")
    return lines


def _again(shard: Shard) -> str:
    return f"finish it with `dragonfly eval --shard {shard.index}/{shard.count}`"
