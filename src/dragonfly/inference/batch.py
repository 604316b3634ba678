# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
"""A file of questions -> a file of answers, one JSON object per line, resumable.

Every row of the input gets one line of output, an answer or an `error`, under its `id` (its line number if it has none or cannot
be read). Answers are appended and flushed batch by batch; run again, the answered rows are kept and the others asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dragonfly.files import atomic_write, json_line, one_line
from dragonfly.inference.answer import Answer
from dragonfly.inference.engine import Row

_BEGINNING = b'{"id": '  # of every record


class Asker(Protocol):
    """What answers rows of questions: an `Engine`, or a lens in its place."""

    def ask_batch(self, rows: Sequence[Row], *, batch_size: int, **options: Any) -> Sequence[Answer]: ...


@dataclass
class Batch:
    """The rows still to ask, or what is wrong with them. `run` yields once per row and counts those that failed."""

    rows: list[tuple[Any, Row | str]]
    output: Path
    total: int
    done: int
    failed: int = field(default=0)

    def run(self, engine: Asker, batch_size: int, options: dict[str, Any]) -> Iterator[None]:
        """Ask the remaining rows and append their answers."""
        with self.output.open("a", encoding="utf-8") as file:
            for start in range(0, len(self.rows), batch_size):
                block = self.rows[start : start + batch_size]
                for record in _answer_block(engine, block, batch_size, options):
                    self.failed += "error" in record
                    file.write(json_line(record))
                    yield
                file.flush()


def open_batch(rows_file: Path, output: Path) -> Batch:
    """Read the questions and what is answered already.

    Raises:
        ValueError: naming file and line where two rows have one id, or no row can be read at all.
    """
    if output.exists() and rows_file.exists() and output.samefile(rows_file):
        raise ValueError(f"{output} is the file of the questions; write the answers to another one")
    rows = _read_rows(rows_file)
    kept = _answered(output, {json.dumps(key) for key, _ in rows})
    with atomic_write(output) as file:  # drops errors and a half-written last line
        file.writelines(map(json_line, kept.values()))
    todo = [(key, row) for key, row in rows if json.dumps(key) not in kept]
    return Batch(todo, output, total=len(rows), done=len(kept))


def _answer_block(
    engine: Asker, block: list[tuple[Any, Row | str]], batch_size: int, options: dict[str, Any]
) -> list[dict[str, Any]]:
    """One record per row, in order."""
    asked = [(key, row) for key, row in block if isinstance(row, Row)]
    answers = iter(_ask_block(engine, asked, batch_size, options) if asked else [])
    return [next(answers) if isinstance(row, Row) else {"id": key, "error": row} for key, row in block]


def _ask_block(engine: Asker, block: list[tuple[Any, Row]], batch_size: int, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Answers of one block. If it fails, its rows are asked one by one, so that a bad row harms no other, whatever it raises."""
    try:
        answers = engine.ask_batch([row for _, row in block], batch_size=batch_size, **options)
    except Exception as error:
        if len(block) == 1:
            return [{"id": block[0][0], "error": one_line(error)}]
        return [record for pair in block for record in _ask_block(engine, [pair], 1, options)]
    return [{"id": key, **answer.to_dict()} for (key, _), answer in zip(block, answers, strict=True)]


def _read_rows(path: Path) -> list[tuple[Any, Row | str]]:
    if not path.is_file():
        raise ValueError(f"no such file: {path}; give a JSONL file of questions")
    rows: list[tuple[Any, Row | str]] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        key, row = _parse(line, path, number)
        if (first := seen.setdefault(json.dumps(key), number)) != number:
            raise ValueError(f"{path}, line {number}: id {key!r} stands in line {first} too; ids must differ")
        rows.append((key, row))
    if rows and all(isinstance(row, str) for _, row in rows):
        raise ValueError(f"{path} holds no row that can be read; the first: {rows[0][1]}")
    return rows


def _lines(path: Path) -> list[bytes]:
    """Split at line feeds alone, as JSON lines are; text may hold other separators, and a broken-off line half a letter."""
    return path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")


def _parse(line: bytes, path: Path, number: int) -> tuple[Any, Row | str]:
    """The row's id, and the row or what is wrong with it."""
    try:
        data = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        return number, f"line {number}: not JSON ({getattr(error, 'msg', error)})"
    if not isinstance(data, dict):
        return number, f'line {number}: a row is an object with a text under "question"'
    key = data.get("id", number)
    if not isinstance(data.get("question"), str):
        return key, f'line {number}: a row needs a text under "question"'
    images, system = data.get("images", data.get("image")), data.get("system")
    images = images if isinstance(images, list) else [] if images is None else [images]
    if not all(isinstance(image, str) for image in images):
        return key, f'line {number}: "image" must be a path, "images" a list of paths'
    if not isinstance(system, str | None):
        return key, f'line {number}: "system" must be a text'
    resolved = [image if "://" in image or image.startswith("data:") else str(path.parent / image) for image in images]
    return key, Row(resolved, data["question"], system)


def _answered(output: Path, keys: set[str]) -> dict[str, dict[str, Any]]:
    """Finished records of an earlier run, by id."""
    kept: dict[str, dict[str, Any]] = {}
    lines = _lines(output) if output.is_file() else []
    for number, line in enumerate(lines, start=1):
        if number == len(lines) and not line:
            continue
        try:
            record = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError):
            if number == len(lines) and line.startswith(_BEGINNING[: len(line)]):
                continue  # the run was stopped while it wrote this line
            raise ValueError(f"{output}, line {number}: not JSON, so it is no earlier run; choose another output") from None
        key = json.dumps(record.get("id")) if isinstance(record, dict) else ""
        if key not in keys:
            raise ValueError(f"{output}, line {number}: answers a row that is not in the questions; choose another output")
        if "error" not in record:
            kept[key] = record
    return kept
