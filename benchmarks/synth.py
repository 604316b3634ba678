"""How fast data sets are drawn and written: pages and questions per second, for cards of 256x384 and 512x768, and documents.

Run: python benchmarks/synth.py [--workers 2] [--output benchmarks/results/synth.json]

Measured is the whole of `dragonfly synth` from its first page to the renamed folder, the start of its processes included
and the import of the package not. `draw_ms` is one page on one core: drawing, asking, encoding, without rows. `peak_mib` is the
most memory that a process has held up to then, so measure the specifications from the smallest on.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src")]

import dragonfly.data  # noqa: E402 - so that its import is not measured
from dragonfly.files import result_header, write_json  # noqa: E402
from dragonfly.research.synthetic import SPECS, DatasetOptions, make_image, write_dataset  # noqa: E402
from dragonfly.research.synthetic.dataset import cores  # noqa: E402
from dragonfly.research.synthetic.documents import make_desk, make_document  # noqa: E402
from dragonfly.research.synthetic.documents.typefaces import typefaces_note  # noqa: E402

PAGES = {
    "nano": 2000,
    "nano-crowded": 1000,
    "nano-close-1": 300,
    "nano-text": 4000,
    "fine": 500,
    "documents": 300,
    **{f"documents-{size}k": 48 // size for size in (1, 2, 4, 8)},
}
TARGETS = {"nano": 150, "fine": 40, "documents": 40}  # pages per second on two cores


def draw_ms(spec: str) -> float:
    """Milliseconds of one core for a page and its JPEG file."""
    drawn = SPECS[spec]
    make = make_desk if drawn.desk else make_document if drawn.documents else make_image
    count = min(60, PAGES[spec])
    for index in range(3 if drawn.desk else 100 if drawn.documents else 10):
        make(drawn, "train", 1, index)  # fonts are opened once
    start = time.process_time()
    for index in range(count):
        page = make(drawn, "train", 0, index)
        page.image.save(io.BytesIO(), "JPEG", quality=page.quality)
    return (time.process_time() - start) / count * 1000


def measure(spec: str, workers: int) -> dict[str, Any]:
    """Wall-clock rates of writing the spec's pages."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        manifest = write_dataset(DatasetOptions(spec, "train", PAGES[spec], 0), Path(folder) / "data", workers=workers)
        seconds = time.perf_counter() - start
        size = sum(path.stat().st_size for path in manifest.parent.rglob("*") if path.is_file())
        answers = dragonfly.data.Manifest.open(manifest).counts["answers"]
    rate = {"pages": PAGES[spec], "seconds": round(seconds, 2), "pages_per_s": round(PAGES[spec] / seconds, 1)}
    row = {**rate, "questions_per_s": round(answers / seconds), "kib_per_page": round(size / PAGES[spec] / 1024, 1)}
    if not SPECS[spec].text and not SPECS[spec].close:
        row["draw_ms"] = round(draw_ms(spec), 2)
        row["peak_mib"] = (
            max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) // 1024
        )
    return {**row, "target_pages_per_s": TARGETS[spec]} if spec in TARGETS else row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "synth.json")
    parser.add_argument("--specs", nargs="+", choices=list(PAGES), default=list(PAGES), help="which of them to measure")
    parser.add_argument("--note", default="", help="what a reader should know of this run")
    options = parser.parse_args()
    load = [round(value, 2) for value in os.getloadavg()]
    rows = {spec: measure(spec, options.workers) for spec in options.specs}
    result = {
        **result_header(),
        "load_before": load,
        "note": options.note,
        "workers": options.workers,
        "typefaces": typefaces_note("installed"),
        "specs": rows,
    }
    write_json(options.output, result)
    for spec, row in rows.items():
        print(f"{spec:<14}", *(f"{name} {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
