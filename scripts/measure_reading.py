"""How well a tower reads: character error rate on generated pages and, where they are, on real receipts with true line boxes.

Run: python scripts/measure_reading.py STAGE [--pages MANIFEST] [--receipts FOLDER] [--half H] [--limit N] [--output FILE]

STAGE is the output of a stage with objective `patch_ocr`. FOLDER holds images/NNN.jpg, box/NNN.csv (eight corner coordinates,
then the text) and qa.jsonl, as `dragonfly tasks sroie` says; it does not come with the project, and nothing of it is ever trained
on. A hash of the file's name halves it: `dev` may be looked at while a model is made, `kept` once, at the end.

The error is edits over characters, letters folded to capitals and blanks left out, a line's edits counted up to its length. Of a
receipt's total, date and company it also says how often plain rules find them in what was read (`receipt_rules`), with the same
folding: what a model that is asked for them has to beat.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src")]

from export_nano import history  # noqa: E402
from PIL import Image  # noqa: E402
from receipt_rules import fields  # noqa: E402

from dragonfly.data import Manifest  # noqa: E402
from dragonfly.files import result_header, write_json  # noqa: E402
from dragonfly.imaging import load_image  # noqa: E402
from dragonfly.research.curriculum.reading import Reader, edits, folded  # noqa: E402
from dragonfly.research.curriculum.text_annotations import text_annotations_of  # noqa: E402
from dragonfly.vision.layout import Box  # noqa: E402


@dataclass(frozen=True)
class Page:
    """An image, its lines, and of a receipt the true value of each field and the question that asks for it."""

    image: Image.Image
    lines: list[tuple[Box, str]]
    answers: dict[str, str] = field(default_factory=dict[str, str])
    questions: dict[str, str] = field(default_factory=dict[str, str])


def receipts(folder: Path, half: str) -> Iterator[Page]:
    """The receipts of a folder, in the order of their names."""
    answers: dict[str, dict[str, str]] = defaultdict(dict)
    questions: dict[str, dict[str, str]] = defaultdict(dict)
    for row in (json.loads(line) for line in (folder / "qa.jsonl").read_text(encoding="utf-8").splitlines()):
        name = Path(row["image"]).stem
        answers[name][row["field"]], questions[name][row["field"]] = row["answer"], row["question"]
    for path in sorted((folder / "box").glob("*.csv")):
        if half != "both" and half_of(path.stem) != half:
            continue
        lines: list[tuple[Box, str]] = []
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                *corners, text = line.rstrip("\r\n").split(",", 8)
                if len(corners) == 8:
                    numbers = [float(corner) for corner in corners]
                    lines.append(((min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])), text))
        yield Page(load_image(str(folder / "images" / f"{path.stem}.jpg")).image, lines, answers[path.stem], questions[path.stem])


def half_of(name: str) -> str:
    return "dev" if sha256(name.encode()).digest()[0] % 2 else "kept"


def generated(manifest: str) -> Iterator[Page]:
    rows = Manifest.open(manifest)
    for at in range(len(rows)):
        lines = [(one.box, one.label) for one in text_annotations_of(rows[at]) if one.kind == "line"]
        yield Page(load_image(rows[at].images[0].source).image, lines)


def measure(reader: Reader, pages: Iterator[Page], limit: int | None) -> dict[str, Any]:
    wrong = characters = exact = lines = count = 0
    asked, found = Counter[str](), Counter[str]()
    for page in islice(pages, limit):
        text = reader.read(page.image)
        count += 1
        for name, said in fields(text).items():
            if name in page.answers:
                asked[name] += 1
                found[name] += folded(said) == folded(page.answers[name])
        for box, truth in page.lines:
            wanted = folded(truth)
            if not wanted:
                continue
            said = folded(text.line(box))
            wrong += min(edits(wanted, said), len(wanted))
            characters, lines, exact = characters + len(wanted), lines + 1, exact + (said == wanted)
    return {
        "pages": count,
        "lines": lines,
        "characters": characters,
        "cer": round(100 * wrong / characters, 2),
        "lines_exact": round(100 * exact / lines, 2),
        **(
            {"by_rules": {name: {"asked": asked[name], "exact": round(100 * found[name] / asked[name], 1)} for name in asked}}
            if asked
            else {}
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("stage")
    parser.add_argument("--pages")
    parser.add_argument("--receipts", type=Path)
    parser.add_argument("--half", choices=("dev", "kept", "both"), default="dev")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--output", type=Path)
    chosen = parser.parse_args()
    reader, found, begin = Reader(chosen.stage), dict[str, Any](), time.process_time()
    if chosen.pages:
        found["generated"] = measure(reader, generated(chosen.pages), chosen.limit)
    if chosen.receipts:
        found[f"receipts_{chosen.half}"] = measure(reader, receipts(chosen.receipts, chosen.half), chosen.limit)
    found["cpu_seconds"] = round(time.process_time() - begin)
    print(found)
    if chosen.output:
        trained = [{key: stage[key] for key in ("recipe", "steps", "seconds")} for stage in history(Path(chosen.stage))]
        write_json(chosen.output, {**result_header(), "stage": Path(chosen.stage).name, "trained": trained, **found})


if __name__ == "__main__":
    main()
