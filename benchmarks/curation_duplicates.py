"""How well near-duplicate images are found: planted copies of made-up images, precision and recall per kind and radius.

Run: python benchmarks/curation_duplicates.py [--images N] [--seed S] [--output FILE] [--note TEXT] [--table]

Three parts. Copies: originals and one changed copy of every fourth, each kind judged by itself among all originals. Look-alikes:
different images on one template, as scans of one organ are, and how many are wrongly taken for copies. Leaks: changed copies of
evaluation images among the training rows, with other rows of the same patients, through the `leak` step.

Everything runs through the same code as `dragonfly curate`. The images are drawn, so real photographs and scans may
give other numbers.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from dragonfly.curation.engine import start  # noqa: E402
from dragonfly.curation.ingest import read_table  # noqa: E402
from dragonfly.curation.steps import STEPS, Job  # noqa: E402
from dragonfly.curation.steps.duplicates import representatives  # noqa: E402
from dragonfly.curation.table import Table, samples_of  # noqa: E402
from dragonfly.data import ImageRef, Message, Part, Sample, write_manifest  # noqa: E402
from dragonfly.files import result_header, write_json  # noqa: E402

RADII = (0, 2, 4, 6, 8, 10)
PER_TEMPLATE = 20  # look-alikes that share one


def draw(random: np.random.Generator) -> Image.Image:
    """Coloured clouds of some coarseness with shapes over them, 80 to 160 pixels a side."""
    width, height = (int(side) for side in random.integers(80, 161, 2))
    blocks = random.integers(0, 256, (*random.integers(3, 9, 2), 3), dtype=np.uint8)
    image = Image.fromarray(blocks).resize((width, height), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for _ in range(int(random.integers(2, 10))):
        left, top = int(random.integers(0, width - 5)), int(random.integers(0, height - 5))
        box = (left, top, left + int(random.integers(5, width // 2)), top + int(random.integers(5, height // 2)))
        colour = tuple(int(value) for value in random.integers(0, 256, 3))
        (pen.rectangle, pen.ellipse)[int(random.integers(2))](box, fill=colour)
    return image


def look_alike(random: np.random.Generator, template: int) -> Image.Image:
    """An image of its own on one of the templates: same outlines and greys, own position of a spot and own fine noise."""
    base = draw(np.random.default_rng([7, template])).convert("L").convert("RGB")
    width, height = base.size
    x, y = int(random.integers(10, width - 20)), int(random.integers(10, height - 20))
    ImageDraw.Draw(base).ellipse((x, y, x + 9, y + 9), fill=(250, 250, 250))
    noise = random.integers(-12, 13, (height, width, 1))
    return Image.fromarray(np.clip(np.asarray(base, dtype=np.int64) + noise, 0, 255).astype(np.uint8))


def crop(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """98 % of the width and of the height, anywhere."""
    width, height = max(1, round(image.width * 0.02)), max(1, round(image.height * 0.02))
    left, top = int(random.integers(0, width + 1)), int(random.integers(0, height + 1))
    return image.crop((left, top, image.width - width + left, image.height - height + top))


def jpeg(image: Image.Image, random: np.random.Generator) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=50)
    return Image.open(io.BytesIO(buffer.getvalue()))


def brightness(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Darker or brighter by up to 30 %; what becomes brighter than white is lost."""
    return ImageEnhance.Brightness(image).enhance(float(random.uniform(0.7, 1.3)))


def resize(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Half to twice the size, and up to 5 % another aspect ratio."""
    scale, stretch = float(random.uniform(0.5, 2.0)), float(random.uniform(0.95, 1.05))
    return image.resize((round(image.width * scale * stretch), round(image.height * scale)), Image.Resampling.BICUBIC)


KINDS: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "crop 2 %": crop,
    "JPEG 50": jpeg,
    "flip": lambda image, random: ImageOps.mirror(image),
    "brightness": brightness,
    "resize": resize,
}


def sample(name: str, path: Path, group: str | None = None) -> Sample:
    """A row whose id says what its image is."""
    messages = (Message("user", (Part("image"), Part("text", "What is it?"))), Message("assistant", (Part("text", name),)))
    return Sample(name, "made-up", (ImageRef(path=str(path), group=group),), messages)


def saved(image: Image.Image, path: Path) -> Path:
    image.save(path, compress_level=1)
    return path


def copies_and_look_alikes(folder: Path, images: int, seed: int) -> Iterator[Sample]:
    """A tenth look-alikes; of the rest, originals and a copy of every fourth, the kinds in turn."""
    kinds = list(KINDS.items())
    originals = (images - images // 10) * 4 // 5
    for number in range(originals):
        random = np.random.default_rng([seed, number])
        image = draw(random)
        yield sample(f"original {number}", saved(image, folder / f"{number}.png"))
        if number % 4 == 3:
            kind, change = kinds[number // 4 % len(kinds)]
            yield sample(f"{kind} {number}", saved(change(image, random), folder / f"{number}-copy.png"))
    for number in range(images // 10):
        random = np.random.default_rng([seed, 10**6 + number])
        path = saved(look_alike(random, number // PER_TEMPLATE), folder / f"alike-{number}.png")
        yield sample(f"alike {number}", path)


def joins(
    table: Table, names: list[str], radius: int, wanted: Callable[[str], bool], mirrored: bool = True
) -> tuple[list[str], list[str]]:
    """(names of the images among the wanted that another one stands for, names of those others)."""
    keys = table.lists("image_keys")[1]
    chosen = np.array([wanted(name) for name in names])
    every, stands_for = representatives(table, keys[chosen], radius, mirrored)
    by_key = dict(zip(keys.tolist(), names, strict=True))
    replaced = every != stands_for
    return [by_key[key] for key in every[replaced].tolist()], [by_key[key] for key in stands_for[replaced].tolist()]


def number_of(name: str) -> str:
    return name.rpartition(" ")[2]


def kind_of(name: str) -> str:
    return name.rpartition(" ")[0]


def judged(table: Table, names: list[str], radius: int, mirrored: bool = True) -> dict[str, Any]:
    """Precision and recall of every kind among all originals, and of the look-alikes how many are taken for copies."""
    result: dict[str, Any] = {}
    for kind in KINDS:
        copies = sum(kind_of(name) == kind for name in names)
        replaced, others = joins(table, names, radius, lambda name, kind=kind: kind_of(name) in (kind, "original"), mirrored)
        right = sum(kind_of(a) != kind_of(b) and number_of(a) == number_of(b) for a, b in zip(replaced, others, strict=True))
        precision = round(right / len(replaced), 4) if replaced else None
        result[kind] = {"copies": copies, "found": right, "wrong": len(replaced) - right}
        result[kind] |= {"recall": round(right / copies, 4), "precision": precision}
    alike = sum(kind_of(name) == "alike" for name in names)
    wrong, _ = joins(table, names, radius, lambda name: kind_of(name) == "alike", mirrored)
    result["look-alikes"] = {"images": alike, "wrong": len(wrong), "wrong_share": round(len(wrong) / alike, 4)}
    return result


def leaks(folder: Path, images: int, seed: int) -> dict[str, Any]:
    """Plant changed copies of evaluation images in a training set, and other rows of their patients; [dropped, of] each."""
    (folder / "leaks").mkdir()
    kinds: list[tuple[str, Any]] = [("same bytes", None), *KINDS.items()]
    evaluation, training = [], []
    for number in range(images // 40):
        random = np.random.default_rng([seed + 1, number])
        image = draw(random)
        path = saved(image, folder / "leaks" / f"eval-{number}.png")
        evaluation.append(sample(f"eval {number}", path, f"eval-patient-{number}"))
        kind, change = kinds[number % len(kinds)]
        leaked = path if change is None else saved(change(image, random), folder / "leaks" / f"leak-{number}.png")
        training.append(sample(f"{kind} {number}", leaked, f"patient-{number}"))
        other = saved(draw(random), folder / "leaks" / f"other-{number}.png")
        training.append(sample(f"same patient {number}", other, f"patient-{number}"))
    clean: list[Sample] = []
    for number in range(images // 10):
        path = saved(draw(np.random.default_rng([seed + 2, number])), folder / "leaks" / f"clean-{number}.png")
        clean.append(sample(f"clean {number}", path, f"clean-{number}"))
    manifest = write_manifest(evaluation, folder / "evaluation")
    table, _ = read_table([("made-up", [*training, *clean])], folder / "leak-table", folder / "store")
    result: dict[str, Any] = {"evaluation_images": len(evaluation), "training_rows": table.rows}
    for radius in RADII:
        target = folder / f"leak-{radius}"
        target.mkdir()
        left, _ = STEPS["leak"](table, target, Job(), against=[str(manifest)], image_radius=radius)
        kept = {row.id for part in left.batches() for row in samples_of(part)}
        names = [row.id for row in (*training, *clean)]
        rows = {kind: [n for n in names if kind_of(n) == kind] for kind in dict.fromkeys(map(kind_of, names))}
        dropped = {kind: [sum(name not in kept for name in own), len(own)] for kind, own in rows.items()}
        result[f"radius {radius}"] = dropped
    return result


def table(result: dict[str, Any]) -> str:
    """The tables of docs/curation.md."""
    radii = result["copies"]
    lines = [f"| kind of copy | {' | '.join(radii)} |", f"| --- {'| --- ' * len(radii)}|"]
    for kind in KINDS:
        cells = [f"{found[kind]['recall']:.3f} / {_share(found[kind]['precision'])}" for found in radii.values()]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    wrong = [f"{found['look-alikes']['wrong_share']:.3f}" for found in radii.values()]
    lines += [f"| look-alikes taken for copies | {' | '.join(wrong)} |", ""]
    without = result["without_mirror"]["radius 6"]["flip"]["recall"]
    lines += [f"{result['images']:,} images, recall / precision. Without `mirrored`, flips at radius 6: {without:.3f}.", ""]
    leaks = result["leaks"]
    kinds = [kind for kind in leaks["radius 0"] if kind != "clean"]
    lines += [f"| leaks dropped at | {' | '.join(kinds)} | rows without a leak |", f"| --- {'| --- ' * (len(kinds) + 1)}|"]
    for radius in radii:
        cells = [f"{dropped} of {planted}" for dropped, planted in (leaks[radius][kind] for kind in [*kinds, "clean"])]
        lines.append(f"| {radius} | {' | '.join(cells)} |")
    whole = [radius for radius in radii if all(leaks[radius][kind][0] == leaks[radius][kind][1] for kind in kinds)]
    lines += ["", f"Every planted leak is dropped at {whole[0] if whole else 'none of these radii'}."]
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "curation_duplicates.json")
    parser.add_argument("--table", action="store_true", help="print the tables of the committed result and stop")
    parser.add_argument("--note", default="", help="what a reader should know of this run")
    options = parser.parse_args()
    if options.table:
        print(table(json.loads(options.output.read_text(encoding="utf-8"))))
        return
    start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        samples = list(copies_and_look_alikes(folder / "images", options.images, options.seed))
        begun = time.perf_counter()
        rows, _ = read_table([("made-up", samples)], folder / "table", folder / "store")
        seconds = time.perf_counter() - begun
        names = [row.id for row in samples]
        radii: dict[str, Any] = {}
        for radius in RADII:
            begun = time.perf_counter()
            representatives(rows, rows.lists("image_keys")[1], radius, True)
            radii[f"radius {radius}"] = {"search_s": round(time.perf_counter() - begun, 2), **judged(rows, names, radius)}
        result = {
            **result_header(),
            "benchmark": "curation_duplicates",
            "note": options.note,
            "images": len(samples),
            "seed": options.seed,
            "hashing_images_per_s": round(len(samples) / seconds, 1),
            "load_average": [round(value, 2) for value in os.getloadavg()],
            "copies": radii,
            "without_mirror": {"radius 6": {"flip": judged(rows, names, 6, mirrored=False)["flip"]}},
            "leaks": leaks(folder, options.images, options.seed),
        }
    write_json(options.output, result)
    for radius, found in radii.items():
        recalls = ", ".join(f"{kind} {found[kind]['recall']:.3f}/{found[kind]['precision']}" for kind in KINDS)
        print(f"{radius}: {recalls}; look-alikes wrong {found['look-alikes']['wrong_share']}")


if __name__ == "__main__":
    main()
