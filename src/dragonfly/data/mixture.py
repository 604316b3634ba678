"""Several sources as one order of rows for a whole run, fixed before it starts.

Promises that position p, the count of examples taken so far, is always the same row: a pure function of the sources'
names and lengths, the passes and the seed. Resuming is going on at p. Knows nothing of what the rows hold.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .sample import Sample


@dataclass(frozen=True)
class Place:
    """What stands at a position: the epoch, the index within it, the source's name and the row there."""

    epoch: int
    index: int
    source: str
    row: int


class Mixture:
    """`sources` by name, each taken `passes[name]` times per epoch (1.0 by default; 0.25 draws a quarter of the rows).

    Every whole pass takes each row once; a part of a pass takes rows without repetition, other rows each epoch.
    `len` is the positions of all epochs. ValueError for unknown names, negative passes, or when nothing is left.
    """

    def __init__(
        self,
        sources: Mapping[str, Sequence[Sample]],
        passes: Mapping[str, float] | None = None,
        *,
        seed: int = 0,
        epochs: int = 1,
    ) -> None:
        passes = passes or {}
        for name, number in passes.items():
            if name not in sources:
                raise ValueError(f"passes names {name!r}; the sources are {', '.join(sources)}")
            if not 0 <= number < float("inf"):
                raise ValueError(f"{name!r} is to be taken {number} times; give 0 or more")
        if epochs < 1 or seed < 0:
            raise ValueError(f"epochs is {epochs} and seed {seed}; give at least 1 epoch and a seed of 0 or more")
        self.sources = dict(sources)
        self.passes = {name: float(passes.get(name, 1.0)) for name in sources}
        self.taken = {name: round(self.passes[name] * len(rows)) for name, rows in sources.items()}
        self.seed, self.epochs = seed, epochs
        self.rows_per_epoch = sum(self.taken.values())
        if not self.rows_per_epoch:
            raise ValueError(f"the mixture of {', '.join(sources) or 'no sources'} takes no rows; give rows and passes above 0")
        self._order = lru_cache(maxsize=2)(self._epoch_order)

    def __len__(self) -> int:
        return self.rows_per_epoch * self.epochs

    def locate(self, position: int) -> Place:
        """The row at `position`, counted over all epochs. IndexError past the end."""
        if not 0 <= position < len(self):
            raise IndexError(f"position {position} of a mixture with {len(self)}")
        epoch, index = divmod(position, self.rows_per_epoch)
        source, row = self._order(epoch)[index]
        return Place(epoch, index, list(self.sources)[source], int(row))

    def __getitem__(self, position: int) -> Sample:
        place = self.locate(position)
        return self.sources[place.source][place.row]

    def __iter__(self) -> Iterator[Sample]:
        return (self[position] for position in range(len(self)))

    def _epoch_order(self, epoch: int) -> np.ndarray:
        """(rows_per_epoch, 2) of (source number, row), shuffled."""
        pairs = np.concatenate(
            [
                np.stack([np.full(self.taken[name], number), self._drawn(number, name, epoch)], axis=1)
                for number, name in enumerate(self.sources)
            ]
        )
        return pairs[np.random.default_rng([self.seed, epoch]).permutation(len(pairs))]

    def _drawn(self, number: int, name: str, epoch: int) -> np.ndarray:
        """The rows of one source in one epoch: whole passes, then the head of a permutation."""
        rows, taken = len(self.sources[name]), self.taken[name]
        if not taken:
            return np.empty(0, dtype=np.int64)
        whole, rest = divmod(taken, rows)
        part = np.random.default_rng([self.seed, epoch, number + 1]).permutation(rows)[:rest]
        return np.concatenate([np.tile(np.arange(rows), whole), part])

    def tree(self) -> str:
        """The sources with their rows in and out, one line each, under the total."""
        rows = sum(len(source) for source in self.sources.values())
        total = sum(self.taken.values())
        lines = [f"mixture: {rows} rows in, {total} out per epoch, seed {self.seed}"]
        for number, (name, source) in enumerate(self.sources.items(), start=1):
            segment = "└─" if number == len(self.sources) else "├─"
            share = self.taken[name] / total if total else 0.0
            taken = f"{self.taken[name]} out ({self.passes[name]:g} passes, {share:.1%})"
            lines.append(f"{segment} {name}: {len(source)} in, {taken}")
        return "\n".join(lines)

    __str__ = tree

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "_order"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._order = lru_cache(maxsize=2)(self._epoch_order)
