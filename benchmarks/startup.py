"""Start-up times: what a person waits for before anything happens, as multiples of a bare `python -c pass`.

Run: python benchmarks/startup.py [--rounds N] [--output benchmarks/results/startup.json]

The cases run in turns, so that a machine that is busy for a while slows all of them alike; ratios are of medians. `ask` answers
about a small image with a random model of a few thousand parameters, so nearly all of it is importing and loading. Its import
floor is a program that imports, in the same order, every module of other packages that `ask` has loaded when it ends, and does
nothing else. `ask / imports` is the median over rounds of their processor seconds, which other users of the machine change
little. `beyond` counts modules that `ask` loads and transformers' own classes for such a model do not.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from dragonfly.files import result_header, write_json  # noqa: E402

ASKING, IMPORTS = "dragonfly ask (tiny model)", "what ask imports"


def cases(model: Path, image: Path) -> dict[str, list[str]]:
    """Arguments of the interpreter for every case."""
    return {
        "python -c pass": ["-c", "pass"],
        "import dragonfly": ["-c", "import dragonfly"],
        "import torch, transformers": ["-c", "import torch, transformers"],
        "dragonfly --help": ["-m", "dragonfly", "--help"],
        ASKING: [*("-m", "dragonfly", "ask", str(image), "What?", "--model", str(model), "--max-new-tokens", "4")],
    }


MODULES = "import sys; {work}; print(*sys.modules, file=sys.stderr)"
ASK = "from dragonfly.__main__ import main; main({words!r})"
CLASSES = "from transformers import AutoProcessor, CLIPVisionModel, GenerationMixin, LlamaModel"


def modules(work: str) -> list[str]:
    """What a fresh interpreter has loaded of other packages after `work`, in order."""
    done = run(["-c", MODULES.format(work=work)])
    return [name for name in done.stderr.splitlines()[-1].split() if name.partition(".")[0] != "dragonfly"]


def importing(names: list[str]) -> str:
    """A program that imports modules; those that cannot be imported by name came with others."""
    return (
        f"from importlib import import_module\nfor name in {names!r}:\n    try:\n        import_module(name)\n"
        "    except Exception:\n        pass"
    )


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter."""
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True, env=environment)


def measure(arguments: list[str]) -> tuple[float, float]:
    """Wall-clock and processor seconds of a fresh interpreter."""
    start, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    run(arguments)
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - start, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


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
        loaded = modules(ASK.format(words=programs[ASKING][2:]))
        programs[IMPORTS] = ["-c", importing(loaded)]
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        used: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(options.rounds):
            for name, arguments in programs.items():
                wall, processor = measure(arguments)
                seconds[name].append(wall)
                used[name].append(processor)
        beyond = Counter(name.partition(".")[0] for name in set(loaded) - set(modules(CLASSES)))
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
    ratio = round(statistics.median(ask / floor for ask, floor in zip(used[ASKING], used[IMPORTS], strict=True)), 3)
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
            "ask / imports": ratio,
            "modules": {"loaded": len(loaded), "beyond": dict(beyond.most_common())},
        },
    )
    print(f"ask / imports: {ratio}")
    for name, row in rows.items():
        print(f"{name:<28} {row['ratio']:>7.1f} x {row['median_s']:>8.3f} s")


if __name__ == "__main__":
    main()
