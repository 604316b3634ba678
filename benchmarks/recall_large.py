"""Recall of evidence from 1K to 8K at a fixed number of close-ups: the same questions on desks with ever more around them.

Run: python benchmarks/recall_large.py [--desks 30] [--close-ups 8] [--output FILE]

A question is found where the centre of every box of its evidence lies in a sub-image that is kept, and its smallest capital is
then at least `READABLE` pixels high (`recall`); or where every box lies whole in one (`recall_whole`). `alone`: the desk is empty
but for the paper that is asked about; `among`: half of it is covered with other papers. Three ways to cut an image, the first two
with sub-images of `SIDE` pixels of which as many are kept:

- `fixed`: the grids of preset v1, 24 sub-images whatever the size, so print shrinks as the image grows.
- `following`: the lens's grid, which follows the image's shape and size; close-ups show it pixel by pixel.
- `v1-any`: the preset as it is: 12 kept of 224 pixels beside low and mid. `residual` is its own policy: its image processor runs.

Policies look at pixels alone, never at the question. `random` is the mean of `DRAWS` draws and `oracle` is given the boxes. The
language model does not run, and nothing is said of answers. Intervals are bootstrapped over desks. Times are of one thread.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src")]

from dragonfly.evaluation.metrics import mean  # noqa: E402
from dragonfly.evaluation.statistics import interval  # noqa: E402
from dragonfly.files import result_header, write_json  # noqa: E402
from dragonfly.lens.grid import Block, Grid  # noqa: E402
from dragonfly.models import DragonflyImageProcessor  # noqa: E402
from dragonfly.research.synthetic import SPECS  # noqa: E402
from dragonfly.research.synthetic.document_questions import Question  # noqa: E402
from dragonfly.research.synthetic.documents import make_desk  # noqa: E402
from dragonfly.vision.layout import Area, Box, SubImageLayout, make_layout  # noqa: E402
from dragonfly.vision.presets import get_preset  # noqa: E402
from dragonfly.vision.scoring import evidence_areas  # noqa: E402
from dragonfly.vision.selection import choose, select_before_tower  # noqa: E402
from dragonfly.vision.spec import EncoderSpec  # noqa: E402
from dragonfly.vision.tiling import Canvases, drawing, residual  # noqa: E402

SIZES = ("documents-1k", "documents-2k", "documents-4k", "documents-8k")
SURROUNDINGS = {"alone": 0.0, "among": 0.5}
SIDE = 336  # pixels of a sub-image's side
READABLE = 6.0  # pixels: least height of a capital that counts as readable; a choice of ours
DRAWS = 20

Kept = list[tuple[Area, float]]
"""Areas in source pixels, and the pixels of a sub-image per source pixel along its coarser side."""


Holds = Callable[[Area, Box], bool]


def found(question: Question, kept: Kept, holds: Holds | None = None) -> float:
    """1 where every box's centre is in an area at which the question's capitals are readable, else 0."""
    shown = [area for area, scale in kept if question.detail_px * scale >= READABLE]
    return float(all(any((holds or _holds_centre)(area, box) for area in shown) for box in question.evidence))


def _holds_centre(area: Area, box: Box) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return area[0] <= x < area[2] and area[1] <= y < area[3]


def _holds_whole(area: Area, box: Box) -> bool:
    return area[0] <= box[0] and area[1] <= box[1] and box[2] <= area[2] and box[3] <= area[3]


CRITERIA: dict[str, Holds] = {"recall": _holds_centre, "recall_whole": _holds_whole}


class Fixed:
    """Preset v1's grids in sub-images of `SIDE` pixels."""

    def __init__(self, image: Image.Image, keep: int) -> None:
        self.spec = self.encoder(keep)
        self.layout: SubImageLayout = make_layout((image.height, image.width), self.spec)
        self.boxes = self.layout.level_boxes("high")
        self.image = image
        self.passes = 1 + keep

    @staticmethod
    def encoder(keep: int) -> EncoderSpec:
        preset = get_preset("v1").spec.changed({"selection": {"policy": "uniform", "scope": "image", "keep": keep}})
        return preset.with_changes(resolution=SIDE, patch_size=14)

    def policies(self) -> dict[str, Callable[[], list[Kept]]]:
        return {"uniform": self._uniform, "residual": self._residual, "random": self._random}

    def oracle(self, evidence: tuple[Box, ...]) -> Kept:
        return self._kept(torch.tensor([evidence_areas(self.boxes, evidence)]))

    def _uniform(self) -> list[Kept]:
        chosen = select_before_tower(self.layout, self.spec.with_selection(policy="uniform").selection)
        return [self._areas(chosen)]

    def _residual(self) -> list[Kept]:
        draw = drawing(self.image, self.layout, Image.Resampling.BICUBIC)
        levels: Canvases = {level.name: draw(level) for level in self.layout.levels}
        return [self._kept(torch.from_numpy(residual(levels, self.layout, Image.Resampling.BICUBIC))[None])]

    def _random(self) -> list[Kept]:
        rng = np.random.default_rng(0)
        return [self._kept(torch.from_numpy(rng.random((1, len(self.boxes))))) for _ in range(DRAWS)]

    def _kept(self, scores: torch.Tensor) -> Kept:
        count = self.spec.selection.keep
        chosen = choose(scores.float(), torch.zeros(1, len(self.boxes), dtype=torch.long), self.spec.selection, count)
        return self._areas(chosen[0].tolist())

    def _areas(self, chosen: Any) -> Kept:
        areas, side = [tuple(map(round, self.boxes[index])) for index in chosen], self.spec.resolution
        return [(area, min(side / (area[2] - area[0]), side / (area[3] - area[1]))) for area in areas]  # pyright: ignore[reportReturnType]


class AnySize(Fixed):
    """Preset v1-any as it is; what keeps 12 is no part of a call. Print counts with the source's pixels, not enlarged."""

    def __init__(self, image: Image.Image, keep: int) -> None:
        super().__init__(image, keep)
        self.processor = DragonflyImageProcessor(preset="v1-any")

    @staticmethod
    def encoder(keep: int) -> EncoderSpec:
        return get_preset("v1-any").spec

    def _residual(self) -> list[Kept]:
        """All that the image processor does, up to normalised pixels."""
        out = self.processor([self.image], return_tensors="pt")
        assert out["layouts"] == [self.layout]
        self.passes = out["pixel_values"].shape[1]
        return [self._areas(out["selected_high"][0].tolist())]

    def _areas(self, chosen: Any) -> Kept:
        return [(area, min(1.0, scale)) for area, scale in super()._areas(chosen)]


class Following:
    """The lens's grid with close-ups of `SIDE` pixels."""

    def __init__(self, image: Image.Image, keep: int) -> None:
        self.image, self.keep, self.grid = image, keep, Grid.of((image.height, image.width), SIDE)
        self.passes = 1 + keep
        scale = SIDE / max(image.size)
        self.whole = max(1, round(image.height * scale)), max(1, round(image.width * scale))

    def policies(self) -> dict[str, Callable[[], list[Kept]]]:
        return {
            "centre": self._centre,
            "residual": lambda: [self._windows(self.grid.pixel_scores(self.image, self.whole, "residual"))],
            "detail": lambda: [self._windows(self.grid.pixel_scores(self.image, self.whole, "detail"))],
            "random": self._random,
        }

    def oracle(self, evidence: tuple[Box, ...]) -> Kept:
        return self._areas(list(dict.fromkeys(self.grid.covering(box) for box in evidence))[: self.keep])

    def _centre(self) -> list[Kept]:
        rows, columns = (np.arange(count) - (count - 1) / 2 for count in self.grid.cells)
        return [self._windows(-np.hypot(rows[:, None], columns[None, :]))]

    def _random(self) -> list[Kept]:
        rng = np.random.default_rng(0)
        return [self._windows(rng.random(self.grid.cells)) for _ in range(DRAWS)]

    def _windows(self, scores: Any) -> Kept:
        return self._areas(self.grid.top_windows(scores, self.keep))

    def _areas(self, blocks: list[Block]) -> Kept:
        areas = [self.grid.area(block) for block in blocks]
        return [(area, min(1.0, SIDE / (area[2] - area[0]), SIDE / (area[3] - area[1]))) for area in areas]


CUTS: dict[str, type[Fixed | Following]] = {"fixed": Fixed, "following": Following, "v1-any": AnySize}

Rows = dict[tuple[str, str, str, str], list[list[float]]]
"""(surroundings, cut, policy, size) -> for each desk, what was found of each of its questions."""


def measure(desks: int, keep: int) -> tuple[dict[str, Rows], dict[str, Any]]:
    """What each policy finds by each criterion, and what choosing took."""
    rows: dict[str, Rows] = {criterion: {} for criterion in CRITERIA}
    passes: dict[str, dict[str, int]] = {name: {} for name in CUTS}
    seconds: dict[tuple[str, str, str], list[float]] = {}
    cells: dict[tuple[str, str], list[int]] = {}
    for surroundings, size, index in _each(desks):
        spec = replace(SPECS[size], covered=SURROUNDINGS[surroundings], typefaces="bundled")  # the same on every machine
        desk = make_desk(spec, "test", 20_000, index)
        asked = [question for question in desk.questions if question.evidence and question.kind != "count"]
        for name, cut in CUTS.items():
            one = cut(desk.image, keep)
            cells.setdefault((name, size), []).append(len(one.boxes) if isinstance(one, Fixed) else int(np.prod(one.grid.cells)))
            for policy, choosing in one.policies().items():
                start = time.process_time()
                draws = choosing()
                seconds.setdefault((name, policy, size), []).append((time.process_time() - start) / len(draws))
                for criterion, holds in CRITERIA.items():
                    told = [float(np.mean([found(question, kept, holds) for kept in draws])) for question in asked]
                    rows[criterion].setdefault((surroundings, name, policy, size), []).append(told)
            for criterion, holds in CRITERIA.items():
                told = [found(question, one.oracle(question.evidence), holds) for question in asked]
                rows[criterion].setdefault((surroundings, name, "oracle", size), []).append(told)
            passes[name][size] = max(one.passes, passes[name].get(size, 0))
        print(f"{surroundings} {size} {index + 1} of {desks}", file=sys.stderr)
    cost: dict[str, Any] = {name: {policy: {} for policy in {key[1] for key in seconds if key[0] == name}} for name in CUTS}
    for (name, policy, size), values in seconds.items():
        cost[name][policy][size] = round(1000 * float(np.median(values)), 1)
    parts = {name: {size: round(float(np.mean(cells[name, size]))) for size in SIZES} for name in CUTS}
    return rows, {"choosing_ms": cost, "cells": parts, "encoder_passes": passes}


def _each(desks: int) -> Iterator[tuple[str, str, int]]:
    for surroundings in SURROUNDINGS:
        for size in SIZES:
            for index in range(desks):
                yield surroundings, size, index


def scored(told: list[list[float]]) -> dict[str, Any]:
    """{value, low, high, n}: the mean over questions and its interval over desks."""
    values = [value for desk in told for value in desk]
    groups = [str(number) for number, desk in enumerate(told) for _ in desk]
    bounds = interval(np.stack([np.array(values), np.ones(len(values))], axis=1), groups, mean)
    low, high = (None, None) if bounds is None else bounds
    rounded = {"low": None if low is None else round(low, 4), "high": None if high is None else round(high, 4)}
    return {"value": round(float(np.mean(values)), 4), **rounded, "n": len(values)}


def summary(rows: Rows) -> dict[str, Any]:
    """surroundings -> cut -> policy -> the recall at each size, and what is lost from the smallest to the largest."""
    table: dict[str, Any] = {}
    for (surroundings, cut, policy, size), told in rows.items():
        table.setdefault(surroundings, {}).setdefault(cut, {}).setdefault(policy, {})[size] = scored(told)
    for surroundings, cuts in table.items():
        for cut, policies in cuts.items():
            for policy, sizes in policies.items():
                first, last = (rows[surroundings, cut, policy, size] for size in (SIZES[0], SIZES[-1]))
                lost = [[a - b for a, b in zip(one, other, strict=True)] for one, other in zip(first, last, strict=True)]
                sizes["lost from 1K to 8K"] = scored(lost)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--desks", type=int, default=30, help="desks of each size")
    parser.add_argument("--close-ups", type=int, default=8, help="sub-images kept of an image")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "recall_large.json")
    options = parser.parse_args()
    rows, cost = measure(options.desks, options.close_ups)
    about = {"desks": options.desks, "close_ups": options.close_ups, "side": SIDE, "readable_px": READABLE, "draws": DRAWS}
    tables = {criterion: summary(one) for criterion, one in rows.items()}
    write_json(options.output, {"kind": "recall-large", **result_header(), **about, **cost, **tables})
    for surroundings, cuts in tables["recall"].items():
        for cut, policies in cuts.items():
            for policy, sizes in policies.items():
                shown = " ".join(f"{100 * one['value']:6.1f}" for one in sizes.values())
                print(f"{surroundings:<6} {cut:<10} {policy:<9} {shown}")


if __name__ == "__main__":
    main()
