"""How well a tower reads: character error rate on generated pages and, where they are, on real receipts with true line boxes.

Run: python scripts/measure_reading.py STAGE [--pages MANIFEST] [--receipts FOLDER] [--half H] [--limit N] [--output FILE]

STAGE is the output of a stage with objective `patch_ocr`. FOLDER holds images/NNN.jpg and box/NNN.csv (eight corner coordinates,
then the text), as `dragonfly tasks sroie` says; it does not come with the project, and nothing of it is ever trained on. A hash
of the file's name halves it: `dev` may be looked at while a model is made, `kept` once, at the end.

The error is edits over characters, letters folded to capitals and blanks left out, a line's edits counted up to its length.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src")]

from export_nano import history  # noqa: E402
from PIL import Image  # noqa: E402

from dragonfly.data import Manifest  # noqa: E402
from dragonfly.files import result_header, write_json  # noqa: E402
from dragonfly.imaging import load_image  # noqa: E402
from dragonfly.research.curriculum.reading import Reader, edits, folded  # noqa: E402
from dragonfly.research.curriculum.text_annotations import text_annotations_of  # noqa: E402
from dragonfly.vision.layout import Box  # noqa: E402

Page = tuple[Image.Image, list[tuple[Box, str]]]


def receipts(folder: Path, half: str) -> Iterator[Page]:
    """Images and their lines."""
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
        yield load_image(str(folder / "images" / f"{path.stem}.jpg")).image, lines


def half_of(name: str) -> str:
    return "dev" if sha256(name.encode()).digest()[0] % 2 else "kept"


def generated(manifest: str) -> Iterator[Page]:
    rows = Manifest.open(manifest)
    for at in range(len(rows)):
        lines = [(one.box, one.label) for one in text_annotations_of(rows[at]) if one.kind == "line"]
        yield load_image(rows[at].images[0].source).image, lines


def measure(reader: Reader, pages: Iterator[Page], limit: int | None) -> dict[str, Any]:
    wrong = characters = exact = lines = count = 0
    for image, boxes in pages:
        if limit is not None and count == limit:
            break
        text = reader.read(image)
        count += 1
        for box, truth in boxes:
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
