"""A small part of benchmarks/medical_volumes.py: damaged volumes, deep grey images and slides end as an image or as one line."""

from __future__ import annotations

import importlib
import random
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from medical.volumes_slides import ALL_MUTATIONS, read_slide_levels, slides  # pyright: ignore[reportMissingImports]

volumes: Any = importlib.import_module("medical_volumes")


@pytest.mark.parametrize("kind", ALL_MUTATIONS)
@pytest.mark.parametrize("family", ["volumes", "deep images", "slides"])
def test_damage_ends_as_an_image_or_as_one_line_in_time_and_memory(family: str, kind: str) -> None:
    files, how = volumes.readers()[family]
    for name, data in files.items():
        seen = volumes.outcome(how(name, ALL_MUTATIONS[kind](data, random.Random(f"{name} {kind} test"))))
        assert seen["outcome"] in ("shown", "refused"), (name, seen)
        assert "\n" not in seen["message"]


def test_the_benchmark_tells_a_fault_from_a_refusal() -> None:
    def dies() -> None:
        import os

        os.kill(os.getpid(), 9)

    def refuses() -> None:
        raise ValueError("is no image")

    def breaks() -> None:
        raise KeyError("x")

    assert [volumes.outcome(read)["outcome"] for read in (dies, refuses, breaks)] == ["died", "refused", "traceback"]


def test_a_strangers_slide_is_read_apart() -> None:
    good = slides()["slide: deflate"]
    read_slide_levels(good, isolate=True)
    with pytest.raises(ValueError, match=r"slide\.tiff has 600 x 400 = 240,000 pixels, over the limit"):
        read_slide_levels(good[: len(good) // 2], isolate=True)
