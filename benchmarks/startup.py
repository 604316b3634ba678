"""Start-up times: what a person waits for before anything happens, as multiples of a bare `python -c pass`.

Run: python benchmarks/startup.py [--rounds N] [--output benchmarks/results/startup.json]

The cases run in turns, so that a machine that is busy for a while slows all of them alike; ratios are of medians. `ask` answers
about a small image with a random model of a few thousand parameters, so nearly all of it is importing and loading.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from dragonfly.files import result_header, write_json  # noqa: E402


def cases(model: Path, image: Path) -> dict[str, list[str]]:
    """Arguments of the interpreter for every case."""
    return {
        "python -c pass": ["-c", "pass"],
        "import dragonfly": ["-c", "import dragonfly"],
        "import torch, transformers": ["-c", "import torch, transformers"],
        "dragonfly --help": ["-m", "dragonfly", "--help"],
        "dragonfly ask (tiny model)": [
            *("-m", "dragonfly", "ask", str(image), "What?", "--model", str(model), "--max-new-tokens", "4")
        ],
    }


def measure(arguments: list[str]) -> float:
    """Wall-clock seconds of one fresh interpreter."""
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=environment)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "startup.json")
    parser.add_argument("--note", default="", help="what a reader should know of this run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        from tests import tiny

        model, image = Path(folder) / "tiny", Path(folder) / "image.png"
        tiny.model().save_pretrained(model)
        tiny.processor().save_pretrained(model)
        tiny.image(320, 240).save(image)
        load_before = os.getloadavg()
        programs = cases(model, image)
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(options.rounds):
            for name, arguments in programs.items():
                seconds[name].append(measure(arguments))
    bare = statistics.median(seconds["python -c pass"])
    rows = {
        name: {
            "ratio": round(statistics.median(times) / bare, 1),
            "median_s": round(statistics.median(times), 3),
            "min_s": round(min(times), 3),
            "max_s": round(max(times), 3),
        }
        for name, times in seconds.items()
    }
    load = {"before": [round(value, 2) for value in load_before], "after": [round(value, 2) for value in os.getloadavg()]}
    write_json(
        options.output,
        {
            **result_header(),
            "benchmark": "startup",
            "rounds": options.rounds,
            "load_average": load,
            "note": options.note,
            "cases": rows,
        },
    )
    for name, row in rows.items():
        print(f"{name:<28} {row['ratio']:>7.1f} x {row['median_s']:>8.3f} s")


if __name__ == "__main__":
    main()
