"""Draw docs/images/headline.png: what variants trained under each rule read, against what they cost, from the committed result
file.

python scripts/headline_plot.py
"""

from __future__ import annotations

import json
from pathlib import Path

from dragonfly.research.lab.report import draw

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    result = json.loads((ROOT / "benchmarks" / "results" / "lab" / "headline.json").read_text(encoding="utf-8"))
    draw(result, "fine", ROOT / "docs" / "images" / "headline.png")
