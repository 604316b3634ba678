"""Draw docs/images/policies.png: what nano answers when each rule chooses its one high sub-image, from the committed result file.

python scripts/policies_plot.py
"""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from dragonfly.files import atomic_write

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "lab" / "policies.json"
TARGET = ROOT / "docs" / "images" / "policies.png"


def main() -> None:
    arms = json.loads(RESULT.read_text(encoding="utf-8"))["arms"]
    found = {name.split()[0].removeprefix("policy="): arm["scores"]["fine"] for name, arm in arms.items() if "keep=1" in name}
    names = sorted(found, key=lambda name: found[name]["value"])
    values = [100 * found[name]["value"] for name in names]
    below = [value - 100 * found[name]["low"] for name, value in zip(names, values, strict=True)]
    above = [100 * found[name]["high"] - value for name, value in zip(names, values, strict=True)]
    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axes = figure.add_subplot(
        xlabel="fine detail answered exactly (%), one of 24 high sub-images kept, 95 % interval", xlim=(0, 100)
    )
    colours = ["tab:orange" if name == "random" else "tab:blue" for name in names]
    axes.barh(names, values, xerr=[below, above], color=colours, capsize=2)
    for name, value, more in zip(names, values, above, strict=True):
        axes.text(value + more + 1.5, name, f"{value:.1f}", va="center", fontsize=8)
    with atomic_write(TARGET, "wb") as file:
        FigureCanvasAgg(figure).print_png(file)


if __name__ == "__main__":
    main()
