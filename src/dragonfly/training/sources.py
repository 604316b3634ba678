"""A recipe's data as the examples of the whole run, in their order.

Promises that the example at position p is a pure function of the rows, the recipe and p: one optimiser step takes the next
`global_size` positions, whatever the number of processes, so resuming is going on at step x global_size.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from torch.utils.data import Sampler

from dragonfly.data import BadRow, Manifest, Mixture, Sample, count_bad, grouped, read
from dragonfly.data.manifest import NAME
from dragonfly.files import sha256

from .streaming import Reader, Stream

if TYPE_CHECKING:
    from .recipe import Recipe, Source

logger = logging.getLogger(__name__)

WINDOW_STEPS = 32  # optimiser steps whose examples are sorted together when grouping by length


def load_rows(source: Source, max_bad_share: float, *, turns_seen: bool = True) -> Any:
    """The usable rows of a source: a sequence of `Sample`. A manifest is read row by row, later; else all is in memory.

    `turns_seen`: whether questions that are grouped on an image see each other (`data.grouped`).
    ValueError naming file, row and reason when too many rows are bad.
    """
    if source.path is not None and source.format in ("auto", "manifest") and _is_manifest(source.path):
        manifest = Manifest.open(source.path)
        return manifest if source.group_questions == 1 else grouped(manifest, source.group_questions, turns_seen=turns_seen)
    rows, bad = count_bad(_rows(source), max_bad_share)
    for row in bad:
        logger.warning("source %s: bad row left out: %s", source.name, row)
    if not rows:
        raise ValueError(f"source {source.name!r} has no usable rows; see its path and format")
    return rows if source.group_questions == 1 else grouped(rows, source.group_questions, turns_seen=turns_seen)


def mixture(recipe: Recipe) -> Mixture:
    """All sources in the order of the whole run, long enough for its steps."""
    data, objective = recipe.data, recipe.objective_hook
    sources = {one.name: load_rows(one, data.max_bad_share, turns_seen=objective.turns_seen) for one in data.train}
    if not objective.images:
        for name, rows in sources.items():
            if rows.counts.get("images") if isinstance(rows, Manifest) else any(row.images for row in rows):
                raise ValueError(
                    f"objective {objective.name!r} takes rows without images, source {name!r} has some; use 'answer'"
                )
    passes = {source.name: source.passes for source in data.train}
    once = Mixture(sources, passes, seed=recipe.seed)
    positions = num_steps(recipe, once.rows_per_epoch) * recipe.batch.global_size
    return Mixture(sources, passes, seed=recipe.seed, epochs=math.ceil(positions / once.rows_per_epoch))


def first_rows(recipe: Recipe) -> dict[str, list[Sample]]:
    """The first usable rows of each streamed source: enough to look at their labels."""
    heads: dict[str, list[Sample]] = {}
    for source in recipe.data.train:
        good = (row for row in reader_of(source)() if isinstance(row, Sample))
        heads[source.name] = list(islice(good, recipe.data.audit))
        if not heads[source.name]:
            raise ValueError(f"source {source.name!r} has no usable rows; see its path and format")
    return heads


def stream(recipe: Recipe, heads: Mapping[str, Sequence[Sample]], processor: Any, world_size: int, skip: int) -> Stream:
    """All sources as one endless stream of examples; its first `skip` batches are passed over."""
    examples = recipe.objective_hook.examples
    assert examples is not None  # an objective that streams has some
    return Stream(
        {source.name: reader_of(source) for source in recipe.data.train},
        {source.name: source.passes for source in recipe.data.train},
        examples(recipe, next(iter(heads.values())), processor).encoded,
        seed=recipe.seed,
        max_bad_share=recipe.data.max_bad_share,
        batch=recipe.batch.per_device_for(world_size) * world_size,
        skip=skip,
    )


def reader_of(source: Source) -> Reader:
    """What reads the source's rows from its beginning, each time it is called."""
    return partial(_rows, source, streaming=True)


def num_steps(recipe: Recipe, rows_per_epoch: int) -> int:
    """Optimiser steps of the run; the last one of `epochs` is filled up with rows of the next epoch's order."""
    if recipe.steps is not None:
        return recipe.steps
    return math.ceil((recipe.epochs or 1.0) * rows_per_epoch / recipe.batch.global_size)


def manifest_hashes(recipe: Recipe) -> dict[str, str | None]:
    """For each source the hash of its manifest, which holds those of all rows; None where it is not a manifest or file."""
    return {source.name: _hash(source.path) for source in recipe.data.train}


class Sized(Protocol):
    """A dataset that knows an example's length without its pixels."""

    def __len__(self) -> int: ...

    def length(self, index: int) -> int: ...


class RunOrder(Sampler[int]):
    """Positions 0, 1, ... of the run; under `group_by_length`, sorted by length within windows of `WINDOW_STEPS` steps.

    A window's batches keep a drawn order, so that long and short ones alternate. `start` positions are given unsorted:
    a resumed run skips them, and their lengths need not be found again.
    """

    def __init__(self, dataset: Sized, positions: int, batch: int, *, group_by_length: bool, seed: int, start: int = 0) -> None:
        self.dataset, self.positions, self.batch = dataset, positions, batch
        self.group_by_length, self.seed, self.start = group_by_length, seed, start

    def __len__(self) -> int:
        return self.positions

    def __iter__(self) -> Iterator[int]:
        size = WINDOW_STEPS * self.batch
        for first in range(0, self.positions, size):
            window = range(first, min(first + size, self.positions))
            yield from self._sorted(window) if self.group_by_length and window.stop > self.start else window

    def _sorted(self, window: range) -> list[int]:
        by_length = sorted(window, key=lambda position: (self.dataset.length(position), position))
        batches = [by_length[at : at + self.batch] for at in range(0, len(by_length), self.batch)]
        drawn = np.random.default_rng([self.seed, window.start]).permutation(len(batches))
        return [position for index in drawn for position in batches[index]]


def _rows(source: Source, streaming: bool = False) -> Iterator[Sample | BadRow]:
    options: dict[str, Any] = {"columns": source.columns, "split": source.split if source.path is not None else None}
    return read(_opened(source, streaming), source.format, source.image_root, **options)


def _opened(source: Source, streaming: bool = False) -> Any:
    if source.path is not None:
        return source.path
    from datasets import load_dataset

    return load_dataset(str(source.dataset), source.subset, split=source.split, streaming=streaming)


def _is_manifest(path: str) -> bool:
    return Path(path).name == NAME or (Path(path) / NAME).is_file()


def _hash(path: str | None) -> str | None:
    if path is None:
        return None
    file = Path(path) / NAME if (Path(path) / NAME).is_file() else Path(path)
    return sha256(file) if file.is_file() else None
