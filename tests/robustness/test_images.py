"""A small part of benchmarks/robustness.py: mutated images end well, and files that ask for much are refused by their headers."""

from __future__ import annotations

import importlib
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from dragonfly.imaging import load_image

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from hostile.bombs import BOMBS, in_jpeg, segment  # pyright: ignore[reportMissingImports]
from hostile.mutations import MUTATIONS, robbed, seeds  # pyright: ignore[reportMissingImports]

robustness: Any = importlib.import_module("robustness")  # the benchmark, not this folder
SEEDS: dict[str, bytes] = seeds()
REFUSED = {
    "GIF: comments of 5 MB": "holds more than 2,000 blocks before its image",
    "GIF: a comment in blocks of one byte": "holds more than 100,000 blocks",
    "JPEG: 500 times the last scan": r"takes too much work to decode \(22 scans or more over 4096 x 4096 pixels\)",
    "JPEG: every bit in its own scan": "takes too much work to decode",
    "JPEG: 14 kB that say 13300 x 13300": "has 13300 x 13300 = 176,890,000 pixels, over the limit of 67,108,864",
    "JPEG: 14 kB that say 8192 x 8192": r"a damaged or truncated JPEG file \(Corrupt JPEG data: premature end",
    "JPEG: a million empty comments": "holds more than 10,000 segments",
    "JPEG: tables of 20 MB": "holds more than 1,048,576 bytes of tables",
    "BMP: run lengths: lines that end at once": "holds 16,000,000 run lengths",
    "PNG: two million chunks after the pixels": "holds more than 50,000 chunks",
    "BMP: run lengths: deltas": "run lengths, more than 1,572,864, which are read slowly; save it as PNG",
    "BMP: run lengths of four bits": "64,000,000 run lengths",
    "PPM: 20 million comments": "has a header of more than 65,536 bytes",
    "PPM: comments in plain numbers": "holds more than 2,000 comments",
    "PPM: plain numbers": "48,000,000 numbers written as text",
    "PPM: an odd depth": "48,000,000 values of depth 100",
    "TIFF: overlapping tags": "holds 20,009 tags, more than 2,000",
    "TIFF: a million strips": "holds a tag of 1,000,000 values",
    "TIFF: a tile of 30000 x 30000": "has 30000 x 30000 = 900,000,000 pixels, over",
    "TIFF: a JPEG of 90 scans": "holds a JPEG of more than 4 scans",
    "WEBP: a canvas of 2**24": "pixels, over the limit",
    "AVIF: 20000 x 20000": "has 20000 x 20000 = 400,000,000 pixels, over",
}


@pytest.mark.parametrize("name", REFUSED)
def test_small_files_that_ask_for_much_are_refused_by_their_headers(name: str) -> None:
    with pytest.raises(ValueError, match=REFUSED[name]):
        load_image(BOMBS[name]())


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("GIF: comments after the image", (4, 4)),
        ("GIF: 100,000 frames", (4, 4)),
        ("JPEG: EXIF of overlapping values", (64, 64)),
        ("JPEG: 20 MB of junk between markers", (64, 64)),
        ("JPEG: every coefficient in its own scan, as many as allowed", (2048, 2048)),
        ("PNG: EXIF of overlapping values", (64, 64)),
        ("PNG: EXIF headings without end", (64, 64)),
        ("TIFF: a directory that is its own EXIF", (4, 4)),
    ],
)
def test_what_needs_no_refusal_loads_without_the_work(name: str, size: tuple[int, int]) -> None:
    assert load_image(BOMBS[name]()).size == size


def test_the_benchmark_counts_every_outcome() -> None:
    data = SEEDS["JPEG: baseline"]
    whole = load_image(data).image.tobytes()
    assert robustness.outcome(data, whole)["outcome"] == "equal"
    assert robustness.outcome(data[:-2], b"")["outcome"] == "noted"
    assert robustness.outcome(SEEDS["PNG: RGB"], b"")["outcome"] == "different"
    assert robustness.outcome(data[:300], whole)["outcome"] == "refused"
    assert robustness.outcome(None, whole)["outcome"] == "refused"  # pyright: ignore[reportArgumentType]
    assert robustness.outcome(in_jpeg(segment(0xFE, b"kept")), None)["outcome"] == "noted"


def test_mutated_images_end_in_one_line_or_in_pixels() -> None:
    seen = robustness.mutated(share=0.08)
    assert seen["images"] > 400
    assert seen["faults"] == []
    assert set(seen["total"]) <= {"refused", "equal", "noted", "different", "over 2 s", "over 1 GiB"}
    assert seen["largest_extra_mib"] < 200


@pytest.mark.parametrize("name", [name for name in SEEDS if name.startswith("JPEG")])
def test_a_jpeg_that_lost_data_never_passes_as_whole(name: str) -> None:
    dice = random.Random(name)
    for _ in range(30):
        with pytest.raises(ValueError, match=r"^bytes (is a damaged or truncated JPEG file|is not an image)"):
            load_image(robbed(SEEDS[name], dice))


@pytest.mark.parametrize("kind", ["truncated", "zeroed tail"])
def test_formats_that_can_tell_do(kind: str) -> None:
    """PNG by its checksums, AVIF by zeros where none can be: the pixels are those of the whole file, or none come."""
    for name in ("PNG: RGB", "PNG: RGBA", "PNG: palette", "AVIF: RGB"):
        whole = load_image(SEEDS[name]).image.tobytes()
        dice = random.Random(name)
        for _ in range(15):
            changed = MUTATIONS[kind](SEEDS[name][:-40], dice) if kind == "truncated" else MUTATIONS[kind](SEEDS[name], dice)
            assert robustness.outcome(changed, whole)["outcome"] in ("refused", "equal")
