"""Questions with evidence, and two measures of whether the kept high sub-images hold it.

`covered`: the centre of every evidence box (a word or a shape) lies inside a kept sub-image. `area_share`: the share of the
boxes' area inside kept sub-images. Both have an exact expectation under random selection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from math import comb, prod
from pathlib import Path
from typing import Any

from dragonfly.data import Manifest
from dragonfly.evaluation.question import image_name
from dragonfly.vision.layout import Box, SubImageLayout
from dragonfly.vision.scoring import evidence_areas, evidence_indices
from dragonfly.vision.selection_spec import Scope


@dataclass(frozen=True)
class Located:
    """A question about one image, its answer, and the boxes in source pixels that hold the answer; `group` names the image."""

    id: str
    group: str
    image: str | bytes
    text: str
    answer: str
    evidence: tuple[Box, ...]
    meta: dict[str, Any] = field(default_factory=dict)


def located(manifest: Manifest) -> Iterator[Located]:
    """The manifest's questions that have evidence, in order."""
    for sample in manifest:
        for turn, question, answer, boxes in sample.evidence_turns():
            source = sample.images[0].source
            group = sample.images[0].group or image_name([source])
            yield Located(f"{sample.id}#{turn}", group, source, question.text.strip(), answer.text.strip(), boxes, sample.meta)


def read_located(path: str | Path, limit: int | None = None) -> list[Located]:
    """The first `limit` questions with evidence of a manifest (None for all). ValueError where there is none."""
    found: list[Located] = []
    for question in located(Manifest.open(path)):
        if limit is not None and len(found) >= limit:
            break
        found.append(question)
    if not found:
        raise ValueError(f"{path} has no evidence: no row says which boxes hold its answer; `dragonfly synth` writes such data")
    return found


def needed(layout: SubImageLayout, evidence: Collection[Box]) -> frozenset[int]:
    """Raster indices of the high sub-images that hold a centre of the evidence (half-open, so each centre has one)."""
    return evidence_indices(layout.level_boxes("high"), evidence)


def covered(layout: SubImageLayout, evidence: Collection[Box], kept: Collection[int]) -> bool:
    """Whether the centre of every evidence box lies inside a kept sub-image."""
    return needed(layout, evidence) <= set(kept)


def area_share(layout: SubImageLayout, evidence: Collection[Box], kept: Collection[int]) -> float:
    """The share of the evidence's area inside kept sub-images, 0 to 1."""
    shares = _shares(layout, evidence)
    return sum(shares[index] for index in kept)


def random_covered(layout: SubImageLayout, evidence: Collection[Box], keep: int, scope: Scope) -> float:
    """The exact probability that `keep` random sub-images, of each region or of the image, cover the evidence."""
    mates = layout.regions if scope == "region" else (0,) * len(layout.regions)
    sizes, wanted = Counter(mates), Counter(mates[index] for index in needed(layout, evidence))
    return prod(
        comb(sizes[mate] - some, keep - some) / comb(sizes[mate], keep) if some <= keep else 0.0 for mate, some in wanted.items()
    )


def random_area(layout: SubImageLayout, evidence: Collection[Box], keep: int, scope: Scope) -> float:
    """The exact expectation of `area_share` for `keep` random sub-images, of each region or of the image."""
    mates = layout.regions if scope == "region" else (0,) * len(layout.regions)
    sizes = Counter(mates)
    return sum(share * keep / sizes[mate] for share, mate in zip(_shares(layout, evidence), mates, strict=True))


def _shares(layout: SubImageLayout, evidence: Collection[Box]) -> list[float]:
    """The share of the evidence's area inside every high sub-image; overlapping boxes all count."""
    whole = sum((right - left) * (bottom - top) for left, top, right, bottom in evidence)
    if whole <= 0:
        raise ValueError(f"evidence {list(evidence)} has no area; a box is (left, top, right, bottom) in source pixels")
    return [area / whole for area in evidence_areas(layout.level_boxes("high"), list(evidence))]
