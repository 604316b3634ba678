"""Preprocessing as multiples of its floor, on threads, and with torch's resize: its speed, its pixels, its answers.

Run: python benchmarks/preprocessing.py [--rounds N] [--pages N] [--output benchmarks/results/preprocessing.json]

The floor is Pillow's resizes that the layout needs (width and height are two calls), each followed by one pass of numpy that
normalises its pixels. All run in turns in one process; a ratio is the median over rounds. Times of one thread are processor
seconds, which a machine that others use changes little; those of two threads are wall-clock, and the fastest round's.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402

import dragonfly  # noqa: E402
from dragonfly.files import result_header, write_json  # noqa: E402
from dragonfly.models import DragonflyImageProcessor  # noqa: E402
from dragonfly.research.synthetic import SPECS, make_image  # noqa: E402
from dragonfly.vision.layout import make_layout  # noqa: E402
from dragonfly.vision.presets import get_preset  # noqa: E402
from dragonfly.vision.resizing import resize, resizing  # noqa: E402

SIZES = ((768, 1024), (1500, 2000), (3024, 4032))  # (height, width)
BICUBIC = Image.Resampling.BICUBIC
Work = Callable[[], Any]


def photograph(size: tuple[int, int]) -> Image.Image:
    """Coarse shapes with grain, so that no pixel follows from its neighbours."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (size[0] // 16, size[1] // 16, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((size[1], size[0]), BICUBIC)).astype(np.int16)
    return Image.fromarray((smooth + rng.integers(-12, 13, smooth.shape, dtype=np.int16)).clip(0, 255).astype(np.uint8))


def processor(preset: str, **changes: Any) -> DragonflyImageProcessor:
    return DragonflyImageProcessor(preset=preset, encoder=get_preset(preset).spec.changed(changes).to_dict())


def floor(image: Image.Image, own: DragonflyImageProcessor) -> Work:
    layout = make_layout((image.height, image.width), own.spec)
    std = np.array(own.image_std, np.float32)
    scale, shift = np.float32(1 / 255) / std, -np.array(own.image_mean, np.float32) / std

    def work() -> None:
        for level in layout.levels:
            normal = np.multiply(np.asarray(resize(image, level.content, BICUBIC)), scale)
            np.add(normal, shift, out=normal)

    return work


def in_turns(works: dict[str, Work], rounds: int, clock: Callable[[], float] = time.process_time) -> dict[str, list[float]]:
    taken: dict[str, list[float]] = {name: [] for name in works}
    for round_number in range(rounds + 1):
        for name, work in works.items():
            start = clock()
            work()
            if round_number:  # the first warms up
                taken[name].append(clock() - start)
    return taken


def call(own: DragonflyImageProcessor, images: Any, threads: int = 1) -> Work:
    def work() -> None:
        torch.set_num_threads(threads)
        own(images, return_tensors="pt")

    return work


def speed(size: tuple[int, int], rounds: int) -> dict[str, Any]:
    image = photograph(size)
    v1, v2, torch_v1 = processor("v1"), processor("v2"), processor("v1", resizer="torch")
    resizes = [level.content for level in make_layout(size, v1.spec).levels]
    works: dict[str, Work] = {
        "floor": floor(image, v1),
        "floor v2": floor(image, v2),
        "Pillow's resizes alone": lambda: [resize(image, one, BICUBIC) for one in resizes],
        "v1": call(v1, image),
        "v1 residual": call(processor("v1", selection={"policy": "residual"}), image),
        "v1 with torch": call(torch_v1, image),
        "v2": call(v2, image),
    }
    taken = in_turns(works, rounds)

    def ratio(name: str, base: str) -> float:
        return round(statistics.median(a / b for a, b in zip(taken[name], taken[base], strict=True)), 3)

    return {
        "size": f"{size[1]}x{size[0]}",
        "ms": {name: round(1000 * statistics.median(times), 1) for name, times in taken.items()},
        "v1 / floor": ratio("v1", "floor"),
        "v2 / floor": ratio("v2", "floor v2"),
        "v1 residual / floor": ratio("v1 residual", "floor"),
        "v1 / Pillow's resizes alone": ratio("v1", "Pillow's resizes alone"),
        "v1 / v1 with torch": ratio("v1", "v1 with torch"),
        "pixels of torch": difference(image, resizes),
    }


def threads(size: tuple[int, int], rounds: int) -> dict[str, float]:
    """How many times faster two threads are, on one image and on four."""
    image, own = photograph(size), processor("v1")
    gains: dict[str, float] = {}
    for count in (1, 4):
        works = {str(number): call(own, [image] * count, number) for number in (1, 2)}
        taken = in_turns(works, rounds, time.perf_counter)
        gains[f"{count} images"] = round(min(taken["1"]) / min(taken["2"]), 2)
    torch.set_num_threads(1)
    return gains


def difference(image: Image.Image, sizes: list[tuple[int, int]]) -> dict[str, float]:
    """Of 255 levels, over all levels of the layout."""
    ours, pillows = resizing(image, BICUBIC, "torch"), resizing(image, BICUBIC)
    apart = [np.abs(ours(size).astype(np.int16) - pillows(size)) for size in sizes]
    total = sum(one.size for one in apart)
    return {"largest": int(max(one.max() for one in apart)), "mean": round(float(sum(one.sum() for one in apart) / total), 5)}


def answers(pages: int) -> dict[str, int]:
    """How many of the bundled model's answers about synthetic documents it never saw change with torch's resize."""
    pillow, other = dragonfly.load(), dragonfly.load(overrides=["model.resizer=torch"])
    drawn = [make_image(SPECS["nano"], "test", 24, index) for index in range(pages)]
    rows = [(page.image, page.questions[0].text) for page in drawn]
    pairs = zip(pillow.ask_batch(rows, max_new_tokens=24), other.ask_batch(rows, max_new_tokens=24), strict=True)
    return {"asked": pages, "differ": sum(one.text != two.text for one, two in pairs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "preprocessing.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    load = [round(os.getloadavg()[0], 2)]
    rows = [speed(size, options.rounds) for size in SIZES]
    result = {
        **result_header(),
        "benchmark": "preprocessing",
        "rounds": options.rounds,
        "sizes": rows,
        "two_threads": {f"{size[1]}x{size[0]}": threads(size, options.rounds) for size in SIZES},
        "nano": answers(options.pages),
        "load_average": [*load, round(os.getloadavg()[0], 2)],
    }
    write_json(options.output, result)
    for row in rows:
        print(row)
    print(result["two_threads"], result["nano"])


if __name__ == "__main__":
    main()
