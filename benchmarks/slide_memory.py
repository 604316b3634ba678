"""What a slide of 60,000 x 60,000 pixels takes: memory and time of `zoom` and `ask`, and whether boxes are where marks are.

    python benchmarks/slide_memory.py            # -> benchmarks/results/slide_memory.json

The slide is made here: a tiled pyramidal TIFF (JPEG tiles, levels reduced 1, 4, 16 and 64 times), flat but for marks that are
planted at known pixels. The commands run as a user runs them, in processes of their own, with the bundled model; memory is the
largest resident size that the system reports of each.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY))

from tests.imaging.slides import TILE, write_large  # noqa: E402

from dragonfly.files import result_header, write_json  # noqa: E402
from dragonfly.imaging import load_image  # noqa: E402
from dragonfly.models import DragonflyImageProcessor  # noqa: E402
from dragonfly.vision.presets import PRESETS  # noqa: E402

SIDE = 60_000
REDUCTIONS = (1, 4, 16, 64)
GROUND = (236, 228, 240)
MARKS = ((1_000, 2_000), (31_234, 14_321), (44_000, 44_000), (59_000, 100))  # left, top of squares in finest pixels
MARK, INK = 600, (60, 20, 90)
LIMIT_GIB = 1.2


def paint(reduction: int, left: int, top: int) -> Image.Image | None:
    """One tile of a level, None where nothing is planted: marks cover the same part of the slide at every level."""
    tile = None
    for x, y in MARKS:
        box = (x / reduction - left, y / reduction - top, (x + MARK) / reduction - left, (y + MARK) / reduction - top)
        if box[2] > 0 and box[3] > 0 and box[0] < TILE and box[1] < TILE:
            tile = tile or Image.new("RGB", (TILE, TILE), GROUND)
            edges = [min(TILE, max(0, round(edge))) for edge in box]
            tile.paste(INK, (edges[0], edges[1], edges[2], edges[3]))
    return tile


def measured(arguments: list[str]) -> dict[str, Any]:
    """A command's largest resident memory, its time and what it printed."""
    start = time.perf_counter()
    code = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], capture_output=True, text=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); print(done.returncode); "
        "sys.stderr.write(done.stderr); print(done.stdout)"
    )
    command = [sys.executable, "-c", code, sys.executable, "-m", "dragonfly", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)
    memory, status, *out = done.stdout.split("\n", 2)
    if status != "0":
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr}")
    seconds = time.perf_counter() - start
    return {"max_rss_gib": round(int(memory) / 2**20, 3), "seconds": round(seconds, 1), "out": out[0]}


def found_marks(path: Path) -> list[dict[str, Any]]:
    """Where the marks are in the sub-images of preset v1, in slide pixels: each within one pixel of the sub-image."""
    loaded = load_image(path)
    batch = DragonflyImageProcessor(preset="v1", encoder=PRESETS["v1"].spec.with_selection(policy="all").to_dict())(
        [loaded.image], return_tensors="np", image_mean=[0.0] * 3, image_std=[1.0] * 3, rescale_factor=1.0
    )
    layout, rows = batch["layouts"][0], batch["pixel_values"][0]
    report: list[dict[str, Any]] = []
    for x, y in MARKS:
        best = {"mark": [x, y, x + MARK, y + MARK], "expected": [], "seen": [], "pixel": 0.0}
        for level in ("mid", "high"):
            first = {"mid": layout.count("low"), "high": layout.count("low") + layout.count("mid")}[level]
            for index, box in enumerate(layout.level_boxes(level)):
                if not (box[0] <= x and x + MARK <= box[2] and box[1] <= y and y + MARK <= box[3]):
                    continue
                across, down = ((box[2] - box[0]) / layout.resolution, (box[3] - box[1]) / layout.resolution)
                dark = rows[first + index][1] < (GROUND[1] + INK[1]) / 2
                ys, xs = np.nonzero(dark)
                seen = [box[0] + xs.min() * across, box[1] + ys.min() * down]
                seen += [box[0] + (xs.max() + 1) * across, box[1] + (ys.max() + 1) * down]
                best = {
                    "mark": [x, y, x + MARK, y + MARK],
                    "level": level,
                    "box": list(box),
                    "seen": [round(float(edge), 1) for edge in seen],
                    "pixel": round(max(across, down), 2),
                    "off_in_sub_image_pixels": round(
                        max(
                            max(abs(seen[0] - x), abs(seen[2] - x - MARK)) / across,
                            max(abs(seen[1] - y), abs(seen[3] - y - MARK)) / down,
                        ),
                        3,
                    ),
                }
        report.append(best)
    return report


def exact_regions(path: Path) -> list[bool]:
    """Whether a region of the size of each mark, at its place, is the mark alone, and one pixel further is not."""
    exact: list[bool] = []
    for x, y in MARKS:
        inside = np.asarray(load_image(f"{path}#region={x},{y},{MARK},{MARK}").image, dtype=int)
        around = np.asarray(load_image(f"{path}#region={x - 1},{y - 1},{MARK + 2},{MARK + 2}").image, dtype=int)
        dark = around[..., 1] < (GROUND[1] + INK[1]) // 2
        exact.append(bool((inside[..., 1] < 128).all() and not dark[0].any() and not dark[:, 0].any() and dark[1:-1, 1:-1].all()))
    return exact


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("-o", "--output", type=Path, default=REPOSITORY / "benchmarks/results/slide_memory.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.tiff"
        write_large(path, options.side, REDUCTIONS, paint, GROUND)
        zoom = measured(["zoom", str(path), "-o", f"{folder}/zoom.png", "--json"])
        ask = measured(["ask", str(path), "What is shown?", "--json", "--max-new-tokens", "8"])
        layout = json.loads(ask["out"])["layouts"][0]
        marks, exact = found_marks(path), exact_regions(path)
        result = {
            **result_header(),
            "slide": {"side": options.side, "reductions": list(REDUCTIONS), "file_bytes": path.stat().st_size},
            "limit_gib": LIMIT_GIB,
            "zoom": {key: zoom[key] for key in ("max_rss_gib", "seconds")},
            "ask": {key: ask[key] for key in ("max_rss_gib", "seconds")} | {"size": layout["size"]},
            "marks": marks,
            "regions_exact": exact,
            "own_max_rss_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3),
        }
    good = max(zoom["max_rss_gib"], ask["max_rss_gib"]) <= LIMIT_GIB and all(exact)
    good = good and layout["size"] == [options.side] * 2 and all(one["off_in_sub_image_pixels"] <= 1 for one in marks)
    write_json(options.output, {**result, "passed": good})
    print(json.dumps(result, indent=1))
    if not good:
        raise SystemExit("the slide takes more than it may, or boxes are not where marks are")


if __name__ == "__main__":
    main()
