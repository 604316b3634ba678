"""A model asked again with its evidence taken away, and with as much of the image taken away elsewhere.

Two kinds of evidence: what the model says it looked at (`Subject.look`), and the boxes that the data annotate. Controls of each:

- `deleted`: the evidence's pixels are filled with the image's mean colour and the whole path runs again, all levels and the
  selection included. A changed answer shows that these *pixels* are needed, whoever carries them.
- `only`: all but the evidence is filled. An answer that stays shows that these pixels suffice.
- `swapped`: the evidence shows what another question's evidence shows. An answer that stays does not depend on what is there.
- `random_deleted`, `random_only`: the same with the evidence's mask moved to a random place (`pixels.elsewhere`): equal to the
  pixel in area and, but for the image's edges, in shape. Any hole changes some answers; only what exceeds this is about evidence.

Of the whole question: `blind` (no image), `shuffled_image` (another question's), `repeated` (asked again as it is: what a batch
or a number format changes by itself, to be held against every other rate). A change is counted against the model's own answer,
right or wrong, so no label is needed.

Leaving out the *tokens* of a sub-image (`curves`, `ask --why`) is another claim: the other levels still show its pixels, the
selection stays, so it says what that sub-image contributed beside the others, not whether the place is needed.

All that is random derives from (seed, question id); results depend neither on the order of questions nor on batches.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from ..question import Question
from . import pixels, told
from .pixels import Mask
from .subject import Reply, Spot, Subject

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""Of a ranking: the points of a curve."""

Made = Callable[[], Sequence[Any]]
"""Makes the images of a condition when it is asked: all at once would be gigabytes of a large scan."""


@dataclass(frozen=True)
class Seen:
    """A question, the text that was asked, and the model's own reply to it."""

    question: Question
    text: str
    reply: Reply

    def spots(self, kind: str) -> tuple[Spot, ...]:
        return self.reply.looked if kind == "looked" else tuple(Spot(0, box) for box in self.question.evidence)


Donors = dict[str, dict[str, Seen]]
"""By what is exchanged (`shuffled_image`, or a kind of evidence) and question id: who gives it."""


def donors_of(seen: Sequence[Seen], what: str, seed: int) -> dict[str, Seen]:
    """For each question the next one, in an order by hash, that is about another image and has the thing to give."""
    having = [one for one in seen if what == "shuffled_image" or one.spots(what)]
    having.sort(key=lambda one: _hash(seed, one.question.id))
    found: dict[str, Seen] = {}
    for place, one in enumerate(having):
        following = (having[(place + step) % len(having)] for step in range(1, len(having)))
        donor = next((other for other in following if other.question.group != one.question.group), None)
        if donor is not None:
            found[one.question.id] = donor
    return found


def _hash(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(" ".join(map(str, parts)).encode("utf-8", "backslashreplace")).digest()[:8])


def conditions_of(
    subject: Subject, one: Seen, donors: Donors, *, seed: int, curves: bool
) -> tuple[dict[str, Made], dict[str, Any]]:
    """All conditions of a question by name, and for each kind of evidence where it and its random twin lie."""
    identity = one.question.id
    images = [subject.load(source) for source in one.question.images]
    made: dict[str, Made] = {"repeated": lambda: images, "blind": list}
    if donor := donors["shuffled_image"].get(identity):
        made["shuffled_image"] = lambda: donor.question.images
    facts: dict[str, Any] = {}
    for kind in told.EVIDENCE:
        masks = _masks(images, one.spots(kind))
        if any(mask.any() for mask in masks):
            around, facts[kind] = _around(subject, one, images, masks, kind, donors[kind].get(identity), seed)
            made |= around
    if curves and "looked" in facts:
        around, facts["looked"]["ranked"] = _curve(one, images, seed)
        made |= around
    return made, facts


def _around(
    subject: Subject, one: Seen, images: list[Image.Image], masks: list[Mask], kind: str, donor: Seen | None, seed: int
) -> tuple[dict[str, Made], dict[str, Any]]:
    """The conditions of one kind of evidence, and where it and its random twin lie."""
    moved, shifts = _moved(masks, seed, one.question.id, kind)
    made: dict[str, Made] = {
        f"{kind}_deleted": lambda: list(map(pixels.without, images, masks)),
        f"{kind}_random_deleted": lambda: list(map(pixels.without, images, moved)),
        f"{kind}_only": lambda: list(map(pixels.only, images, masks)),
        f"{kind}_random_only": lambda: list(map(pixels.only, images, moved)),
    }
    spots = one.spots(kind)
    if donor is not None:
        given = [spot for spot in donor.spots(kind) if spot.image == donor.spots(kind)[0].image]

        def exchanged() -> list[Image.Image]:
            other = subject.load(donor.question.images[given[0].image])
            boxes = [[spot.box for spot in spots if spot.image == number] for number in range(len(images))]
            return [
                pixels.swapped(image, own, other, [spot.box for spot in given]) for image, own in zip(images, boxes, strict=True)
            ]

        made[f"{kind}_swapped"] = exchanged
    whole = sum(int(mask.sum()) for mask in masks)
    facts = {
        "spots": [[spot.image, *spot.box] for spot in spots],
        "area": round(whole / sum(mask.size for mask in masks), 6),
        "random_shift": shifts,
        "random_overlap": round(sum(int((a & b).sum()) for a, b in zip(masks, moved, strict=True)) / whole, 6),
    }
    return made, facts


def _curve(one: Seen, images: list[Image.Image], seed: int) -> tuple[dict[str, Made], int]:
    """The first so many of the ranking deleted, or they alone, and as much elsewhere; and how many the ranking has."""
    ranking = one.reply.ranking or one.reply.looked

    def changed(change: Callable[[Image.Image, Mask], Image.Image], count: int, random: bool) -> list[Image.Image]:
        masks = _masks(images, ranking[:count])
        return list(map(change, images, _moved(masks, seed, one.question.id, count)[0] if random else masks))

    made: dict[str, Made] = {"blank": lambda: list(map(pixels.only, images, _masks(images, ())))}
    for count in sorted({count_of(share, len(ranking)) for share in SHARES}):
        for name, random in (("looked", False), ("looked_random", True)):
            made[f"{name}_deletion_{count}"] = partial(changed, pixels.without, count, random)
            made[f"{name}_insertion_{count}"] = partial(changed, pixels.only, count, random)
    return made, len(ranking)


def count_of(share: float, size: int) -> int:
    return math.ceil(share * size)


def _masks(images: Sequence[Image.Image], spots: Sequence[Spot]) -> list[Mask]:
    boxes = [[spot.box for spot in spots if spot.image == number] for number in range(len(images))]
    return [pixels.mask_of((image.height, image.width), own) for image, own in zip(images, boxes, strict=True)]


def _moved(masks: Sequence[Mask], *key: object) -> tuple[list[Mask], list[list[int]]]:
    """Each mask at a random place of its image, and the shifts in (rows, columns)."""
    found = [pixels.elsewhere(mask, np.random.default_rng(_hash(*key, number))) for number, mask in enumerate(masks)]
    return [mask for mask, _ in found], [list(shift) for _, shift in found]
