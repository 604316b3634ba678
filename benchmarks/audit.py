"""What `dragonfly audit` finds on the bundled model, over pages that it was not trained on.

    python benchmarks/audit.py [--pages 10]

The data are those of `dragonfly synth --spec nano --split test --n 10 --seed 987 --questions one-per-kind`, the command that of
docs/audit.md; the result file leaves the single answers out. Intervals are over pages.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from dragonfly.files import write_json

RESULT = Path(__file__).parent / "results" / "audit.json"
NAME = "manifest:data/test"


def dragonfly(words: list[str], folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "dragonfly", *words], cwd=folder, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=10)
    pages = str(parser.parse_args().pages)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn = ["--spec", "nano", "--split", "test", "--n", pages, "--seed", "987", "--questions", "one-per-kind"]
        dragonfly(["synth", *drawn, "-o", "data/test"], folder)
        dragonfly(["audit", "nano", "--tasks", NAME, "--device", "cpu", "--out", "audit.json"], folder)
        found = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
    del found["tasks"][NAME]["records"]
    write_json(RESULT, found)


if __name__ == "__main__":
    main()
