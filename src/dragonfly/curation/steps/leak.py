"""`leak`: rows that an evaluation set also holds are dropped, and with them everything of the same patient or study.

A row leaks when one of its images has the bytes of an evaluation image or looks like it (hash radius, mirrored too), when its
group is one of the evaluation set's, or when it asks an evaluation question in nearly the same words. The last is checked of rows
without images, and of others only under `text_with_images`, because data sets ask the same question about many images ("Is this
normal?").
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dragonfly.data import Sample
from dragonfly.data.parquet import import_pyarrow

from ..hashing import Indices, normalised, number, shingles
from ..table import Table, group_keys, question
from .base import Counts, Job, connected_units, counted, is_member, keep
from .duplicates import alike, looks
from .evaluation_sets import EvaluationSet, open_set

DEFAULT_RADIUS = 10  # wider than where images are joined: a leak that is missed costs more than a row


def leak(
    table: Table,
    target: Path,
    job: Job,
    *,
    against: Sequence[str],
    image_radius: int = DEFAULT_RADIUS,
    text: float | None = 0.8,
    text_with_images: bool = False,
) -> tuple[Table, Counts]:
    """Drop what is in the evaluation sets `against` (`evaluation_sets`): manifests, files, folders of benchmarks, `test:NAME`.

    The rows of source NAME itself are not compared with its own test split, whose publisher divided the two; those that show an
    image of it are counted. `text` is the least Jaccard index of two questions' shingles; None looks at no words. ValueError when
    a set cannot be read.
    """
    if not against:
        raise ValueError("leak: against is empty; name the manifests or files of the evaluation sets")
    if text is not None and not 0.0 < text <= 1.0:
        raise ValueError(f"leak: text is {text}; give a Jaccard index above 0, up to 1, or null to look at no words")
    sets = [open_set(entry, job) for entry in against]
    by_image = _by_image(table, sets, image_radius)
    reasons = {
        "image of an evaluation set": by_image,
        "patient or document of an evaluation set": [_by_group(table, one.samples) for one in sets],
        "question of an evaluation set": [_by_question(table, one.samples, text, text_with_images) for one in sets],
    }
    own = [_rows_of(table, one.own) for one in sets]
    dropped, counts = np.zeros(table.rows, dtype=bool), {}
    for reason, found in reasons.items():
        leaks = np.logical_or.reduce([leak & ~mine for leak, mine in zip(found, own, strict=True)])
        counts[reason] = int((leaks & ~dropped).sum())
        dropped |= leaks
    together = connected_units(table, groups=True, images=False)
    tainted = is_member(together, np.unique(together[dropped]))
    counts["same patient or document as a row above"] = int((tainted & ~dropped).sum())
    result = keep(table, target, job, table.numbers("row")[~tainted])
    return counted(table, result, counts, image_radius=image_radius, **_about(sets, by_image, own))


def _about(sets: Sequence[EvaluationSet], by_image: Sequence[Any], own: Sequence[Any]) -> Counts:
    """What the counts say of the sets: their rows, what of them could not be compared, and what the rule of own splits kept."""
    about: Counts = {"evaluation_rows": sum(len(one.samples) for one in sets)}
    if unreadable := sum(one.unreadable for one in sets):
        about["evaluation_rows_not_compared"] = unreadable
    kept = {one.own: int((leaks & mine).sum()) for one, leaks, mine in zip(sets, by_image, own, strict=True) if one.own}
    if any(kept.values()):
        about["on_images_of_their_own_test_split"] = {name: count for name, count in kept.items() if count}
    return about


def _rows_of(table: Table, source: str | None) -> Any:
    """For each row whether it is of this source."""
    pa = import_pyarrow()
    if source is None:
        return np.zeros(table.rows, dtype=bool)
    return pa.compute.equal(table.read("origin")["origin"], source).to_numpy()


def _by_image(table: Table, sets: Sequence[EvaluationSet], radius: int) -> list[Any]:
    """For each set, and each row, whether an image of the row has the key of an evaluation image, or looks like one."""
    owners, keys = table.lists("image_keys")
    own, hashes, _ = looks(table, keys)
    distinct = np.unique(hashes)
    found: list[Any] = []
    for one in sets:
        bad = {fact.key for fact in one.facts}
        comparable = [fact for fact in one.facts if fact.looks is not None and fact.mirrored is not None]
        there, mirrors = (np.array([getattr(f, name) for f in comparable], dtype=np.uint64) for name in ("looks", "mirrored"))
        near, _ = alike(distinct, there, mirrors, radius, True)
        bad.update(own[is_member(hashes, np.unique(distinct[near]))].tolist())
        found.append(_rows_with(owners, keys, bad, table.rows))
    return found


def _by_group(table: Table, samples: list[Sample]) -> Any:
    owners, keys = table.lists("groups")
    return _rows_with(owners, keys, {key for sample in samples for key in group_keys(sample)}, table.rows)


def _rows_with(owners: Indices, keys: Any, wanted: set[int], rows: int) -> Any:
    """For each row whether one of its keys is wanted."""
    held = np.zeros(rows, dtype=bool)
    held[owners[is_member(keys, np.array(sorted(wanted), dtype=np.uint64))]] = True
    return held


def _by_question(table: Table, samples: list[Sample], threshold: float | None, with_images: bool) -> Any:
    """For each row whether it asks an evaluation question; rows with images only under `with_images`."""
    if threshold is None:
        return np.zeros(table.rows, dtype=bool)
    asked = {text for text in map(question, samples) if text}
    exact = np.array(sorted(number(text) for text in asked), dtype=np.uint64)
    index = _Index(asked, threshold)
    parts: list[Any] = []
    for part in table.batches("question", "messages", "image_key"):
        leaks = is_member(part["question"].to_numpy(), exact)
        looked_at = np.ones(len(part), dtype=bool) if with_images else part["image_key"].to_numpy() == 0
        for row in np.flatnonzero(looked_at & ~leaks) if threshold < 1 else ():
            leaks[row] = index.holds(_asked(part["messages"][int(row)].as_py()))
        parts.append(leaks & looked_at)
    return np.concatenate(parts)


def _asked(messages: list[dict[str, Any]]) -> str:
    texts = ("".join(part["text"] for part in message["content"]) for message in messages if message["role"] != "assistant")
    return normalised("\n".join(texts))


class _Index:
    """An inverted index of texts by their shingles, which finds every text that reaches the threshold."""

    def __init__(self, texts: set[str], threshold: float) -> None:
        self.threshold = threshold
        self.shingles = [shingles(text) for text in sorted(texts)]
        self.holders: dict[str, list[int]] = {}
        for place, own in enumerate(self.shingles):
            for shingle in own:
                self.holders.setdefault(shingle, []).append(place)

    def holds(self, text: str) -> bool:
        own = shingles(text)
        shared: dict[int, int] = {}
        for shingle in own:
            for place in self.holders.get(shingle, ()):
                shared[place] = shared.get(place, 0) + 1
        return any(both / (len(own) + len(self.shingles[place]) - both) >= self.threshold for place, both in shared.items())
